"""Checkpoints of karpathy's llama2.c: version 0 (float32, no magic) and version 2 (int8 groups).

Both hold a Llama 2 with interleaved rotary pairs, theta 10000 and eps 1e-5. Numbers are
little-endian; matrices are row-major (out, in).

Version 0: int32 dim, ffn, layers, heads, kv_heads, vocab, context; a negative vocab says that the
head is not the embedding. Then float32: embedding; attention norms, wq, wk, wv, wo, ffn norms,
w1 (gate), w2 (down), w3 (up), each for all layers; final norm; two obsolete tables of context *
head_dim / 2 for the rotation; the head where it is not tied.

Version 2: a header of 256 bytes: the magic "24ka" (0x616b3432), int32 version, the seven int32 as
above (vocab positive), one byte that is 1 where the head is tied, and, unaligned at byte 37, int32
group. Then float32 attention norms, ffn norms (all layers each) and final norm; then quantised
tensors: embedding; wq, wk, wv, wo, w1, w2, w3 each for all layers, matrix by matrix; the head where
it is not tied. A quantised tensor is its int8 values, all of them, then one float32 scale for every
group of consecutive values; a value is int8 * scale.
"""

import struct
from dataclasses import dataclass

import numpy as np

from forward import Layer, Linear, Mlp, Model, Norm
from rope import Rope, plain

MAGIC = 0x616B3432
HEADER_BYTES = 256
EPS = 1e-5
THETA = 10000.0


@dataclass
class Config:
    dim: int
    ffn: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    context: int

    @property
    def head_dim(self):
        return self.dim // self.heads

    @property
    def matrices(self):
        """The (out, in) of a layer's matrices, in file order."""
        kv = self.kv_heads * self.head_dim
        return {
            "wq": (self.dim, self.dim),
            "wk": (kv, self.dim),
            "wv": (kv, self.dim),
            "wo": (self.dim, self.dim),
            "w1": (self.ffn, self.dim),
            "w2": (self.dim, self.ffn),
            "w3": (self.ffn, self.dim),
        }


class Reader:
    """Takes arrays off the front of a file and checks that nothing is left over."""

    def __init__(self, data, offset):
        self.data, self.offset = data, offset

    def take(self, dtype, *shape):
        count = int(np.prod(shape))
        array = np.frombuffer(self.data, dtype, count, self.offset).reshape(shape)
        self.offset += array.nbytes
        return array

    def floats(self, *shape):
        return self.take("<f4", *shape).astype(np.float64)

    def quantised(self, group, *shape):
        values = self.take("i1", *shape).astype(np.float64)
        scales = self.floats(values.size // group, 1)
        return (values.reshape(-1, group) * scales).reshape(shape)

    def finish(self):
        if self.offset != len(self.data):
            raise ValueError(f"{len(self.data) - self.offset} bytes left over in the checkpoint")


def read(path):
    """Path of a version 0 or version 2 checkpoint -> (Config, Model)."""
    with open(path, "rb") as file:
        data = file.read()
    if struct.unpack_from("<I", data)[0] != MAGIC:
        return read_v0(data)
    version = struct.unpack_from("<i", data, 4)[0]
    if version != 2:
        raise ValueError(f"llama2.c version {version}: only 0 and 2 are read here")
    return read_v2(data)


def read_v0(data):
    config = Config(*struct.unpack_from("<7i", data))
    tied, config.vocab = config.vocab > 0, abs(config.vocab)
    reader = Reader(data, 28)
    weights = {"embedding": reader.floats(config.vocab, config.dim)}
    weights["attention_norm"] = reader.floats(config.layers, config.dim)
    for name in ("wq", "wk", "wv", "wo"):
        weights[name] = reader.floats(config.layers, *config.matrices[name])
    weights["ffn_norm"] = reader.floats(config.layers, config.dim)
    for name in ("w1", "w2", "w3"):
        weights[name] = reader.floats(config.layers, *config.matrices[name])
    weights["final_norm"] = reader.floats(config.dim)
    reader.floats(2, config.context, config.head_dim // 2)
    if not tied:
        weights["head"] = reader.floats(config.vocab, config.dim)
    reader.finish()
    return config, build(config, weights)


def read_v2(data):
    config = Config(*struct.unpack_from("<7i", data, 8))
    tied, group = struct.unpack_from("<Bi", data, 36)
    reader = Reader(data, HEADER_BYTES)
    weights = {
        "attention_norm": reader.floats(config.layers, config.dim),
        "ffn_norm": reader.floats(config.layers, config.dim),
        "final_norm": reader.floats(config.dim),
        "embedding": reader.quantised(group, config.vocab, config.dim),
    }
    for name, shape in config.matrices.items():
        weights[name] = [reader.quantised(group, *shape) for _ in range(config.layers)]
    if not tied:
        weights["head"] = reader.quantised(group, config.vocab, config.dim)
    reader.finish()
    return config, build(config, weights)


def build(config, weights):
    rope = Rope(THETA, plain(config.head_dim // 2), interleaved=True)
    layers = [
        Layer(
            attention_norm=Norm(weights["attention_norm"][i]),
            q=Linear(weights["wq"][i]),
            k=Linear(weights["wk"][i]),
            v=Linear(weights["wv"][i]),
            o=Linear(weights["wo"][i]),
            ffn_norm=Norm(weights["ffn_norm"][i]),
            ffn=Mlp(
                gate=Linear(weights["w1"][i]),
                down=Linear(weights["w2"][i]),
                up=Linear(weights["w3"][i]),
            ),
            rope=rope,
        )
        for i in range(config.layers)
    ]
    return Model(
        embedding=weights["embedding"],
        head=weights.get("head", weights["embedding"]),
        layers=layers,
        final_norm=Norm(weights["final_norm"]),
        heads=config.heads,
        kv_heads=config.kv_heads,
        head_dim=config.head_dim,
        eps=EPS,
        attention_scale=config.head_dim**-0.5,
    )
