#!/usr/bin/env python3
"""What `brisk quantize`, `prune`, `factorize` and `trim-vocab` publish, and what they do not.

  publish_test.py BRISK MODEL

MODEL: a Hugging Face directory with float weights and a tokenizer.
"""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BRISK, MODEL = sys.argv[1:3]
STORY = "Once upon a time there was a little dog. The dog lived with a girl near the river. "


class Publishing(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.path = Path(temporary.name)
        self.text = self.path / "text.txt"
        self.text.write_text(STORY * 4)

    def brisk(self, command, out, *options):
        return subprocess.run([BRISK, command, MODEL, str(self.path / out), *map(str, options)],
                              capture_output=True, text=True)

    def left(self):
        return sorted(path.name for path in self.path.iterdir() if path != self.text)

    def report(self, out):
        shown = subprocess.run([BRISK, "inspect", str(self.path / out), "--json"], check=True,
                               capture_output=True, text=True).stdout
        return json.loads(shown)["quality_report"]

    def test_what_holds_its_gate_carries_its_report(self):
        for command, out, options in (
                ("quantize", "q.gguf", ["--scheme", "q8_0", "--method", "search"]),
                ("prune", "p", ["--sparsity", "0.1", "--method", "magnitude"]),
                ("prune", "s.gguf", ["--neurons", "0.05", "--calibration", self.text]),
                ("factorize", "f.gguf", ["--ratio", "0.1", "--calibration", self.text])):
            done = self.brisk(command, out, *options, "--evaluate", self.text, "--max-kl", "0.5",
                              "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            kl = json.loads(done.stdout)["quality"]["text"]["divergence"]["kl"]["value"]
            self.assertLess(kl, 0.5)
            carried = self.report(out)
            self.assertEqual(carried["text"]["divergence"]["kl"]["value"], kl)
        self.assertEqual(self.left(), ["f.gguf", "p", "q.gguf", "s.gguf"])

    def test_a_factorised_model_says_so_and_answers(self):
        done = self.brisk("factorize", "f.gguf", "--ratio", "0.3", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        made = json.loads(done.stdout)
        self.assertLessEqual(made["parameters"], 0.7 * made["parameters_before"])
        ranks = {row["name"].removesuffix(".weight"): row["rank"]
                 for row in made["matrices"] if row["rank"] > 0}
        out = str(self.path / "f.gguf")
        shown = subprocess.run([BRISK, "inspect", out, "--json"], check=True, capture_output=True,
                               text=True).stdout
        shown = json.loads(shown)
        self.assertEqual(len(shown["low_rank"]), len(ranks))
        self.assertEqual(sorted(shown["low_rank"].values()), sorted(ranks.values()))
        text = subprocess.run([BRISK, "inspect", out], check=True, capture_output=True,
                              text=True).stdout
        self.assertIn(f"{len(ranks)} matrices are products of two", text)
        answer = subprocess.run([BRISK, "run", out, "-p", "Once upon a", "-n", "4"], check=True,
                                capture_output=True, text=True).stdout
        self.assertTrue(answer.strip())

    def test_what_misses_its_gate_is_not_published_and_leaves_what_was_there(self):
        (self.path / "q.gguf").write_text("mine")
        done = self.brisk("quantize", "q.gguf", "--scheme", "q4_0", "--evaluate", self.text,
                          "--max-kl", "1e-9")
        self.assertEqual(done.returncode, 2)
        self.assertIn("not published", done.stderr)
        self.assertIn("--max-kl", done.stderr)
        self.assertEqual((self.path / "q.gguf").read_text(), "mine")
        for command, options in (("prune", ["--sparsity", "0.9", "--method", "magnitude"]),
                                 ("factorize", ["--ratio", "0.3"]),
                                 ("trim-vocab", ["--text", self.text])):
            done = self.brisk(command, "gone", *options, "--max-size", "1kb")
            self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(self.left(), ["q.gguf"])

    def test_sizes_may_have_a_point_and_are_checked(self):
        for size, code, said in (("0.5KiB", 2, "the 512 B"), ("600.5", 2, "the 600 B"),
                                 ("1.5GiB", 0, ""), ("1.5XB", 1, "xb unit"), ("-1", 1, "--max-size"),
                                 ("1e99", 1, "--max-size"), ("nan", 1, "--max-size")):
            done = self.brisk("prune", "p", "--method", "magnitude", "--max-size", size)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(said, done.stderr)

    def test_tasks_are_asked_before_it_is_published(self):
        asked = ["--tasks", "copy", "--level", "easy", "--count", "3", "--max-tokens", "16"]
        done = self.brisk("quantize", "q.gguf", "--scheme", "q8_0", *asked, "--min-task", "0",
                          "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([a["name"] for a in self.report("q.gguf")["accuracies"]], ["tasks"])
        done = self.brisk("prune", "p.gguf", "--sparsity", "0.95", "--method", "magnitude", *asked,
                          "--min-task", "tasks=100")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("--min-task", done.stderr)
        self.assertEqual(self.left(), ["q.gguf"])
        # Nothing is made when the gate cannot be decided.
        done = self.brisk("quantize", "r.gguf", "--scheme", "q8_0", "--min-task", "50")
        self.assertEqual(done.returncode, 1)

    def test_conversations_are_read_through_the_chat_template(self):
        chats = self.path / "chats.jsonl"
        line = {"messages": [{"role": "user", "content": "Tell me a story."},
                             {"role": "assistant", "content": STORY}]}
        chats.write_text((json.dumps(line) + "\n") * 5)
        done = self.brisk("quantize", "q.gguf", "--scheme", "q4_0", "--calibration", chats,
                          "--evaluate", chats, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertGreater(result["calibration_tokens"], 5 * 20)
        self.assertEqual(result["quality"]["text"]["documents"], 5)
        chats.write_text('{"messages": "hello"}\n')
        done = self.brisk("quantize", "q.gguf", "--calibration", chats)
        self.assertEqual(done.returncode, 1)
        self.assertIn("line 1", done.stderr)
        chats.unlink()

    def test_a_killed_run_goes_on_when_it_is_started_again(self):
        text = self.path / "long.txt"
        text.write_text(STORY * 200)
        for out, options in (("q.gguf", ["--scheme", "q4_0", "--method", "gptq"]),
                             ("d", ["--scheme", "int4-g64", "--method", "awq+gptq"])):
            options += ["--calibration", text]
            whole = self.brisk("quantize", "whole-" + out, *options)
            self.assertEqual(whole.returncode, 0, whole.stderr)
            steps = self.path / f"{out}.unfinished" / "steps"
            with subprocess.Popen([BRISK, "quantize", MODEL, str(self.path / out),
                                   *map(str, options)], stderr=subprocess.DEVNULL) as running:
                while running.poll() is None:
                    if steps.exists() and steps.read_bytes().count(b"\n") > 2:
                        running.kill()
                        break
                running.wait()
            self.assertEqual(running.returncode, -9)
            self.assertFalse((self.path / out).exists())
            before = steps.read_bytes().count(b"\n")
            self.assertGreater(before, 2)
            again = self.brisk("quantize", out, *options)
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertFalse(steps.parent.exists())
            for name in ["model.safetensors"] if out == "d" else [""]:
                self.assertEqual((self.path / out / name).read_bytes(),
                                 (self.path / ("whole-" + out) / name).read_bytes())

    def test_limits_on_what_is_not_measured_are_errors(self):
        done = self.brisk("quantize", "q.gguf", "--scheme", "q8_0", "--max-kl", "1")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.left(), [])

    def test_a_model_does_not_take_its_own_place(self):
        done = subprocess.run([BRISK, "prune", MODEL, MODEL, "--method", "magnitude"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("its own place", done.stderr)

    def test_wrong_options_say_what_is_right(self):
        for command, options, said in (
                ("quantize", ["--method", "magic"], "awq"),
                ("quantize", ["--scheme", "q9"], "q4_0"),
                ("quantize", ["--bits", "2", "--calibration", self.text], "the least"),
                ("quantize", ["--method", "gptq"], "--calibration"),
                ("quantize", ["--scheme", "int4-g64"], "directory"),
                ("prune", ["--sparsity", "5:4"], "2:4"),
                ("prune", ["--layers", "99", "--calibration", self.text], "layers"),
                ("prune", ["--neurons", "0.5"], "--calibration"),
                ("prune", ["--neurons", "0.5", "--sparsity", "0.5"], "--sparsity"),
                ("prune", ["--layers", "1", "--method", "wanda"], "--method"),
                ("factorize", [], "--energy"),
                ("factorize", ["--ratio", "0.5", "--energy", "0.9"], "--ratio"),
                ("factorize", ["--ratio", "1"], "below 1"),
                ("factorize", ["--ratio", "0.5", "--damping", "0"], "damping")):
            done = self.brisk(command, "x.gguf", *options)
            self.assertEqual(done.returncode, 1, (options, done.stdout))
            self.assertIn(said, done.stderr)
        self.assertEqual(self.left(), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
