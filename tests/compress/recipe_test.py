#!/usr/bin/env python3
"""`brisk compress`: steps of a recipe, what is kept of them, and what is published.

  recipe_test.py BRISK MODEL

MODEL: a Hugging Face directory with float weights and a tokenizer.
"""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BRISK, MODEL = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
STORY = "Once upon a time there was a little dog. The dog lived with a girl near the river. "
PRUNE = """
[[step]]
run = "prune"
sparsity = 0.1
method = "magnitude"
"""
QUANTIZE = """
[[step]]
run = "quantize"
scheme = "q8_0"
method = "nearest"
"""


class Recipes(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.at = Path(temporary.name)
        (self.at / "recipes").mkdir()
        (self.at / "recipes/text.txt").write_text(STORY * 4)

    def compress(self, recipe, *options, out="out.gguf"):
        (self.at / "recipes/r.toml").write_text(recipe)
        return subprocess.run([BRISK, "compress", "recipes/r.toml", MODEL, out, *options],
                              capture_output=True, text=True, cwd=self.at)

    def left(self):
        return sorted(path.name for path in self.at.iterdir() if path.name != "recipes")

    def test_steps_follow_each_other_and_the_result_is_published(self):
        gate = '[gate]\nevaluate = "text.txt"\nmax-kl = 0.5\n'
        done = self.compress(PRUNE + QUANTIZE + gate, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertEqual([step["run"] for step in result["steps"]], ["prune", "quantize"])
        self.assertAlmostEqual(result["steps"][0]["output"]["sparsity"], 0.1, delta=0.01)
        self.assertEqual(result["steps"][1]["output"]["scheme"], "q8_0")
        self.assertLess(result["quality"]["text"]["divergence"]["kl"]["value"], 0.5)
        self.assertEqual(self.left(), ["out.gguf"])
        inspected = json.loads(subprocess.run([BRISK, "inspect", self.at / "out.gguf", "--json"],
                                              check=True, capture_output=True, text=True).stdout)
        self.assertEqual(inspected["quality_report"]["text"], result["quality"]["text"])
        # What one gets by hand.
        for command in (["prune", MODEL, self.at / "p", "--sparsity", "0.1", "--method",
                         "magnitude"],
                        ["quantize", self.at / "p", self.at / "q.gguf", "--scheme", "q8_0",
                         "--method", "nearest"]):
            subprocess.run([BRISK, *command], check=True, capture_output=True)
        compared = json.loads(subprocess.run(
            [BRISK, "eval", self.at / "q.gguf", self.at / "out.gguf", "--text",
             self.at / "recipes/text.txt", "--json"],
            check=True, capture_output=True, text=True).stdout)
        by_hand, by_recipe = (model["text"]["nats_per_token"] for model in compared["models"])
        self.assertEqual(by_hand, by_recipe)

    def test_a_missed_gate_publishes_nothing_and_the_steps_are_kept(self):
        done = self.compress(PRUNE + QUANTIZE + '[gate]\nmax-size = "1kb"\n')
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("--max-size", done.stderr)
        self.assertIn("out.gguf.work", done.stderr)
        self.assertEqual(self.left(), ["out.gguf.work"])
        done = self.compress(PRUNE + QUANTIZE + '[gate]\nmax-size = "1gb"\n', "--json", "--keep")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([step["kept"] for step in json.loads(done.stdout)["steps"]],
                         [True, True])
        self.assertEqual(self.left(), ["out.gguf", "out.gguf.work"])
        again = self.compress(PRUNE + QUANTIZE, "--json", "--keep")
        self.assertEqual([step["kept"] for step in json.loads(again.stdout)["steps"]],
                         [True, True])
        other = self.compress(PRUNE.replace("0.1", "0.2") + QUANTIZE, "--json", "--keep")
        self.assertEqual([step["kept"] for step in json.loads(other.stdout)["steps"]],
                         [False, False])
        later = self.compress(PRUNE.replace("0.1", "0.2") + QUANTIZE.replace("q8_0", "q4_0"),
                              "--json")
        self.assertEqual([step["kept"] for step in json.loads(later.stdout)["steps"]],
                         [True, False])
        self.assertEqual(self.left(), ["out.gguf"])

    def test_a_step_is_done_anew_when_a_file_it_read_has_changed(self):
        recipe = PRUNE.replace('"magnitude"', '"wanda"\ncalibration = "text.txt"')
        kept = []
        for text in (STORY * 4, STORY * 4, STORY * 5):
            path = self.at / "recipes/text.txt"
            if path.read_text() != text:
                path.write_text(text)
            done = self.compress(recipe, "--json", "--keep", out="out")
            self.assertEqual(done.returncode, 0, done.stderr)
            kept.append(json.loads(done.stdout)["steps"][0]["kept"])
        self.assertEqual(kept, [False, True, False])

    def test_a_record_that_was_cut_is_not_believed(self):
        self.assertEqual(self.compress(PRUNE, "--keep", out="out").returncode, 0)
        record = self.at / "out.work/1-prune.done"
        record.write_bytes(record.read_bytes()[:-3])
        done = self.compress(PRUNE, "--json", "--keep", out="out")
        self.assertFalse(json.loads(done.stdout)["steps"][0]["kept"])

    def test_samples_are_made_where_a_later_step_reads_them(self):
        done = self.compress("""
[[step]]
run = "tasks generate"
task = ["story"]
count = 30
output = "{work}/stories.jsonl"

[[step]]
run = "prune"
neurons = 0.1
calibration = "{work}/stories.jsonl"
windows = 4
window-tokens = 64

[gate]
evaluate = "{work}/stories.jsonl"
""", "--json", out="small/dir")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue((self.at / "small/dir/config.json").exists())

    def test_wrong_recipes_are_refused_before_anything_runs(self):
        for recipe, said in (
                (PRUNE + '[[step]]\nrun = "serve"\n', 'step 2 (serve): run: "serve" is none of'),
                (PRUNE + QUANTIZE.replace("scheme", "schema"), "step 2 (quantize): "),
                (PRUNE.replace("0.1", '"x"') + "layers = 3\n", "step 1 (prune): "),
                (PRUNE + "out = 'x'\n", "step 1 (prune): out: is not a step's to choose"),
                (PRUNE + "[gate]\nmax-kr = 1\n", "gate: "),
                (PRUNE + "[gate]\nmax-kl = 'low'\n", "gate: "),
                ('[[step]]\nrun = "tasks generate"\n', "no step makes a model"),
                (PRUNE + '[[step]]\nrun = "recover"\n',
                 "step 2 (recover): makes a directory, so OUT must not end in .gguf"),
                ("steps = 3", '"steps"')):
            done = self.compress(recipe)
            self.assertEqual(done.returncode, 1, recipe)
            self.assertIn(said, done.stderr)
            self.assertNotIn("[1/", done.stderr)
        self.assertEqual(self.left(), [])

    def test_a_directory_of_somebody_else_is_left_alone(self):
        (self.at / "out.work").mkdir()
        (self.at / "out.work/letter.txt").write_text("mine")
        done = self.compress(PRUNE, out="out")
        self.assertEqual(done.returncode, 1)
        self.assertIn("files of somebody else", done.stderr)
        self.assertEqual((self.at / "out.work/letter.txt").read_text(), "mine")
        self.assertEqual(self.left(), ["out.work"])

    def test_a_step_that_fails_is_named(self):
        done = self.compress(PRUNE + QUANTIZE.replace("q8_0", "q9_9"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("step 2 (quantize): failed", done.stderr)
        self.assertEqual(self.left(), ["out.gguf.work"])

    def test_a_missing_model_or_recipe_is_named(self):
        for words, said in (([self.at / "none.toml", MODEL, "out"], "none.toml"),
                            ([self.at / "recipes/text.txt", "none", "out"], "text.txt")):
            done = subprocess.run([BRISK, "compress", *words], capture_output=True, text=True,
                                  cwd=self.at)
            self.assertEqual(done.returncode, 1)
            self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
