"""Tiny random checkpoints in llama2.c's versions 0 and 2 and in bitllama2.c's layout.

The layouts are described where they are read: llama2c.py and bitnet.py.
"""

import struct

import numpy as np

import bitnet
from floats import encode
from llama2c import HEADER_BYTES, MAGIC, Config

CONFIG = Config(dim=48, ffn=88, layers=3, heads=6, kv_heads=2, vocab=307, context=64)
GROUP = 8  # divides dim and ffn
MATRIX_GAIN = {"wq": 1.6, "wk": 1.6, "wo": 1.5, "w2": 1.5}


def fields(config):
    return (
        config.dim,
        config.ffn,
        config.layers,
        config.heads,
        config.kv_heads,
        config.vocab,
        config.context,
    )


def header(version, *after_fields):
    out = struct.pack("<Ii7i", MAGIC, version, *fields(CONFIG)) + b"".join(after_fields)
    return out + b"\0" * (HEADER_BYTES - len(out))


def matrices(rng, name):
    """One random matrix of this name for every layer."""
    out, width = CONFIG.matrices[name]
    deviation = MATRIX_GAIN.get(name, 1.3) / np.sqrt(width)
    return [rng.normal(0, deviation, (out, width)) for _ in range(CONFIG.layers)]


def vectors(rng, count):
    return encode(rng.normal(1.0, 0.2, (count, CONFIG.dim)), "f32")


def classifier(rng, deviation):
    return rng.normal(0, deviation, (CONFIG.vocab, CONFIG.dim))


def version_0(rng):
    """float32 with a head of its own, which a negative vocabulary announces."""

    def all_layers(*names):
        return b"".join(encode(m, "f32") for name in names for m in matrices(rng, name))

    negated = (*fields(CONFIG)[:5], -CONFIG.vocab, CONFIG.context)
    return b"".join(
        [
            struct.pack("<7i", *negated),
            encode(classifier(rng, 0.5), "f32"),
            vectors(rng, CONFIG.layers),
            all_layers("wq", "wk", "wv", "wo"),
            vectors(rng, CONFIG.layers),
            all_layers("w1", "w2", "w3"),
            vectors(rng, 1),
            encode(np.zeros(CONFIG.context * CONFIG.head_dim), "f32"),
            encode(classifier(rng, 4.0 / np.sqrt(CONFIG.dim)), "f32"),
        ]
    )


def quantise(array):
    """Symmetric int8 by groups: all values, then all scales."""
    groups = array.reshape(-1, GROUP)
    scales = np.abs(groups).max(axis=-1, keepdims=True) / 127.0
    values = np.rint(groups / scales).astype("i1")
    return values.tobytes() + encode(scales, "f32")


def version_2(rng):
    """int8 groups with a tied head."""
    out = [
        header(2, struct.pack("<Bi", 1, GROUP)),
        vectors(rng, CONFIG.layers),
        vectors(rng, CONFIG.layers),
        vectors(rng, 1),
        quantise(classifier(rng, 0.5)),
    ]
    out += [quantise(matrix) for name in CONFIG.matrices for matrix in matrices(rng, name)]
    return b"".join(out)


def bitnet_file(rng):
    """Ternary values of which a third are zero. The scales undo the norm's 1 / in."""
    out = [header(1, b"\1"), vectors(rng, 1), encode(classifier(rng, 0.5), "f32")]
    for name, (rows, width) in CONFIG.matrices.items():
        for _ in range(CONFIG.layers):
            scale = MATRIX_GAIN.get(name, 1.3) * np.sqrt(width)
            values = rng.integers(-1, 2, (rows, width))
            out += [encode([scale], "f32"), bitnet.pack(values).tobytes()]
    return b"".join(out)
