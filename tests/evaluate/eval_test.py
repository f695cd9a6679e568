#!/usr/bin/env python3
"""`brisk eval`: its figures against numpy's, its gate, its page, and reports that artefacts carry.

  eval_test.py BRISK CASES      (CASES: what tests/reference/generate.py wrote)
"""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent.parent / "reference"))
import gguf_file  # noqa: E402
import gguf_models  # noqa: E402
from forward import forward  # noqa: E402

BRISK, CASES = sys.argv[1], Path(sys.argv[2])
DOCUMENTS = [
    "Once upon a time there was a little dog who liked to play with the other dogs.",
    "The end.",
    "He ran and ran and ran until it was dark, and then he went home.",
]
TEMPLATE = "{% for m in messages %}{{ m.content }} {% endfor %}"


def run(*arguments):
    return subprocess.run([BRISK, *map(str, arguments)], capture_output=True, text=True, timeout=300)


def brisk(*arguments):
    done = run(*arguments)
    if done.returncode != 0:
        raise AssertionError(f"brisk {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def measured(*arguments):
    return json.loads(brisk("eval", *arguments, "--json"))


def log_softmax(logits):
    peak = logits.max(axis=-1, keepdims=True)
    return logits - peak - np.log(np.exp(logits - peak).sum(axis=-1, keepdims=True))


def ids_of(path, text):
    return [int(i) for i in brisk("tokenize", path, "--ids", "--no-special", text).split()]


class Oracle:
    """A model in float64."""

    def __init__(self, path):
        metadata, tensors = gguf_file.read(path)
        self.path, self.model = path, gguf_models.build(metadata, tensors)
        self.bos = metadata["tokenizer.ggml.bos_token_id"]

    def rows(self, document, context, stride):
        """For every token of a document: ln p of all tokens, and which one came."""
        ids, rows, targets, done = ids_of(self.path, document), [], [], 0
        for begin in range(0, len(ids), stride):
            if done == len(ids):
                break
            end = min(begin + context - 1, len(ids))
            logs = log_softmax(np.asarray(forward(self.model, [self.bos] + ids[begin:end])))
            rows += [logs[i - begin] for i in range(done, end)]
            targets += ids[done:end]
            done = end
        return np.array(rows), np.array(targets)


class Command(unittest.TestCase):
    def setUp(self):
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.text = self.write("text.jsonl", [{"text": text} for text in DOCUMENTS])

    def write(self, name, lines):
        path = self.directory / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def model(self, case, name=None):
        path = self.directory / (name or f"{case}.gguf")
        shutil.copy(CASES / case / "model.gguf", path)
        return path


class Figures(Command):
    def compare(self, context, stride):
        # Two formats' random blocks: two models of one vocabulary that agree on nothing.
        model, reference = self.model("blocks-q8_0"), self.model("blocks-q4_0")
        [found] = measured(model, "--reference", reference, "--text", self.text, "--activations",
                           "f32", "--context", context, "--stride", stride)["models"]
        q, p, targets = [], [], []
        for document in DOCUMENTS:
            rows, ids = Oracle(model).rows(document, context, stride or context - 1)
            q.append(rows)
            p.append(Oracle(reference).rows(document, context, stride or context - 1)[0])
            targets.append(ids)
        q, p, targets = np.concatenate(q), np.concatenate(p), np.concatenate(targets)
        nats = -q[np.arange(len(targets)), targets]
        reference_nats = -p[np.arange(len(targets)), targets]
        kl = (np.exp(p) * (p - q)).sum(axis=-1)
        text, divergence = found["text"], found["text"]["divergence"]
        self.assertEqual(text["tokens"], len(targets))
        self.assertEqual(text["documents"], len(DOCUMENTS))
        self.assertEqual(text["bytes"], sum(len(d.encode()) for d in DOCUMENTS))
        near = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4)
        near(text["perplexity"]["value"], np.exp(nats.mean()))
        near(divergence["kl"]["value"], kl.mean())
        near(divergence["kl_median"], np.percentile(kl, 50))
        near(divergence["kl_p99"], np.percentile(kl, 99))
        near(divergence["kl_max"], kl.max())
        near(divergence["perplexity_ratio"]["value"], np.exp((nats - reference_nats).mean()))
        flips = (q.argmax(axis=-1) != p.argmax(axis=-1)).mean()
        self.assertAlmostEqual(divergence["flips"]["value"], flips)
        self.assertGreater(flips, 0.1)
        self.assertEqual(divergence["reference"], "blocks-q4_0")
        low, high = divergence["kl"]["low"], divergence["kl"]["high"]
        self.assertTrue(low < divergence["kl"]["value"] < high)

    def test_windows_side_by_side(self):
        self.compare(context=16, stride=0)

    def test_windows_that_overlap(self):
        self.compare(context=16, stride=5)

    def test_choices(self):
        model = self.model("llama2")
        questions = [
            {"query": "The dog went to", "choices": ["the park.", "a", "play with other dogs"]},
            {"query": "Once upon", "choices": ["a time", "time"]},
        ]
        oracle, right, right_norm = Oracle(model), 0, 0
        for number, question in enumerate(questions):
            question["gold"] = number
            given = len(ids_of(model, question["query"]))
            nats = []
            for choice in question["choices"]:
                ids = ids_of(model, f"{question['query']} {choice}")
                logs = log_softmax(np.asarray(forward(oracle.model, [oracle.bos] + ids)))
                nats.append(-sum(logs[i][ids[i]] for i in range(given, len(ids))))
            right += np.argmin(nats) == number
            sizes = [len(choice.encode()) for choice in question["choices"]]
            right_norm += np.argmin(np.array(nats) / sizes) == number
        path = self.write("choices.jsonl", questions)
        [found] = measured(model, "--choices", path, "--activations", "f32")["models"]
        by_name = {accuracy["name"]: accuracy for accuracy in found["accuracies"]}
        self.assertEqual(by_name["choices"]["right"], right)
        self.assertEqual(by_name["choices_norm"]["right"], right_norm)
        self.assertEqual(found["queries_cut"], 0)

    def test_questions_are_asked_as_chats(self):
        model = self.model("llama2")
        questions = [{"question": "2 + 2?", "answer": "so\n#### 4"}] * 3
        template = self.directory / "chat.jinja"
        template.write_text(TEMPLATE)
        arguments = ("--questions", self.write("questions.jsonl", questions), "--chat-template",
                     template, "--max-tokens", "5")
        [found] = measured(model, *arguments, "--limit", 2, "--show-wrong", 1)["models"]
        [accuracy] = found["accuracies"]
        self.assertEqual((accuracy["name"], accuracy["total"]), ("questions", 2))
        self.assertEqual(found["questions"]["wrong"][0]["answer"], "4")
        self.assertIn("flipped", brisk("eval", model, *arguments, "--reference", model))


class Gates(Command):
    def test_a_missed_gate_is_exit_code_2_and_says_by_how_much(self):
        model, reference = self.model("blocks-q8_0"), self.model("blocks-q4_0")
        page = self.directory / "page.html"
        done = run("eval", model, "--reference", reference, "--text", self.text, "--max-kl", "0.05",
                   "--max-ppl-increase", "1", "--max-size", "1KiB", "--html", page)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("mean KL is ", done.stderr)
        self.assertIn("above the 0.05 of --max-kl", done.stderr)
        self.assertIn("--max-size", done.stderr)
        self.assertIn("mean KL", done.stdout)
        self.assertIn("The gate is missed", page.read_text())

    def test_a_gate_that_holds(self):
        model = self.model("llama2")
        found = measured(model, "--reference", model, "--text", self.text, "--max-kl", "0",
                         "--activations", "f32", "--max-ppl-increase", "0", "--max-size", "1GB")
        self.assertEqual(found["gate"], {"held": True, "misses": []})

    def test_every_artefact_must_hold_it(self):
        models = [self.model("blocks-q4_0"), self.model("blocks-q8_0")]
        done = run("eval", *models, "--reference", models[0], "--text", self.text, "--max-kl", "0.5",
                   "--json")
        self.assertEqual(done.returncode, 2)
        found = json.loads(done.stdout)
        self.assertEqual(len(found["models"]), 2)
        [miss] = found["gate"]["misses"]
        self.assertTrue(miss.startswith("blocks-q8_0: mean KL"), miss)

    def test_what_cannot_be_decided_is_refused_before_anything_is_measured(self):
        model = self.model("llama2")
        for gate in (["--max-kl", "1"], ["--min-task", "choices=3"], ["--max-ppl-increase", "1"]):
            done = run("eval", model, "--text", self.text, *gate)
            self.assertEqual(done.returncode, 1, gate)
        for wrong in ("choices=x", "101", "=", "-1"):
            done = run("eval", model, "--text", self.text, f"--min-task={wrong}")
            self.assertEqual(done.returncode, 1)
            self.assertIn("PERCENT", done.stderr + done.stdout)


class Reports(Command):
    def test_artefacts_are_compared_in_one_table_and_one_page(self):
        models = [self.model("blocks-q4_0", name) for name in ("a.gguf", "b.gguf", "c.gguf")]
        page = self.directory / "page.html"
        said = brisk("eval", *models, "--reference", models[0], "--text", self.text, "--html", page)
        lines = said.splitlines()
        self.assertEqual([line.split()[0] for line in lines[2:]], ["a", "b", "c"])
        for heading in ("size", "perplexity", "mean KL", "flips %", "decode tokens/s"):
            self.assertIn(heading, lines[0])
        html = page.read_text()
        self.assertEqual(html.count("<circle"), 3 * 3)
        self.assertIn("mean KL against size", html)
        self.assertNotIn("http", html.replace("http-equiv", ""))

    def test_an_artefact_carries_its_report(self):
        for case, name in (("blocks-q8_0", "model.gguf"), ("llama2", None)):
            path = self.model(case, name) if name else self.directory / "hf"
            if not name:
                shutil.copytree(CASES / case / "hf", path)
            before = brisk("inspect", path)
            self.assertNotIn("as its maker measured it", before)
            brisk("eval", path, "--text", self.text, "--attach")
            said = brisk("inspect", path)
            self.assertIn("quality, as its maker measured it", said)
            self.assertRegex(said, r"perplexity +\d")
            report = json.loads(brisk("inspect", path, "--json"))["quality_report"]
            self.assertEqual(report["text"]["documents"], len(DOCUMENTS))
            copy = self.directory / f"copy-of-{case}.gguf"
            brisk("convert", path, copy)
            self.assertEqual(json.loads(brisk("inspect", copy, "--json"))["quality_report"], report)
            done = run("convert", path, self.directory / f"changed-{case}.gguf", "--dtype", "q4_0"
                       if case.startswith("blocks") else "f16")
            self.assertIn("report", done.stderr)
            changed = json.loads(brisk("inspect", self.directory / f"changed-{case}.gguf", "--json"))
            self.assertNotIn("quality_report", changed)

    def test_pruned_weights_are_not_what_was_measured(self):
        path, pruned = self.model("llama2"), self.directory / "pruned.gguf"
        brisk("eval", path, "--text", self.text, "--attach")
        brisk("prune", path, pruned, "--sparsity", "0.5", "--method", "magnitude")
        self.assertNotIn("as its maker measured it", brisk("inspect", pruned))

    def test_one_that_misses_its_gate_gets_none(self):
        path = self.model("blocks-q8_0")
        done = run("eval", path, "--text", self.text, "--attach", "--max-size", "1")
        self.assertEqual(done.returncode, 2)
        self.assertNotIn("as its maker measured it", brisk("inspect", path))

    def test_a_report_that_nobody_can_read_is_said_so(self):
        path = self.directory / "odd.gguf"
        metadata, tensors = gguf_file.read(CASES / "llama2" / "model.gguf")
        for report in ("not json", '{"model": 7}', '{"model": "a\\u001b[31m", "bytes": 1}'):
            metadata["brisk.report"] = report
            gguf_file.write(path, metadata, tensors)
            said = brisk("inspect", path)
            self.assertIn("as its maker measured it", said)
            self.assertNotIn("\x1b", said)
            brisk("inspect", path, "--json")

    def test_what_goes_wrong_is_said(self):
        model = self.model("llama2")
        for arguments, message in [
            ([model], "nothing to measure"),
            (["--text", self.text], "name a model"),
            ([model, "--text", self.directory / "none"], "none"),
            ([model, "--choices", self.write("c.jsonl", [{"query": 1}])], "line 1"),
            ([model, "--questions", self.write("q.jsonl", [{}])], "line 1"),
            ([model, "--text", self.text, "--reference", self.model("gpt2")], "vocabulary"),
            ([model, "--text", self.write("empty.jsonl", [{"text": ""}])], "no token"),
            ([model, "--tasks", "add", "--server", "http://127.0.0.1:1"], "either models or"),
        ]:
            done = run("eval", *arguments)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertIn(message, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
