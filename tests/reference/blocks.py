"""The block formats of GGUF: bytes to float64, from the layouts in ggml's format documentation.

A tensor's rows are cut into blocks; a block is a few scales and packed codes. Every decoder here
takes uint8 (blocks, block_bytes) and returns float64 (blocks, elements). random_blocks makes valid
blocks in which every bit of every code is exercised, which no quantiser does as thoroughly.
"""

from dataclasses import dataclass
from typing import Callable

import numpy as np

import floats

IQ4_NL_VALUES = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], dtype=np.float64
)
E2M1_VALUES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])


def half(block, offset):
    """The float16 at a byte offset of every block, as a column (blocks, 1)."""
    raw = np.ascontiguousarray(block[:, offset : offset + 2])
    return raw.view("<f2").astype(np.float64)


def nibbles(codes):
    """Bytes -> all low halves, then all high halves: how the 32-element formats are packed."""
    return np.concatenate([codes & 15, codes >> 4], axis=-1)


def fifth_bits(block, offset):
    """A little-endian uint32 whose bit j is the fifth bit of element j."""
    word = np.ascontiguousarray(block[:, offset : offset + 4]).view("<u4")
    return (word >> np.arange(32, dtype=np.uint32)) & 1


def decode_q4_0(block):
    return half(block, 0) * (nibbles(block[:, 2:]).astype(np.float64) - 8)


def decode_q4_1(block):
    return half(block, 0) * nibbles(block[:, 4:]) + half(block, 2)


def decode_q5_0(block):
    codes = nibbles(block[:, 6:]) + 16.0 * fifth_bits(block, 2)
    return half(block, 0) * (codes - 16)


def decode_q5_1(block):
    codes = nibbles(block[:, 8:]) + 16.0 * fifth_bits(block, 4)
    return half(block, 0) * codes + half(block, 2)


def decode_q8_0(block):
    return half(block, 0) * block[:, 2:].view(np.int8)


def decode_iq4_nl(block):
    return half(block, 0) * IQ4_NL_VALUES[nibbles(block[:, 2:])]


def decode_mxfp4(block):
    """OCP Microscaling: one power of two (biased by 127) and 32 values of 4-bit floating point."""
    return np.exp2(block[:, :1].astype(np.float64) - 127) * E2M1_VALUES[nibbles(block[:, 1:])]


def two_bit_codes(codes):
    """64 bytes -> 256 codes: each 32 bytes hold four runs of 32 codes, lowest bits first."""
    shift = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]
    return ((codes.reshape(-1, 2, 1, 32) >> shift) & 3).reshape(-1, 256)


def bit_planes(mask):
    """32 bytes -> 256 bits: bit b of byte j belongs to element 32 * b + j."""
    shift = np.arange(8, dtype=np.uint8)[:, None]
    return ((mask.reshape(-1, 1, 32) >> shift) & 1).reshape(-1, 256)


def per_group(values, size):
    """(blocks, groups) -> one value per element, size elements to a group."""
    return np.repeat(values, size, axis=-1)


def decode_q2_k(block):
    """16 groups of 16: scale in the low, minimum in the high half of a byte."""
    scale, minimum = block[:, :16] & 15, block[:, :16] >> 4
    codes = two_bit_codes(block[:, 16:80])
    d, d_min = half(block, 80), half(block, 82)
    return d * per_group(scale, 16) * codes - d_min * per_group(minimum, 16)


def decode_q3_k(block):
    """16 groups of 16 with signed 6-bit scales; a clear mask bit takes 4 off the code."""
    codes = two_bit_codes(block[:, 32:96]) - 4.0 * (1 - bit_planes(block[:, :32]))
    packed = block[:, 96:108]
    low = nibbles(packed[:, :8])
    shift = np.array([0, 2, 4, 6], dtype=np.uint8)[:, None]
    high = ((packed[:, None, 8:] >> shift) & 3).reshape(-1, 16)
    scale = (low | (high << 4)).astype(np.float64) - 32
    return half(block, 108) * per_group(scale, 16) * codes


def six_bit_pairs(packed):
    """12 bytes -> 8 scales and 8 minima of 6 bits (Q4_K and Q5_K).

    The first four of each lie in the low 6 bits of bytes 0-3 and 4-7; the last four have their low
    4 bits in bytes 8-11 (scale low half, minimum high half) and their top 2 in those left over.
    """
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scale = np.concatenate([first & 63, (third & 15) | ((first >> 6) << 4)], axis=-1)
    minimum = np.concatenate([second & 63, (third >> 4) | ((second >> 6) << 4)], axis=-1)
    return scale, minimum


def nibble_runs(codes):
    """128 bytes -> 256 codes: each 32 bytes are the low halves of 32 codes, then the high ones."""
    return nibbles(codes.reshape(-1, 4, 32)).reshape(-1, 256)


def decode_q4_k(block):
    """8 groups of 32, each with a 6-bit scale and a 6-bit minimum."""
    scale, minimum = six_bit_pairs(block[:, 4:16])
    codes = nibble_runs(block[:, 16:])
    d, d_min = half(block, 0), half(block, 2)
    return d * per_group(scale, 32) * codes - d_min * per_group(minimum, 32)


def decode_q5_k(block):
    """Q4_K with a fifth bit per code."""
    scale, minimum = six_bit_pairs(block[:, 4:16])
    codes = nibble_runs(block[:, 48:]) + 16.0 * bit_planes(block[:, 16:48])
    d, d_min = half(block, 0), half(block, 2)
    return d * per_group(scale, 32) * codes - d_min * per_group(minimum, 32)


def decode_q6_k(block):
    """16 groups of 16 with int8 scales; codes of 6 bits, less 32."""
    low = nibbles(block[:, :128].reshape(-1, 2, 64)).reshape(-1, 256)
    high = two_bit_codes(block[:, 128:192])
    scale = block[:, 192:208].view(np.int8)
    codes = (low | (high << 4)).astype(np.float64) - 32
    return half(block, 208) * per_group(scale, 16) * codes


@dataclass
class Format:
    type_id: int  # in a GGUF tensor description
    file_type: int  # general.file_type of a file mostly in this format
    elements: int
    bytes: int
    decode: Callable
    # For random_blocks: where float16 scales lie, the size of what they multiply, and where the
    # float16 that shifts codes to zero mean lies, as a multiple of the scale (None: symmetric).
    scale_at: int = 0
    code_rms: float = 1.0
    shift_at: int = 0
    shift_ratio: float = 0.0


def plain(dtype):
    return lambda block: floats.decode(block.tobytes(), dtype).reshape(-1, 1)


FORMATS = {
    "F32": Format(0, 0, 1, 4, plain("f32")),
    "F16": Format(1, 1, 1, 2, plain("f16")),
    "BF16": Format(30, 32, 1, 2, plain("bf16")),
    "Q4_0": Format(2, 2, 32, 18, decode_q4_0, 0, 4.6),
    "Q4_1": Format(3, 3, 32, 20, decode_q4_1, 0, 4.6, 2, -7.5),
    "Q5_0": Format(6, 8, 32, 22, decode_q5_0, 0, 9.2),
    "Q5_1": Format(7, 9, 32, 24, decode_q5_1, 0, 9.2, 2, -15.5),
    "Q8_0": Format(8, 7, 32, 34, decode_q8_0, 0, 74.0),
    "Q2_K": Format(10, 10, 256, 84, decode_q2_k, 80, 13.0, 82, 1.5),
    "Q3_K": Format(11, 12, 256, 110, decode_q3_k, 108, 43.0),
    "Q4_K": Format(12, 15, 256, 144, decode_q4_k, 0, 220.0, 2, 7.5),
    "Q5_K": Format(13, 17, 256, 176, decode_q5_k, 0, 450.0, 2, 15.5),
    "Q6_K": Format(14, 18, 256, 210, decode_q6_k, 208, 1360.0),
    "IQ4_NL": Format(20, 25, 32, 18, decode_iq4_nl, 0, 70.0),
    "MXFP4": Format(39, 38, 32, 17, decode_mxfp4, 0, 2.9),
}
DTYPE_FORMAT = {"f32": "F32", "f16": "F16", "bf16": "BF16"}


def decode(data, name, shape):
    """Bytes of a whole tensor -> float64 in its (rows, ..., row length) shape."""
    format = FORMATS[name]
    block = np.frombuffer(data, np.uint8).reshape(-1, format.bytes)
    return format.decode(block).reshape(shape)


def random_blocks(name, count, rng, rms):
    """Bytes of count random blocks whose decoded values have about the given rms."""
    format = FORMATS[name]
    if format.elements == 1:
        dtype = {stored: dtype for dtype, stored in DTYPE_FORMAT.items()}[name]
        return floats.encode(rng.normal(0, rms, count), dtype)
    block = rng.integers(0, 256, (count, format.bytes), dtype=np.uint8)
    scale = rng.uniform(0.7, 1.3, count) * rms / format.code_rms
    if name == "MXFP4":
        block[:, 0] = np.rint(np.log2(scale)) + 127
        return block.tobytes()
    if format.shift_ratio == 0.0:
        scale *= rng.choice([-1, 1], count)  # quantisers do write negative scales
    put_half(block, format.scale_at, scale)
    if format.shift_ratio != 0.0:
        put_half(block, format.shift_at, scale * format.shift_ratio)
    return block.tobytes()


def put_half(block, offset, values):
    block[:, offset : offset + 2] = values.astype("<f2").view(np.uint8).reshape(-1, 2)
