#!/usr/bin/env python3
"""`brisk compress` with steps that train: killed in the middle it goes on, and ends in the same bytes.
The recipe that ships, scaled down.

  recipe_test.py BRISK BRISK_TRAIN REPOSITORY
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import tiny_data  # noqa: E402

BRISK, TRAIN, REPOSITORY = (Path(word).absolute() for word in sys.argv[1:4])
MODEL = REPOSITORY / "models/brisk-small"
SECONDS_MAX = 100
RECIPE = """
[[step]]
run = "prune"
neurons = 0.5
layers = 4
calibration = "sums.jsonl"
windows = 4
window-tokens = 64

[[step]]
run = "recover"
teacher = "{in}"
data = ["sums.jsonl", "more.jsonl:2"]
steps = 40
context = 32
batch = 2
micro-batch = 2
checkpoint-every = 1
lr = 1e-4
threads = 1
"""


class Recipes(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.at = Path(temporary.name)
        tiny_data.write_stories(self.at / "sums.jsonl", 50, 1)
        tiny_data.write_stories(self.at / "more.jsonl", 50, 2)

    def words(self, recipe, out):
        path = self.at / f"{out}.toml"
        path.write_text(recipe)
        return [BRISK, "compress", path, MODEL, self.at / out, "--json"]

    def compress(self, recipe, out):
        done = subprocess.run(self.words(recipe, out), capture_output=True, text=True,
                              timeout=SECONDS_MAX)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_a_training_that_was_killed_goes_on(self):
        whole = self.compress(RECIPE, "whole")
        self.assertEqual(whole["steps"][1]["output"]["steps"], 40)
        checkpoints = self.at / "killed.work/2-recover/checkpoints"
        process = subprocess.Popen(self.words(RECIPE, "killed"), start_new_session=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + SECONDS_MAX
        while time.monotonic() < end and len(list(checkpoints.glob("*"))) < 2:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.assertFalse((self.at / "killed").exists())
        self.assertFalse((self.at / "killed.work/2-recover/model").exists(), "it was too fast")
        again = self.compress(RECIPE, "killed")
        self.assertEqual([step["kept"] for step in again["steps"]], [True, False])
        for name in ("model.safetensors", "config.json", "tokenizer.json"):
            self.assertEqual((self.at / "killed" / name).read_bytes(),
                             (self.at / "whole" / name).read_bytes(), name)

    def test_a_training_with_other_flags_begins_anew(self):
        run = self.at / "small.work/2-recover"
        (run / "checkpoints").mkdir(parents=True)  # of somebody else's
        (run / "log.jsonl").write_text("{}")
        (run.parent / "made-by-brisk-compress").touch()
        done = self.compress(RECIPE.replace("steps = 40", "steps = 3"), "small")
        self.assertEqual(done["steps"][1]["output"]["steps"], 3)

    def test_a_student_may_begin_from_nothing_and_end_quantised(self):
        pace = "context = 32\nbatch = 2\nmicro-batch = 2\nthreads = 1\nsteps = 2\n"
        result = self.compress(f"""
[[step]]
run = "distill"
start = ""
teacher = "{{in}}"
tokenizer = "{{in}}"
data = "sums.jsonl"
dim = 64
layers = 1
ffn = 96
{pace}
[[step]]
run = "qat"
data = "sums.jsonl"
format = "q4_0"
{pace}
""", "student.gguf")
        shown = json.loads(subprocess.run([BRISK, "inspect", self.at / "student.gguf", "--json"],
                                          check=True, capture_output=True, text=True).stdout)
        self.assertEqual((shown["layers"], shown["hidden_size"]), (1, 64))
        self.assertEqual(len(result["steps"]), 2)

    def test_the_recipes_that_ship_run(self):
        recipes = sorted((REPOSITORY / "recipes").glob("*.toml"))
        self.assertTrue(recipes)
        for path in recipes:
            text = path.read_text()
            for key, value in (("count", 600), ("steps", 2), ("batch", 2), ("micro-batch", 2),
                               ("windows", 4), ("warmup", 1), ("threads", 1)):
                text = re.sub(rf"^{key} = \d+", f"{key} = {value}", text, flags=re.M)
            text = re.sub(r"^(max-kl|max-ppl-increase|min-task) = .*", "", text, flags=re.M)
            result = self.compress(text, path.stem + ".gguf")
            self.assertIn("quality", result)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
