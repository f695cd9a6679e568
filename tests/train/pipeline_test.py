#!/usr/bin/env python3
"""brisk-train as people use it, on a model of some thousand weights: pretrain, a kill in the middle,
resume, distill, qat, recover, lora; what comes of it runs in brisk; and what bad input is told.

  pipeline_test.py BRISK BRISK_TRAIN
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import tiny_data  # noqa: E402

BRISK, TRAIN = sys.argv[1:3]
SECONDS_MAX = 100
SHAPE = ["--dim", "64", "--layers", "2", "--heads", "4", "--kv-heads", "2", "--ffn", "96"]
STUDENT = ["--dim", "32", "--layers", "1", "--heads", "4", "--kv-heads", "2", "--ffn", "64"]
PACE = ["--context", "64", "--batch", "8", "--micro-batch", "4", "--warmup", "10", "--lr", "3e-3",
        "-t", "1", "--json"]


def call(program, *arguments):
    """Of an option that is given twice, the last counts (--data may come twice)."""
    words = [str(word) for word in arguments]
    for i in range(len(words) - 2, -1, -1):
        if words[i].startswith("--") and words[i] != "--data" and words[i] in words[i + 1:]:
            del words[i:i + 2]
    arguments = words
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True,
                          timeout=SECONDS_MAX)


class Pipeline(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder = tempfile.TemporaryDirectory()
        cls.at = Path(cls.holder.name)
        tiny_data.write_tokenizer(cls.at / "tokenizer.json")
        tiny_data.write_sums(cls.at / "sums.jsonl", 400, 1)
        tiny_data.write_sums(cls.at / "held.jsonl", 40, 2)
        tiny_data.write_stories(cls.at / "stories.jsonl", 100, 3)
        cls.base = ["--tokenizer", cls.at / "tokenizer.json", "--data", cls.at / "sums.jsonl:2",
                    "--data", cls.at / "stories.jsonl", "--validation", cls.at / "held.jsonl"]
        cls.teacher = cls.pretrain("teacher", "--steps", 100, "--ema", "0.9")

    @classmethod
    def tearDownClass(cls):
        cls.holder.cleanup()

    @classmethod
    def train(cls, *arguments):
        done = call(TRAIN, *arguments)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        return json.loads(done.stdout)

    @classmethod
    def pretrain(cls, name, *arguments):
        return cls.train("pretrain", *cls.base, *SHAPE, *PACE, "--out", cls.at / name, *arguments)

    def refused(self, *arguments):
        done = call(TRAIN, *arguments)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertNotIn("internal error", done.stderr)
        return done.stderr

    def answer(self, *arguments):
        done = call(BRISK, "run", *arguments, "--temp", "0", "-n", "8")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_what_was_trained_runs_and_has_learned(self):
        self.assertLess(self.teacher["loss"], 0.5 * self.teacher["first_loss"])
        self.assertGreater(self.teacher["validation_loss"], 0)
        self.answer(self.at / "teacher/model", "-p", "Once upon a time")
        log = [json.loads(line) for line in
               (self.at / "teacher/log.jsonl").read_text().splitlines()]
        self.assertEqual(log[-1]["step"], 100)
        svg = (self.at / "teacher/loss.svg").read_text()
        self.assertTrue(svg.startswith("<svg xmlns="))

    def test_a_killed_run_resumes_bit_for_bit(self):
        flags = ["--steps", 60, "--checkpoint-every", 5, "--precision", "bf16"]
        self.pretrain("whole", *flags)
        command = [TRAIN, "pretrain", *self.base, *SHAPE, *PACE, *flags, "--out", self.at / "cut"]
        victim = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS_MAX
        while not list((self.at / "cut").glob("checkpoints/step-????????")):
            self.assertLess(time.monotonic(), deadline)
            self.assertIsNone(victim.poll())
            time.sleep(0.01)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        self.assertFalse((self.at / "cut/model").exists())
        self.pretrain("cut", *flags, "--resume")
        for file in ["model/model.safetensors", "checkpoints/step-00000060/optimizer.safetensors"]:
            self.assertEqual((self.at / "whole" / file).read_bytes(),
                             (self.at / "cut" / file).read_bytes(), file)

    def test_export_gives_what_the_run_exported(self):
        out = self.at / "again"
        done = call(TRAIN, "export", self.at / "teacher", out, "--tokenizer",
                    self.at / "tokenizer.json", "--ema")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((out / "model.safetensors").read_bytes(),
                         (self.at / "teacher/model/model.safetensors").read_bytes())

    def test_distill_live_and_from_a_cache(self):
        data = [*self.base[2:], *STUDENT, *PACE, "--teacher", self.at / "teacher/model",
                "--alpha", "0.5", "--temperature", "2", "--steps", "60"]
        live = self.train("distill", *data, "--out", self.at / "live", "--hidden", "0.1")
        cached = self.train("distill", *data, "--out", self.at / "cached", "--teacher-cache",
                            self.at / "cache.safetensors")
        for result in (live, cached):
            self.assertLess(result["loss"], 0.8 * result["first_loss"])
        self.answer(self.at / "live/model", "-p", "Once upon a time")

    def test_qat_writes_a_gguf_that_runs(self):
        result = self.train("qat", *self.base[2:], *PACE, "--start", self.at / "teacher/model",
                            "--format", "q4_0", "--steps", "20", "--out", self.at / "qat")
        self.assertTrue(result["exported"].endswith("model.gguf"))
        self.assertIn("q4_0", call(BRISK, "inspect", result["exported"]).stdout)
        self.answer(result["exported"], "-p", "Once upon a time")

    def test_recover_and_lora(self):
        flags = [*self.base[2:], *PACE, "--start", self.at / "teacher/model", "--steps", "10"]
        self.train("recover", *flags, "--teacher", self.at / "teacher/model", "--out",
                   self.at / "recovered")
        self.train("lora", *flags, "--rank", "4", "--out", self.at / "lora")
        self.answer(self.at / "recovered/model", "-p", "Once upon a time")
        self.answer(self.at / "teacher/model", "--lora", self.at / "lora/adapter", "-p", "Once")

    def test_importance_decides_what_is_pruned(self):
        model, scores = self.at / "teacher/model", self.at / "importance.safetensors"
        facts = self.train("importance", model, "--data", self.at / "sums.jsonl", "--context", "64",
                           "--sequences", "20", "--out", scores, "--json")
        self.assertEqual(facts["sequences"], 20)
        self.assertEqual(len(facts["layers"]), 2)
        share = ["--neurons", "0.5", "--heads", "0.5", "--channels", "0.25", "--layers", "1",
                 "--calibration", self.at / "sums.jsonl", "--windows", "8"]

        def prune(source, *arguments, out="pruned"):
            return call(BRISK, "prune", source, self.at / out, "--json", *arguments)

        done = prune(model, *share, "--importance", scores)
        self.assertEqual(done.returncode, 0, done.stderr)
        gone = json.loads(done.stdout)["removed_layers"]
        self.assertEqual(gone, [facts["layers"].index(min(facts["layers"]))])
        self.answer(self.at / "pruned", "-p", "1+2=")
        done = prune(self.at / "pruned", "--neurons", "0.5", "--importance", scores,
                     "--calibration", self.at / "sums.jsonl", out="never")
        self.assertIn("the model needs F32 of 1 x", done.stderr)
        done = prune(model, "--importance", scores, out="never")
        self.assertIn("give --neurons", done.stderr)
        self.assertIn("--sequences", self.refused(
            "importance", model, "--data", self.at / "sums.jsonl", "--sequences", "0", "--out",
            scores))

    def test_bad_input_is_told_what_was_wrong(self):
        empty, line, broken = (self.at / name for name in ("empty.txt", "line.txt", "bad.jsonl"))
        empty.write_text(" \n")
        line.write_text("hello\n")
        broken.write_text('{"text": "fine, and long enough to be read"}\n{"messages": 3}\n')
        tokenizer = ["--tokenizer", self.at / "tokenizer.json", "--out", self.at / "never"]

        def pretrain(*arguments):
            return self.refused("pretrain", *tokenizer, *SHAPE, *PACE, *arguments)

        self.assertIn("nothing to learn", pretrain("--data", empty))
        self.assertIn("give more text", pretrain("--data", line))
        self.assertIn("line 2", pretrain("--data", broken))
        self.assertIn("weight", pretrain("--data", f"{line}:0"))
        self.assertIn("--heads", pretrain("--data", self.at / "sums.jsonl", "--heads", "3"))
        self.assertIn("no checkpoint", pretrain("--data", self.at / "sums.jsonl", "--resume"))
        self.assertIn("--resume", self.refused("pretrain", *self.base, *SHAPE, *PACE, "--out",
                                               self.at / "teacher"))
        self.assertFalse((self.at / "never/model").exists())

    def test_a_loss_that_is_no_number_keeps_the_last_checkpoint(self):
        message = self.refused("pretrain", *self.base, *SHAPE, *PACE, "--out", self.at / "nan",
                               "--lr", "1e30", "--clip", "0", "--checkpoint-every", "1")
        self.assertIn("not a number", message)
        self.assertTrue(list((self.at / "nan").glob("checkpoints/step-*/state.json")))

    def test_a_teacher_of_another_vocabulary_is_refused(self):
        other = self.at / "other"
        other.mkdir()
        tiny_data.write_tokenizer(other / "tokenizer.json")
        text = (other / "tokenizer.json").read_text().replace("<|pad|>", "<|other|>")
        (other / "tokenizer.json").write_text(text)
        message = self.refused("distill", "--tokenizer", other / "tokenizer.json", "--data",
                               self.at / "sums.jsonl", *STUDENT, *PACE, "--teacher",
                               self.at / "teacher/model", "--out", self.at / "never")
        self.assertIn("another vocabulary", message)
        self.assertIn("<|other|>", message)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    unittest.main(argv=sys.argv[:1])
