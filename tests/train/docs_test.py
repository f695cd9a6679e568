#!/usr/bin/env python3
"""Runs every command that docs/training.md shows, in its order, with fewer and smaller steps.

  docs_test.py BRISK BRISK_TRAIN REPOSITORY
"""

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import tiny_data  # noqa: E402

BRISK, TRAIN, REPOSITORY = sys.argv[1:4]
SECONDS_MAX = 100
SMALL = {"--dim": "32", "--layers": "1", "--ffn": "64", "--context": "64", "--steps": "4",
         "--batch": "4", "--warmup": "1"}


def commands(text):
    for block in re.findall(r"```\n(.*?)```", text, flags=re.S):
        for line in block.replace("\\\n", " ").splitlines():
            if re.match(r"brisk(-train)? ", line):
                yield line


def small(words):
    words = [SMALL.get(before, word) for before, word in zip(["", *words], words)]
    if words[:2] == ["brisk", "run"]:
        return [BRISK, *words[1:], "-n", "4"]
    if words[0] == "brisk":
        return [BRISK, *words[1:]]
    if words[1] == "export":
        return [TRAIN, *words[1:]]
    if words[1] == "importance":
        return [TRAIN, *words[1:], "--context", SMALL["--context"], "--sequences", "4"]
    missing = [part for flag in ("--context", "--batch") if flag not in words
               for part in (flag, SMALL[flag])]
    return [TRAIN, *words[1:], *missing, "--checkpoint-every", "2", "-t", "1"]


def main():
    page = Path(REPOSITORY) / "docs/training.md"
    ran = 0
    with tempfile.TemporaryDirectory() as directory:
        at = Path(directory)
        tiny_data.write_tokenizer(at / "tokenizer.json")
        tiny_data.write_sums(at / "sums.jsonl", 60, 1)
        tiny_data.write_sums(at / "held.jsonl", 10, 2)
        tiny_data.write_stories(at / "stories.jsonl", 40, 3)
        for command in commands(page.read_text()):
            done = subprocess.run(small(shlex.split(command)), cwd=at, capture_output=True,
                                  text=True, timeout=SECONDS_MAX)
            if done.returncode != 0:
                sys.exit(f"{command}\n    {done.stderr}")
            ran += 1
    print(f"{ran} commands ran")
    assert ran >= 9, "the page's commands were not found"


if __name__ == "__main__":
    main()
