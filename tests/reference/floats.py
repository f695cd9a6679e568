"""float32, float16 and bfloat16 as stored: bytes to float64 and back, rounding to nearest even."""

import numpy as np


def encode(array, dtype):
    """float64 array -> little-endian bytes of dtype ("f32", "f16" or "bf16")."""
    single = np.asarray(array, dtype=np.float32)
    if dtype == "f32":
        return single.astype("<f4").tobytes()
    if dtype == "f16":
        return np.asarray(array).astype("<f2").tobytes()
    bits = single.view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return bits.astype("<u2").tobytes()


def decode(data, dtype):
    """Bytes -> flat float64 array."""
    if dtype == "f32":
        return np.frombuffer(data, "<f4").astype(np.float64)
    if dtype == "f16":
        return np.frombuffer(data, "<f2").astype(np.float64)
    bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
    return bits.view(np.float32).astype(np.float64)


def rounded(array, dtype):
    """The float64 values that survive being stored as dtype."""
    return decode(encode(array, dtype), dtype).reshape(np.shape(array))
