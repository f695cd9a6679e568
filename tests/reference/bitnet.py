"""BitNet b1.58 (Ma et al. 2024) in the file layout of bitllama2.c, and its forward pass.

Layout, little-endian: the 256-byte header of llama2.c version 1: magic "24ka" (0x616b3432), int32
version 1, int32 dim, ffn, layers, heads, kv_heads, vocab, context, one byte that is 1 where the
head is the embedding, zeros. Then float32 final norm (dim) and embedding (vocab, dim). Then wq of
every layer, wk of every layer, and so on: wv, wo, w1 (gate), w2 (down), w3 (up). Each matrix is one
float32 scale and then its out * in ternary values, row-major (out, in), four to a byte, the first
in the two lowest bits: 0 is 0, 1 is +1, 3 is -1, and 2 does not occur. A weight is scale * value.
llama2.c's own float32 version 1 has the same header; only the size of the file tells them apart.

There are no other norms: every linear layer normalises its own input.
"""

import struct
from dataclasses import dataclass
from functools import partial

import numpy as np

from layers import attention, rms_norm, rotate, silu
from llama2c import EPS, HEADER_BYTES, MAGIC, THETA, Config, Reader
from rope import Rope, plain

TERNARY = np.array([0.0, 1.0, np.nan, -1.0])


@dataclass
class BitLinear:
    values: np.ndarray  # (out, in) of -1, 0, +1
    scale: float

    def __call__(self, x, trace=None):
        """Normalise, round to int8 with one scale per token, multiply, scale back.

        The norm is x / |x| / sqrt(in), without gain or eps: its rms is 1 / in, not 1 (the model was
        trained so). int8 is 127 * x / max|x|, rounded to the nearest, halves to even.
        """
        norm = np.sqrt(np.sum(x * x, axis=-1, keepdims=True))
        x = x / np.maximum(norm, 1e-12) / np.sqrt(x.shape[-1])
        step = np.maximum(np.max(np.abs(x), axis=-1, keepdims=True), 1e-5) / 127.0
        int8 = np.clip(np.rint(x / step), -128, 127)
        if trace is not None:
            margin = 0.5 - np.abs(x / step - int8).max()
            trace.rounding_margin_min = min(trace.rounding_margin_min, float(margin))
        return (int8 @ self.values.T) * step * self.scale


@dataclass
class BitModel:
    config: Config
    embedding: np.ndarray
    final_norm: np.ndarray
    layers: list  # of {"wq": BitLinear, ...}


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    magic, version = struct.unpack_from("<Ii", data)
    if (magic, version) != (MAGIC, 1):
        raise ValueError("not a bitllama2.c checkpoint")
    config = Config(*struct.unpack_from("<7i", data, 8))
    if data[36] != 1:
        raise ValueError("only tied heads are read here")
    reader = Reader(data, HEADER_BYTES)
    final_norm = reader.floats(config.dim)
    embedding = reader.floats(config.vocab, config.dim)
    layers = [{} for _ in range(config.layers)]
    for name, shape in config.matrices.items():
        for layer in layers:
            scale = float(reader.floats(1)[0])
            layer[name] = BitLinear(unpack(reader.take("u1", *packed(shape)), shape), scale)
    reader.finish()
    return BitModel(config, embedding, final_norm, layers)


def packed(shape):
    out, width = shape
    return (out * width // 4,)


def unpack(codes, shape):
    """Bytes of four 2-bit codes each -> -1, 0, +1 in the given shape."""
    fields = [(codes >> shift) & 3 for shift in (0, 2, 4, 6)]
    return TERNARY[np.stack(fields, axis=-1)].reshape(shape)


def pack(values):
    """The inverse of unpack, for writers."""
    codes = (values.astype(np.int64) & 3).reshape(-1, 4)
    return (codes << np.array([0, 2, 4, 6])).sum(axis=-1).astype(np.uint8)


def forward(model, ids, trace=None):
    """Token ids -> logits (tokens, vocab).

    Rounding makes this discontinuous: an activation within float32's error of a tie may round the
    other way in another implementation, and one such step moves logits by about 0.1.
    trace.rounding_margin_min says how close (in int8 steps) it came.
    """
    config = model.config
    tokens, head_dim = len(ids), config.head_dim
    cos, sin = Rope(THETA, plain(head_dim // 2)).cos_sin(tokens)
    x = model.embedding[np.asarray(ids)]
    for layer in model.layers:
        linear = {name: partial(weight, trace=trace) for name, weight in layer.items()}
        q = linear["wq"](x).reshape(tokens, config.heads, head_dim)
        k = linear["wk"](x).reshape(tokens, config.kv_heads, head_dim)
        v = linear["wv"](x).reshape(tokens, config.kv_heads, head_dim)
        q, k = rotate(q, cos, sin, interleaved=True), rotate(k, cos, sin, interleaved=True)
        x = x + linear["wo"](attention(q, k, v, head_dim**-0.5))
        x = x + linear["w2"](silu(linear["w1"](x)) * linear["w3"](x))
    return rms_norm(x, model.final_norm, EPS) @ model.embedding.T
