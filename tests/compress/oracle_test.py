#!/usr/bin/env python3
"""Compares brisk's compression with tiny implementations of the same papers in numpy.

  oracle_test.py BRISK MODEL REFERENCE

MODEL: a Hugging Face directory of a llama with float weights; REFERENCE: tests/reference, whose
readers are used. The inputs of the first layer's q, k and v are computed here from the embedding and
the norm alone, so that nothing of brisk's own forward pass is trusted.
"""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

BRISK, MODEL, REFERENCE = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
sys.path.append(REFERENCE)
import gguf_file  # noqa: E402
import safetensors_file  # noqa: E402

V = "model.layers.0.self_attn.v_proj.weight"
NORM = "model.layers.0.input_layernorm.weight"
TEXT = ("Once upon a time there was a little dog. The dog lived with a girl in a house near the "
        "river. One day the girl went to the market and bought a red ball for the dog. ") * 6
DAMPING = 0.01


def brisk(*arguments):
    return subprocess.run([BRISK, *map(str, arguments)], check=True, capture_output=True,
                          text=True).stdout


def inputs(tensors, config, ids):
    """What the products q, k and v of the first layer are given: (tokens, hidden)."""
    x = tensors["model.embed_tokens.weight"][ids]
    rms = np.sqrt(np.mean(x * x, axis=1, keepdims=True) + config["rms_norm_eps"])
    return x / rms * tensors[NORM]


def upper_factor(gram):
    """U with (gram + damping)^-1 = U^T U."""
    h = gram + DAMPING * np.mean(np.diag(gram)) * np.eye(len(gram))
    return np.linalg.cholesky(np.linalg.inv(h)).T


def largest_first(gram, group):
    """Groups of inputs by their sum of squares, and the inputs of each by theirs."""
    squares = np.diag(gram).reshape(-1, group)
    groups = np.argsort(-squares.sum(axis=1), kind="stable")
    return np.concatenate([g * group + np.argsort(-squares[g], kind="stable") for g in groups])


def gptq_codes(weights, gram, scales, zeros, group, levels):
    """Algorithm 1 of arXiv 2210.17323 with its activation order, group by group, for scales and
    zero points that are given: codes in [0, levels)."""
    order = largest_first(gram, group)
    factor = upper_factor(gram[np.ix_(order, order)])
    w = weights[:, order]
    codes = np.zeros(w.shape, int)
    for j, i in enumerate(order):
        scale, zero = scales[:, i // group], zeros[:, i // group]
        scaled = np.divide(w[:, j], scale, out=np.zeros_like(scale, float), where=scale != 0)
        codes[:, i] = np.clip(np.rint(scaled) + zero, 0, levels - 1)
        error = (w[:, j] - (codes[:, i] - zero) * scale) / factor[j, j]
        w[:, j:] -= np.outer(error, factor[j, j:])
    return codes


def unpacked(words, count):
    """compressed-tensors' words of eight codes along the last axis."""
    words = words.astype(np.uint32)
    codes = words[..., None] >> (4 * np.arange(8, dtype=np.uint32)) & 15
    return codes.reshape(*words.shape[:-1], -1)[..., :count].astype(int)


def sparsegpt(weights, factor, sparsity, width=128):
    """Algorithm 1 of arXiv 2301.00774, masks chosen for `width` inputs at a time."""
    w = weights.copy()
    for begin in range(0, w.shape[1], width):
        end = min(begin + width, w.shape[1])
        score = (w[:, begin:end] / np.diag(factor)[begin:end]) ** 2
        count = round(sparsity * score.size)
        gone = score <= np.sort(score.ravel())[count - 1]
        for j in range(begin, end):
            error = np.where(gone[:, j - begin], w[:, j], 0) / factor[j, j]
            w[:, j + 1:] -= np.outer(error, factor[j, j + 1:])
            w[gone[:, j - begin], j] = 0
    return w


def bf16(x):
    bits = np.asarray(x, np.float32).view(np.uint32)
    return (bits + 0x7FFF + (bits >> 16 & 1) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def through_int4_cache(x):
    """What is read of vectors (..., head size) that were put into brisk's int4 KV cache."""
    groups = np.asarray(x, np.float32).reshape(*x.shape[:-1], -1, 32)
    low = bf16(groups.min(axis=-1, keepdims=True))
    step = bf16((groups.max(axis=-1, keepdims=True) - low) * np.float32(1 / 15))
    codes = np.clip(np.rint((groups - low) / np.where(step > 0, step, 1)), 0, 15)
    return (codes * step + low).reshape(x.shape)


def smoothing_candidates(maxima):
    """Factors for a head's channels: the largest magnitudes, which the two channels of a rotated
    pair share for keys, raised to 0, 0.1, ... 1 and centred."""
    logs = [exponent / 10 * np.log2(maxima) for exponent in range(11)]
    return [np.exp2(log - (log.min() + log.max()) / 2) for log in logs]


class Compression(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.path = Path(cls.directory.name)
        cls.config = json.loads((MODEL / "config.json").read_text())
        cls.tensors = cls.read(MODEL)
        (cls.path / "text.txt").write_text(TEXT)
        ids = [int(i) for i in brisk("tokenize", MODEL, TEXT, "--ids", "--no-special").split()]
        limit = cls.config["max_position_embeddings"]
        assert 128 < len(ids) < limit, len(ids)  # one window
        cls.x = inputs(cls.tensors, cls.config, ids)
        cls.gram = cls.x.T @ cls.x

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    @staticmethod
    def read(directory):
        return {name: np.asarray(values, np.float64)
                for name, values in safetensors_file.read_directory(directory).items()}

    def run_brisk(self, command, out, *options):
        brisk(command, MODEL, self.path / out, *options, "--calibration", self.path / "text.txt",
              "--threads", 2)
        return self.path / out

    def test_wanda_removes_the_lowest_of_the_papers_scores(self):
        pruned = self.read(self.run_brisk("prune", "wanda", "--method", "wanda"))[V]
        score = np.abs(self.tensors[V]) * np.sqrt(np.diag(self.gram))
        order = np.argsort(score, axis=None)
        expected = self.tensors[V].copy()
        np.put(expected, order[:score.size // 2], 0)
        self.assertEqual(np.count_nonzero(pruned), np.count_nonzero(expected))
        # Ties and sums in another order may exchange a weight or two.
        self.assertLess(np.mean(pruned != expected), 1e-3)

    def test_sparsegpt_removes_and_corrects_as_the_paper_does(self):
        pruned = self.read(self.run_brisk("prune", "sparsegpt", "--method", "sparsegpt",
                                          "--damping", DAMPING))[V]
        expected = sparsegpt(self.tensors[V], upper_factor(self.gram), 0.5)
        self.assertLess(np.mean((pruned == 0) != (expected == 0)), 2e-3)
        self.assertLess(self.loss(pruned), 1.02 * self.loss(expected))
        both = (pruned != 0) & (expected != 0)
        error = np.abs(pruned - expected)[both] / np.abs(expected[both]).mean()
        self.assertLess(np.median(error), 0.01)  # what bf16 rounds

    def loss(self, weights):
        """Squared error of the products over the calibration text."""
        difference = weights - self.tensors[V]
        return np.einsum("ij,jk,ik->", difference, self.gram, difference)

    def test_gptq_chooses_the_codes_that_the_paper_chooses(self):
        out = self.run_brisk("quantize", "gptq.gguf", "--scheme", "q4_0", "--method", "gptq",
                             "--damping", DAMPING)
        stored = gguf_file.read(out)[1]["blk.0.attn_v.weight"]
        rows, depth = self.tensors[V].shape
        blocks = np.frombuffer(stored.data, np.uint8).reshape(rows, depth // 32, 18)
        steps = blocks[:, :, :2].copy().view(np.float16)[:, :, 0].astype(np.float64)
        low, high = blocks[:, :, 2:] & 15, blocks[:, :, 2:] >> 4
        codes = np.concatenate([low, high], axis=2).reshape(rows, depth).astype(int) - 8
        middle = np.full(steps.shape, 8)
        expected = gptq_codes(self.tensors[V], self.gram, steps, middle, 32, 16) - 8
        # One rounding that falls the other way moves what follows it in its row.
        self.assertLess(np.mean(codes != expected), 0.03)
        ours = self.loss(codes * np.repeat(steps, 32, axis=1))
        oracle = self.loss(expected * np.repeat(steps, 32, axis=1))
        self.assertLess(abs(ours / oracle - 1), 0.03)
        nearest = np.clip(np.rint(self.tensors[V] / np.repeat(steps, 32, axis=1)), -8, 7)
        self.assertLess(ours, 0.8 * self.loss(nearest * np.repeat(steps, 32, axis=1)))

    def test_gptq_of_groups_chooses_the_codes_that_the_paper_chooses(self):
        module = V.removesuffix(".weight")
        rows, depth = self.tensors[V].shape
        for scheme, group in (("int4-g32", 32), ("int4-g64", 64), ("int4-g64-asym", 64)):
            out = self.run_brisk("quantize", scheme, "--scheme", scheme, "--method", "gptq",
                                 "--damping", DAMPING)
            stored = self.read(out)
            codes = unpacked(stored[f"{module}.weight_packed"].astype(np.int64), depth)
            scales = stored[f"{module}.weight_scale"]
            self.assertEqual(scales.shape, (rows, depth // group))
            zeros = np.full(scales.shape, 8)
            if scheme.endswith("asym"):
                packed = stored[f"{module}.weight_zero_point"].astype(np.int64)
                zeros = unpacked(packed.T, rows).T
            expected = gptq_codes(self.tensors[V], self.gram, scales, zeros, group, 16)
            self.assertLess(np.mean(codes != expected), 0.03, scheme)
            wide = np.repeat(scales, group, axis=1)
            middle = np.repeat(zeros, group, axis=1)
            ours, oracle = (self.loss((c - middle) * wide) for c in (codes, expected))
            self.assertLess(abs(ours / oracle - 1), 0.03, scheme)
            nearest = np.clip(np.rint(self.tensors[V] / wide) + middle, 0, 15)
            self.assertLess(ours, 0.8 * self.loss((nearest - middle) * wide), scheme)

    def test_w8a8_after_smoothquant_rounds_what_the_paper_says(self):
        out = self.run_brisk("quantize", "w8a8", "--scheme", "w8a8", "--method", "smoothquant")
        stored = self.read(out)
        prefix = "model.layers.0.self_attn."
        weights = np.max([np.abs(self.tensors[f"{prefix}{m}_proj.weight"]).max(axis=0)
                          for m in "qkv"], axis=0)
        factors = np.sqrt(np.abs(self.x).max(axis=0) / weights)
        factors /= np.sqrt(factors.min() * factors.max())
        np.testing.assert_allclose(stored[NORM], self.tensors[NORM] / factors, rtol=1e-3)
        # k, whose rows nothing else divides.
        module = prefix + "k_proj.weight"
        smooth = self.tensors[module] * factors
        scales = stored[module + "_scale"]
        self.assertEqual(scales.shape, (len(smooth), 1))
        np.testing.assert_allclose(scales[:, 0], 2 * np.abs(smooth).max(axis=1) / 255, rtol=1 / 256)
        expected = np.clip(np.rint(smooth / scales), -128, 127)
        self.assertLess(np.mean(stored[module] != expected), 1e-3)
        config = json.loads((out / "config.json").read_text())["quantization_config"]
        self.assertEqual(config["config_groups"]["group_0"]["input_activations"]["dynamic"], True)

    def test_awq_divides_the_norm_by_a_power_of_the_mean_input(self):
        out = self.run_brisk("quantize", "awq.gguf", "--scheme", "q4_0", "--method", "awq")
        stored = gguf_file.read(out)[1]
        norm = np.frombuffer(stored["blk.0.attn_norm.weight"].data, np.float32)
        factors = np.log(self.tensors[NORM] / norm)
        means = np.log(np.maximum(np.mean(np.abs(self.x), axis=0), 1e-4))
        exponent, offset = np.polyfit(means, factors, 1)
        self.assertLess(np.max(np.abs(factors - exponent * means - offset)), 1e-3)
        self.assertLess(abs(20 * exponent - round(20 * exponent)), 1e-2)
        self.assertGreater(exponent, -1e-3)
        self.assertLess(abs(factors.max() + factors.min()), 1e-3)  # centred around 1
        changed = [layer for layer in range(self.config["num_hidden_layers"])
                   if not np.allclose(
                       np.frombuffer(stored[f"blk.{layer}.ffn_norm.weight"].data, np.float32),
                       self.tensors[f"model.layers.{layer}.post_attention_layernorm.weight"])]
        self.assertTrue(changed)

    def test_smoothquant_divides_by_what_the_paper_says(self):
        out = self.run_brisk("quantize", "smooth.gguf", "--scheme", "q8_0", "--method",
                             "smoothquant")
        norm = np.frombuffer(gguf_file.read(out)[1]["blk.0.attn_norm.weight"].data, np.float32)
        prefix = "model.layers.0.self_attn."
        weights = np.max([np.abs(self.tensors[f"{prefix}{m}_proj.weight"]).max(axis=0)
                          for m in "qkv"], axis=0)
        factors = np.sqrt(np.abs(self.x).max(axis=0) / weights)
        factors /= np.sqrt(factors.min() * factors.max())
        np.testing.assert_allclose(norm, self.tensors[NORM] / factors, rtol=1e-3)

    def rotated(self, x):
        """Heads (tokens, heads, size) at positions 0, 1, ...: pairs are halves apart."""
        half = x.shape[2] // 2
        base = self.config.get("rope_theta") or self.config["rope_parameters"]["rope_theta"]
        angles = np.outer(np.arange(len(x)), base ** (-np.arange(half) / half))[:, None]
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * np.cos(angles) - b * np.sin(angles),
                               a * np.sin(angles) + b * np.cos(angles)], axis=2)

    def check_kv_factors(self, factors, x, maxima, weights):
        """`factors` leave keys or values x (tokens, size) of a head the least weighed loss."""
        losses = [np.sum(weights * (through_int4_cache(x / f) * f - x) ** 2)
                  for f in smoothing_candidates(maxima)]
        chosen = [loss for f, loss in zip(smoothing_candidates(maxima), losses)
                  if np.allclose(f, factors, rtol=1e-3)]
        self.assertTrue(chosen)
        self.assertLess(chosen[0], 1.001 * min(losses))

    def test_kv_smoothing_scales_by_powers_of_the_largest_keys_and_values(self):
        """SmoothAttention (arXiv 2405.04532), with the exponent and what it scales searched."""
        stored = self.read(self.run_brisk("quantize", "kv", "--scheme", "f32",
                                          "--kv-calibration", "int4"))
        prefix = "model.layers.0.self_attn."
        before = {m: self.tensors[f"{prefix}{m}_proj.weight"] for m in "qkvo"}
        after = {m: stored[f"{prefix}{m}_proj.weight"] for m in "qkvo"}
        kv_heads, size = self.config["num_key_value_heads"], self.config["head_dim"]
        group = self.config["num_attention_heads"] // kv_heads
        q, k = (self.rotated((self.x @ before[m].T).reshape(len(self.x), -1, size)) for m in "qk")
        v = (self.x @ before["v"].T).reshape(len(self.x), -1, size)
        factors = {m: np.max(np.abs(before[m]), axis=1) / np.max(np.abs(after[m]), axis=1)
                   for m in "kv"}
        for m in "kv":
            np.testing.assert_allclose(after[m] * factors[m][:, None], before[m], rtol=1e-5)
            self.assertGreater(factors[m].max(), 1.05 * factors[m].min())
        heads = [g for g in range(kv_heads) for _ in range(group)]
        spread = {m: np.concatenate([factors[m].reshape(-1, size)[g] for g in heads]) for m in "kv"}
        np.testing.assert_allclose(after["q"], before["q"] * spread["k"][:, None], rtol=1e-5)
        np.testing.assert_allclose(after["o"], before["o"] * spread["v"], rtol=1e-5)
        output = np.sum(before["o"] ** 2, axis=0).reshape(kv_heads, group, size).sum(axis=1)
        for g in range(kv_heads):
            rows = slice(g * size, (g + 1) * size)
            maxima = np.abs(k[:, g]).max(axis=0).reshape(2, -1).max(axis=0)
            queries = np.sum(q[:, g * group:(g + 1) * group] ** 2, axis=(0, 1))
            self.check_kv_factors(factors["k"][rows], k[:, g], np.tile(maxima, 2), queries)
            self.check_kv_factors(factors["v"][rows], v[:, g], np.abs(v[:, g]).max(axis=0),
                                  output[g])

    def factors(self, *options):
        """The product that stands for V in a model of f32, and its rank."""
        whole, out = self.path / "f32", self.path / "factors"
        brisk("convert", MODEL, whole, "--dtype", "f32")
        brisk("factorize", whole, out, "--threads", 2, *options)
        tensors = self.read(out)
        self.assertNotIn(V, tensors)
        a, b = (tensors[V.replace("weight", f"low_rank_{factor}.weight")] for factor in "ab")
        self.assertEqual(a.shape[0], b.shape[1])
        # Both are equally long, component by component.
        np.testing.assert_allclose(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=0), rtol=1e-4)
        return b @ a, a.shape[0]

    def test_factors_without_a_text_are_the_truncated_svd_of_the_weights(self):
        product, rank = self.factors("--energy", "0.5")
        u, s, v = np.linalg.svd(self.tensors[V], full_matrices=False)
        share = np.cumsum(s ** 2) / np.sum(s ** 2)
        self.assertGreaterEqual(share[rank - 1], 0.5)
        expected = u[:, :rank] * s[:rank] @ v[:rank]
        error = np.linalg.norm(product - expected) / np.linalg.norm(expected)
        self.assertLess(error, 1e-5)

    def test_factors_on_a_text_are_the_svd_that_the_paper_whitens(self):
        """SVD-LLM (arXiv 2403.07378): W S is truncated, with S the Cholesky factor of the Gram
        matrix, and S taken off again."""
        product, rank = self.factors("--energy", "0.8", "--damping", DAMPING, "--calibration",
                                     self.path / "text.txt")
        damped = self.gram + DAMPING * np.mean(np.diag(self.gram)) * np.eye(len(self.gram))
        whitener = np.linalg.cholesky(damped)
        u, s, v = np.linalg.svd(self.tensors[V] @ whitener, full_matrices=False)
        share = np.cumsum(s ** 2) / np.sum(s ** 2)
        self.assertGreaterEqual(share[rank - 1], 0.8)
        expected = u[:, :rank] * s[:rank] @ v[:rank] @ np.linalg.inv(whitener)
        error = np.linalg.norm(product - expected) / np.linalg.norm(expected)
        self.assertLess(error, 1e-3)
        self.assertLess(self.loss(product), 1.01 * self.loss(expected))
        u, s, v = np.linalg.svd(self.tensors[V], full_matrices=False)
        self.assertLess(self.loss(product), 0.9 * self.loss(u[:, :rank] * s[:rank] @ v[:rank]))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
