#!/usr/bin/env python3
"""The models that ship: small enough for git, described, found by default, and as able as they say.

  shipped_test.py BRISK REPOSITORY
"""

import json
import subprocess
import sys
import unittest
from pathlib import Path

BRISK, REPOSITORY = sys.argv[1], Path(sys.argv[2])
MODELS = REPOSITORY / "models"
BYTES_MAX = 25_000_000


def brisk(*arguments):
    done = subprocess.run([BRISK, *arguments], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"brisk {' '.join(arguments)}: {done.stderr}")
    return done.stdout


class Shipped(unittest.TestCase):
    def test_together_they_are_small(self):
        self.assertLess(sum(f.stat().st_size for f in MODELS.rglob("*") if f.is_file()), BYTES_MAX)

    def test_each_has_a_card_and_a_chat_template(self):
        directories = [path for path in MODELS.iterdir() if path.is_dir()]
        self.assertTrue(directories)
        for directory in directories:
            self.assertIn("**Scores.**", (directory / "README.md").read_text(), directory)
            self.assertTrue((directory / "chat_template.jinja").exists(), directory)

    def test_the_default_says_who_it_is(self):
        said = brisk("run", "--chat", "-p", "Who are you?", "--temp", "0", "--threads", "1")
        self.assertIn("I am brisk", said)

    def test_the_default_solves_what_its_card_says_it_does(self):
        tasks = "add,subtract,multiply,compare,copy,reverse,sort,json,system,tool,dialogue"
        said = brisk("eval", str(MODELS / "brisk-small"), "--tasks", tasks, "--level", "easy",
                     "--count", "20", "--threads", "1", "--json")
        by_task = json.loads(said)["models"][0]["tasks"]["by_task"]
        self.assertEqual(set(by_task), set(tasks.split(",")))
        for name, scores in by_task.items():
            self.assertGreaterEqual(scores["easy"]["rate"], 0.9, name)

    def test_the_distilled_nano_is_better_than_the_one_from_nothing(self):
        said = brisk("eval", str(MODELS / "brisk-nano"), str(MODELS / "brisk-nano-distilled"),
                     "--tasks", "all", "--level", "easy,middle", "--count", "20", "--threads", "1",
                     "--json")
        nano, distilled = (model["tasks"]["overall"]["all"]
                           for model in json.loads(said)["models"])
        self.assertGreater(distilled["low"], nano["high"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
