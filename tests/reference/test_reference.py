#!/usr/bin/env python3
"""Checks of the reference itself. BRISK_DATA names the folder of real models (else ../shared/data
beside the repository); what needs it is skipped where it is absent."""

import copy
import json
import os
import tempfile
import unittest
from pathlib import Path

import numpy as np

import bitnet
import blocks
import cases
import checkpoints
import configs
import families
import floats
import forward
import generate
import gguf_file
import gguf_models
import layers
import llama2c
import perplexity
import rope
import safetensors_file
import sentencepiece_bpe
import tiny_tokenizers
import to_gguf

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BRISK_DATA", REPOSITORY.parent / "shared" / "data"))
needs_data = unittest.skipUnless(DATA.is_dir(), f"no real models at {DATA} (set BRISK_DATA)")
CASES = {case.name: case for case in cases.CASES}
IDS = np.random.default_rng(7).integers(3, configs.VOCAB, cases.PROMPT_TOKENS).tolist()


def model_of(name):
    case = CASES[name]
    return families.build(case.config, checkpoints.random_tensors(case), case.context)


class Operations(unittest.TestCase):
    def test_window_hides_everything_older(self):
        rng = np.random.default_rng(0)
        q, k, v = rng.normal(size=(3, 12, 2, 4))
        before = layers.attention(q, k, v, 0.5, window=5)
        k[:8], v[:8] = 99.0, -99.0  # the last query sees keys 7 to 11
        np.testing.assert_array_equal(layers.attention(q, k, v, 0.5, window=4)[-1],
                                      layers.attention(q[8:], k[8:], v[8:], 0.5)[-1])
        after = layers.attention(q, k, v, 0.5, window=5)
        self.assertGreater(np.abs(after[-1] - before[-1]).max(), 1)

    def test_interleaved_rotation_is_half_split_rotation_of_reordered_rows(self):
        rng = np.random.default_rng(1)
        x, weight = rng.normal(size=(9, 10)), rng.normal(size=(3 * 8, 10))
        cos, sin = rope.Rope(10000.0, rope.plain(4)).cos_sin(9)
        half = layers.rotate((x @ weight.T).reshape(9, 3, 8), cos, sin, interleaved=False)
        reordered = to_gguf.interleave(weight, heads=3)
        inter = layers.rotate((x @ reordered.T).reshape(9, 3, 8), cos, sin, interleaved=True)
        np.testing.assert_allclose(np.einsum("qhd,khd->hqk", half, half),
                                   np.einsum("qhd,khd->hqk", inter, inter), atol=1e-12)
        self.assertFalse(np.allclose(reordered, weight))

    def test_scores_depend_on_distance_alone(self):
        rng = np.random.default_rng(2)
        x = np.repeat(rng.normal(size=(1, 1, 8)), 12, axis=0)
        turned = layers.rotate(x, *rope.Rope(10000.0, rope.plain(4)).cos_sin(12), False)[:, 0]
        scores = turned @ turned.T
        for distance in range(12):
            np.testing.assert_allclose(np.diff(np.diagonal(scores, distance)), 0, atol=1e-12)

    def test_llama3_keeps_blends_and_stretches(self):
        divisors = rope.llama3(8, 500000.0, 8.0, 1.0, 4.0, 64)
        self.assertEqual(divisors[0], 1.0)
        self.assertTrue(1.0 < divisors[1] < 8.0)
        np.testing.assert_array_equal(divisors[2:], 8.0)

    def test_longrope_magnitude_of_phi3_128k(self):
        self.assertAlmostEqual(rope.longrope_magnitude(131072, 4096), 1.1902380714238083, places=12)

    def test_renormalised_routing_is_softmax_over_the_chosen(self):
        logits = np.array([[0.1, 2.0, -1.0, 1.0]])
        weight = layers.route(logits, 2, renormalise=True)
        np.testing.assert_allclose(weight[0, [1, 3]], layers.softmax(np.array([2.0, 1.0])))
        self.assertEqual(weight[0, 0], 0.0)
        np.testing.assert_allclose(layers.route(logits, 2, renormalise=False)[0, [1, 3]],
                                   layers.softmax(logits)[0, [1, 3]])

    def test_bfloat16_rounds_halves_to_even(self):
        ulp = 2.0**-7
        given = np.array([1 + ulp / 2, 1 + 3 * ulp / 2, 1 + 0.51 * ulp, -3.1415927])
        np.testing.assert_array_equal(floats.rounded(given, "bf16"),
                                      [1, 1 + 2 * ulp, 1 + ulp, -3.140625])


class Layouts(unittest.TestCase):
    def test_both_layouts_read_back_to_the_same_logits(self):
        for case in cases.CASES:
            with self.subTest(case.name), tempfile.TemporaryDirectory() as scratch:
                self.check(case, Path(scratch))

    def check(self, case, scratch):
        tensors = checkpoints.random_tensors(case)
        want = forward.forward(families.build(case.config, tensors, case.context), IDS)
        checkpoints.write_hugging_face(scratch, case, tensors)
        config = json.loads((scratch / "config.json").read_text())
        read_back = safetensors_file.read_directory(scratch)
        model = families.build(config, read_back, case.context)
        np.testing.assert_array_equal(forward.forward(model, IDS), want)
        if case.gguf:
            metadata, stored = to_gguf.convert(case.config, tensors, case.dtype)
            metadata.update(tiny_tokenizers.gguf_keys(case.config))
            gguf_file.write(scratch / "model.gguf", metadata, stored)
            model = gguf_models.build(*gguf_file.read(scratch / "model.gguf"), case.context)
            # float32 metadata and frequency tables are all that may differ.
            np.testing.assert_allclose(forward.forward(model, IDS), want, atol=2e-5)

    def test_tokenizers_have_as_many_tokens_as_the_models(self):
        for case in cases.CASES:
            keys = tiny_tokenizers.gguf_keys(case.config)
            self.assertEqual(len(keys["tokenizer.ggml.tokens"]), configs.VOCAB)
            self.assertEqual(len(set(keys["tokenizer.ggml.tokens"])), configs.VOCAB)
            vocab = tiny_tokenizers.tokenizer_json(case.config)["model"]["vocab"]
            for token, i in vocab.items():
                self.assertEqual(keys["tokenizer.ggml.tokens"][i], token)

    def test_generation_is_deterministic(self):
        with tempfile.TemporaryDirectory() as scratch:
            for run in ("a", "b"):
                generate.generate(Path(scratch, run), ["qwen3moe", "blocks-q4_k", "bitnet"])
            first = sorted(path for path in Path(scratch, "a").rglob("*") if path.is_file())
            self.assertGreater(len(first), 10)
            for path in first:
                other = Path(scratch, "b", path.relative_to(Path(scratch, "a")))
                self.assertEqual(path.read_bytes(), other.read_bytes(), path.name)


def without(**changes):
    """A change to every layer."""

    def change(model):
        for layer in model.layers:
            for name, value in changes.items():
                setattr(layer, name, value)

    return change


def model_without(**changes):
    def change(model):
        for name, value in changes.items():
            setattr(model, name, value)

    return change


def plain_rope(model):
    for layer in model.layers:
        layer.rope.divisors = np.ones_like(layer.rope.divisors)


def unit_magnitude(model):
    for layer in model.layers:
        layer.rope.magnitude = 1.0


def one_rope(model):
    for layer in model.layers:
        layer.rope = model.layers[5].rope


def no_bias(model):
    for layer in model.layers:
        layer.q.bias = layer.k.bias = layer.v.bias = None


def flip_renormalise(model):
    for layer in model.layers:
        if isinstance(layer.ffn, forward.Moe):
            layer.ffn.renormalise = not layer.ffn.renormalise


def no_shared_expert(model):
    for layer in model.layers:
        layer.ffn.shared = None


class Discrimination(unittest.TestCase):
    """Leaving out what is special about a family must show in its case's logits."""

    MUTATIONS = [
        ("llama2", model_without(eps=1e-2)),
        ("llama2-linear-rope", plain_rope),
        ("llama3", plain_rope),
        ("mistral", without(window=None)),
        ("mistral", without(window=9)),
        ("mixtral", flip_renormalise),
        ("qwen2", no_bias),
        ("qwen2", without(window=8)),
        ("qwen2-window", without(window=None)),
        ("qwen2-window", without(window=8)),
        ("qwen3", without(q_norm=None)),
        ("qwen3", without(k_norm=None)),
        ("qwen2moe", flip_renormalise),
        ("qwen2moe", no_shared_expert),
        ("qwen3moe", flip_renormalise),
        ("phi3-window", without(window=None)),
        ("phi3-longrope-short", plain_rope),
        ("phi3-longrope-short", unit_magnitude),
        ("phi3-longrope-long", plain_rope),
        ("phi3-longrope-long", unit_magnitude),
        ("phi4-mini", plain_rope),
        ("gemma2", model_without(attention_softcap=None)),
        ("gemma2", model_without(logit_softcap=None)),
        ("gemma2", model_without(embedding_scale=1.0)),
        ("gemma2", model_without(activation=layers.silu)),
        ("gemma2", without(window=None)),
        ("gemma2", without(window=8)),
        ("gemma2", without(attention_post_norm=None)),
        ("gemma2", without(ffn_post_norm=None)),
        ("gemma2-query-scalar", model_without(attention_scale=20**-0.5)),
        ("gemma3", one_rope),
        ("gemma3", without(window=None)),
        ("gemma3", without(window=6)),
        ("gemma3", without(q_norm=None)),
        ("gpt2", model_without(position_embedding=None)),
        ("gpt2", no_bias),
    ]

    def test_every_special_trait_moves_the_logits(self):
        for name, mutate in self.MUTATIONS:
            with self.subTest(name, mutation=getattr(mutate, "__name__", mutate)):
                model = model_of(name)
                mutant = copy.deepcopy(model)
                mutate(mutant)
                moved = forward.forward(mutant, IDS) - forward.forward(model, IDS)
                self.assertGreater(np.abs(moved[-1]).max(), 0.01)


class Blocks(unittest.TestCase):
    def test_q4_0_by_hand(self):
        block = np.array([2.0], "<f2").tobytes() + bytes([0x1F] + [0x88] * 15)
        values = blocks.decode(block, "Q4_0", (32,))
        self.assertEqual((values[0], values[16], values[1]), (14.0, -14.0, 0.0))

    def test_mxfp4_by_hand(self):
        values = blocks.decode(bytes([128, 0xF7] + [0] * 15), "MXFP4", (32,))
        self.assertEqual((values[0], values[16], values[1]), (12.0, -12.0, 0.0))

    def test_q6_k_by_hand(self):
        block = bytearray(210)
        block[32], block[128] = 0x50, 0x30 | 0x80  # element 96: low 5, high 2; element 64: high 3
        block[192:208] = bytes([1, 1, 1, 1, 3, 1, 0xFF, 1] + [1] * 8)
        block[208:210] = np.array([0.5], "<f2").tobytes()
        values = blocks.decode(bytes(block), "Q6_K", (256,))
        self.assertEqual(values[64], 0.5 * 3 * (48 - 32))
        self.assertEqual(values[96], 0.5 * -1 * (37 - 32))
        self.assertEqual(values[255], -16.0)

    def test_q4_k_last_group_takes_its_scale_from_three_places(self):
        block = bytearray(144)
        block[0:4] = np.array([1.0, 2.0], "<f2").tobytes()
        block[4 + 3], block[4 + 7], block[4 + 11] = 0b10 << 6, 0b11 << 6, 0x5A
        block[16 + 127] = 0x90
        values = blocks.decode(bytes(block), "Q4_K", (256,))
        self.assertEqual(values[255], (0x2A * 9) - 2 * 0x35)
        self.assertEqual(values[254], -2 * 0x35)

    def test_random_blocks_are_finite_and_of_the_asked_size(self):
        rng = np.random.default_rng(3)
        for name, format in blocks.FORMATS.items():
            values = blocks.decode(blocks.random_blocks(name, 4096, rng, 0.1), name, (-1,))
            self.assertTrue(np.isfinite(values).all(), name)
            self.assertTrue(0.08 < values.std() < 0.13, name)
            self.assertLess(abs(values.mean()), 0.02, name)


class RealModels(unittest.TestCase):
    @needs_data
    def test_llama2c_logits_and_greedy_ids_are_the_golden_ones(self):
        for golden, checkpoint in (
            ("stories260K-f32", "stories260K/stories260K.bin"),
            ("stories260K-q8-gs8-dequant", "stories260K/stories260K-q8.bin"),
            ("stories3M-q80-gs64-dequant", "stories3M/stories3M-q80.bin"),
        ):
            _, model = llama2c.read(DATA / "models" / checkpoint)
            self.check(golden, lambda ids: forward.forward(model, ids), 2e-5)

    @needs_data
    def test_gguf_llama_logits_are_the_golden_ones(self):
        path = DATA / "models/stories260K/stories260Ktok512.gguf"
        model = gguf_models.build(*gguf_file.read(path))
        self.check("stories260K-f32", lambda ids: forward.forward(model, ids), 2e-5)

    @needs_data
    def test_bitnet_greedy_ids_are_the_golden_ones(self):
        # The first prompt has an activation 4e-7 of a step from a tie, which float32 rounds the
        # other way: logits differ by 0.07 there, and by 5e-6 in the other.
        model = bitnet.read(DATA / "models/bitllama3M/model.bin")
        self.check("bitllama-3M", lambda ids: bitnet.forward(model, ids), 0.15)

    def check(self, golden, logits_of, tolerance):
        for case in json.loads((DATA / f"models/golden/{golden}.json").read_text()):
            prompt, greedy_ids = case["prompt_ids"], case["greedy_ids"]
            logits = logits_of(prompt + greedy_ids[:-1])[len(prompt) - 1 :]
            np.testing.assert_allclose(logits[0], case["first_logits"], atol=tolerance, rtol=0)
            self.assertEqual(logits.argmax(axis=-1).tolist(), greedy_ids)

    @needs_data
    def test_stories260k_tells_the_story_its_readme_tells(self):
        tokenizer = sentencepiece_bpe.read(DATA / perplexity.TOKENIZER)
        _, model = llama2c.read(DATA / perplexity.CHECKPOINT)
        ids, _ = forward.greedy(lambda ids: forward.forward(model, ids), [tokenizer.bos], 200)
        readme = " ".join((DATA / "README.md").read_text().split())
        self.assertIn(json.dumps(tokenizer.decode(ids))[1:-1], readme)

    @needs_data
    def test_perplexity_of_the_first_stories_is_the_recorded_one(self):
        recorded = json.loads(Path(__file__).with_name("stories260K-perplexity.json").read_text())
        model, tokenizer, stories = perplexity.load(DATA)
        found = perplexity.measure(model, tokenizer, stories[: perplexity.FEW])
        want = recorded[f"first_{perplexity.FEW}"]
        self.assertEqual(found["tokens"], want["tokens"])
        self.assertAlmostEqual(found["nats"], want["nats"], places=4)


if __name__ == "__main__":
    unittest.main()
