#!/usr/bin/env python3
"""Damaged models on the command line: each ends in one clear line and exit code 1, or works.

  command_test.py BRISK CORPUS

CORPUS is fuzz/corpus: whole models of a few KB, which are cut and changed here.
"""

import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

BRISK, CORPUS = sys.argv[1], Path(sys.argv[2])
SECONDS_MAX = 120
LINE_BYTES_MAX = 2100
VARIANTS = 4  # of each kind of damage to each model


def damaged(whole, rng):
    """Cut somewhere; with some bytes changed; with a number that lies."""
    for _ in range(VARIANTS):
        yield whole[: rng.randrange(len(whole))]
        flipped = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        yield bytes(flipped)
        at = rng.randrange(len(whole) - 8)
        lie = rng.choice([0, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1])
        yield whole[:at] + struct.pack("<Q", lie) + whole[at + 8 :]


def gguf_with_key(key):
    """A header with one pair, whose value has a type that does not exist."""
    pair = struct.pack("<Q", len(key)) + key + struct.pack("<I", 99)
    return struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + pair + b"\0" * 64


def special_files():
    """What somebody might really give, and names that command a terminal."""
    yield b""
    yield b"\0"
    yield b"GGUF"
    yield b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    yield b"PK\3\4" + b"\0" * 100
    yield b"<html>404</html>"
    yield gguf_with_key(b"a\nbrisk: b\x1b[2J\xff")
    yield gguf_with_key(b"k" * 100_000)


def run(arguments):
    return subprocess.run(
        [BRISK, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS_MAX,
        check=False,
    )


def check(path, what, faults):
    """Runs both commands on a model. True where both refuse it."""
    refused = 0
    for arguments in (["inspect", path], ["run", path, "-p", "a", "-n", "2", "--threads", "1"]):
        done = run(arguments)
        refused += done.returncode == 1
        lines = done.stderr.decode(errors="replace").splitlines()
        clear = len(lines) == 1 and lines[0].startswith("brisk: ") and lines[0].isprintable()
        short = len(done.stderr) <= LINE_BYTES_MAX and b"internal error" not in done.stderr
        if done.returncode == 0 or (done.returncode == 1 and clear and short):
            continue
        faults.append(f"{what}: {arguments[0]} gave {done.returncode}: {done.stderr[:500]!r}")
    return refused == 2


def hugging_face(directory, content):
    """The seed's three parts as the files of a directory."""
    parts = [*content.split(b"\0", 2), b"", b""]
    names = ("config.json", "generation_config.json", "model.safetensors")
    for name, part in zip(names, parts):
        (directory / name).write_bytes(part)


def main():
    rng = random.Random(8)
    faults, refused, tried = [], 0, 0
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary) / "hf"
        directory.mkdir()
        file = Path(temporary) / "model"
        for content in special_files():
            file.write_bytes(content)
            if not check(file, f"special file {content[:40]!r}", faults):
                faults.append(f"{content[:40]!r} is no model, but was taken for one")
        for seed in sorted(CORPUS.glob("gguf/*")) + sorted(CORPUS.glob("llama2c/*")):
            for content in damaged(seed.read_bytes(), rng):
                file.write_bytes(content)
                refused += check(file, seed.name, faults)
                tried += 1
        for seed in sorted(CORPUS.glob("safetensors/*")):
            for content in damaged(seed.read_bytes(), rng):
                hugging_face(directory, content)
                refused += check(directory, seed.name, faults)
                tried += 1
        check(Path(temporary) / "absent", "absent file", faults)
        check(Path(temporary), "directory without a model", faults)
    print(f"{tried} damaged models, {refused} of them refused")
    print("\n".join(faults))
    sys.exit(1 if faults or refused < tried // 3 else 0)


if __name__ == "__main__":
    main()
