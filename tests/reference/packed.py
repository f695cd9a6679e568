"""Checkpoints whose matrices are quantised as other tools do it: GPTQ, AWQ, compressed-tensors, fp8.

A matrix W (out, in) becomes whole numbers q with a scale s and a zero point z for each group, and
stands for s (q - z). The layouts are those of AutoGPTQ and GPTQModel (format gptq: zero points
stored less one; gptq_v2: as they are), of AutoAWQ's gemm version, of compressed-tensors 0.9 and of
DeepSeek-V3's fp8 weights.
"""

import json
import struct
from dataclasses import dataclass

import numpy as np

import checkpoints
import configs
import families
import floats
import tiny_tokenizers
from cases import Case

SIZES = dict(
    hidden_size=128,
    intermediate_size=192,
    num_hidden_layers=2,
    num_attention_heads=8,
    num_key_value_heads=2,
)
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # outputs in a word, from its lowest bits
SAFETENSORS_TYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16"}


@dataclass
class PackedCase:
    name: str
    config: dict
    layout: str  # gptq, awq, packed, int8, fp8, fp8-inverse
    bits: int = 4
    group: int = 64  # inputs; 0: all
    block: tuple = None  # fp8: (outputs, inputs)
    symmetric: bool = False
    scales: str = "f16"
    v2: bool = False  # gptq_v2
    shuffled: bool = False  # desc_act: inputs in no order of groups
    dtype: str = "f16"  # of what is not quantised
    ignored: tuple = ("lm_head",)
    rounded: bool = False  # also with rounded inputs
    quantize_config: bool = False  # quantize_config.json instead of a key of config.json
    whole_tensor: bool = False  # fp8: one scale


CASES = [
    PackedCase("gptq-int4", configs.llama(**SIZES), "gptq", group=64, rounded=True),
    PackedCase("gptq-int4-rows-v2", configs.llama(**SIZES), "gptq", group=0, symmetric=True, v2=True),
    PackedCase(
        "gptq-int4-shuffled",
        configs.llama(**SIZES),
        "gptq",
        group=32,
        shuffled=True,
        rounded=True,
    ),
    PackedCase(
        "gptq-int4-biases",
        configs.qwen2(**{**SIZES, "intermediate_size": 256}),
        "gptq",
        group=128,
        symmetric=True,
        quantize_config=True,
    ),
    PackedCase("gptq-int8", configs.llama(**SIZES), "gptq", bits=8, group=32, rounded=True),
    PackedCase("gptq-int3", configs.llama(**SIZES), "gptq", bits=3, group=32),
    PackedCase("gptq-int2-v2", configs.llama(**SIZES), "gptq", bits=2, group=32, v2=True),
    PackedCase("awq-int4", configs.llama(**SIZES), "awq", group=32, rounded=True),
    PackedCase("awq-int4-fused", configs.phi3(**SIZES), "awq", group=64),
    PackedCase(
        "ct-int4",
        configs.llama(**SIZES),
        "packed",
        symmetric=True,
        scales="bf16",
        dtype="bf16",
        ignored=("lm_head", "model.layers.1.mlp.down_proj"),
    ),
    PackedCase("ct-int4-zeros", configs.llama(**SIZES), "packed", group=32, scales="bf16"),
    PackedCase("ct-int4-channels", configs.QWEN3 | SIZES, "packed", group=0, symmetric=True),
    PackedCase("ct-int4-shuffled", configs.llama(**SIZES), "packed", group=32, shuffled=True),
    PackedCase("ct-int4-uneven", configs.llama(), "packed", group=0, scales="f32", dtype="f32"),
    PackedCase("ct-int8-packed", configs.llama(**SIZES), "packed", bits=8, group=0, symmetric=True),
    PackedCase(
        "ct-int8-experts",
        configs.MIXTRAL,
        "int8",
        bits=8,
        group=0,
        symmetric=True,
        ignored=("lm_head", ".gate"),
    ),
    PackedCase("ct-int8-zeros", configs.llama(**SIZES), "int8", bits=8, group=0, scales="f32"),
    PackedCase("ct-fp8", configs.llama(**SIZES), "fp8", group=0, scales="bf16"),
    PackedCase("ct-fp8-tensors", configs.llama(**SIZES), "fp8", whole_tensor=True, scales="f32"),
    PackedCase(
        "fp8-blocks", configs.qwen2(), "fp8-inverse", block=(16, 32), scales="f32", dtype="bf16"
    ),
]


# --- Rounding. ---


def e4m3_values():
    """Every finite E4M3 number by its code (OCP 8-bit floating point v1.0)."""
    values = np.empty(256)
    for code in range(256):
        exponent, mantissa = code >> 3 & 15, code & 7
        size = mantissa * 2.0**-9 if exponent == 0 else (8 + mantissa) * 2.0 ** (exponent - 10)
        values[code] = -size if code >= 128 else size
    values[[0x7F, 0xFF]] = np.nan
    return values


E4M3 = e4m3_values()


def nearest_e4m3(x):
    """Codes of the nearest finite values."""
    finite = [code for code in range(256) if np.isfinite(E4M3[code]) and code != 0x80]
    order = np.array(sorted(finite, key=lambda code: E4M3[code]))
    levels = E4M3[order]
    above = np.clip(np.searchsorted(levels, x), 1, len(levels) - 1)
    lower = x - levels[above - 1] <= levels[above] - x
    return order[np.where(lower, above - 1, above)].astype(np.uint8)


@dataclass
class Quantised:
    codes: np.ndarray  # (out, in) whole numbers from 0, or E4M3 codes
    scales: np.ndarray  # (out, groups), or of blocks
    zeros: np.ndarray  # (out, groups)
    groups: np.ndarray  # (in): the group of each input
    weight: np.ndarray  # (out, in): what it all stands for


def groups_of(case, inputs, rng):
    size = case.group or inputs
    groups = np.arange(inputs) // size
    return rng.permutation(groups) if case.shuffled else groups


def quantise(case, weight, rng):
    if case.layout.startswith("fp8"):
        return quantise_fp8(case, weight)
    groups = groups_of(case, weight.shape[1], rng)
    levels, middle = 2**case.bits - 1, 2 ** (case.bits - 1)
    codes = np.empty(weight.shape, dtype=np.int64)
    scales = np.empty((len(weight), groups.max() + 1))
    zeros = np.full(scales.shape, middle, dtype=np.int64)
    for g in range(groups.max() + 1):
        part = weight[:, groups == g]
        if case.symmetric:
            scale = np.abs(part).max(axis=1) / (middle - 0.5)
        else:
            low, high = np.minimum(part.min(axis=1), 0), np.maximum(part.max(axis=1), 0)
            scale = (high - low) / levels
        scale = floats.rounded(scale, case.scales)
        if not case.symmetric:
            # The first version of GPTQ's format cannot say zero.
            least = 1 if case.layout == "gptq" and not case.v2 else 0
            zeros[:, g] = np.clip(np.rint(-low / scale), least, levels)
        scales[:, g] = scale
        whole = np.rint(part / scale[:, None]) + zeros[:, g, None]
        codes[:, groups == g] = np.clip(whole, 0, levels)
    meant = scales[:, groups] * (codes - zeros[:, groups])
    return Quantised(codes, scales, zeros, groups, meant)


def quantise_fp8(case, weight):
    out, inputs = weight.shape
    height, width = case.block or ((out, inputs) if case.whole_tensor else (1, inputs))
    rows, columns = np.arange(out) // height, np.arange(inputs) // width
    scales = np.empty((rows.max() + 1, columns.max() + 1))
    for r in range(len(scales)):
        for c in range(scales.shape[1]):
            scales[r, c] = np.abs(weight[rows == r][:, columns == c]).max() / 448
    scales = floats.rounded(scales, case.scales)
    spread = scales[rows][:, columns]
    codes = nearest_e4m3(weight / spread)
    return Quantised(codes, scales, None, None, E4M3[codes] * spread)


# --- Packing. ---


def words_along(codes, bits):
    """(lines, integers) -> (lines, words) uint32: a stream of bits, lowest first."""
    lines, count = codes.shape
    bit = (codes[:, :, None].astype(np.int64) >> np.arange(bits)) & 1
    stream = bit.reshape(lines, count * bits)
    stream = np.pad(stream, ((0, 0), (0, -stream.shape[1] % 32)))
    bytes_ = np.packbits(stream.astype(np.uint8), axis=1, bitorder="little")
    return bytes_.view("<u4").reshape(lines, -1)


def whole(array):
    return ("I32", np.ascontiguousarray(array).astype("<u4"))


def real(array, dtype):
    return (SAFETENSORS_TYPES[dtype], array, floats.encode(array, dtype))


def gptq_tensors(case, quantised):
    less = 0 if case.v2 else 1
    return {
        "qweight": whole(words_along(quantised.codes, case.bits).T),
        "qzeros": whole(words_along(quantised.zeros.T - less, case.bits)),
        "scales": real(quantised.scales.T, case.scales),
        "g_idx": whole(quantised.groups),
    }


def awq_tensors(case, quantised):
    def interleaved(array):  # (lines, out)
        eights = array.reshape(len(array), -1, 8)[:, :, AWQ_ORDER]
        return whole(words_along(eights.reshape(array.shape), 4))

    return {
        "qweight": interleaved(quantised.codes.T),
        "qzeros": interleaved(quantised.zeros.T),
        "scales": real(quantised.scales.T, case.scales),
    }


def packed_tensors(case, quantised):
    tensors = {
        "weight_packed": whole(words_along(quantised.codes, case.bits)),
        "weight_scale": real(quantised.scales, case.scales),
        "weight_shape": ("I64", np.array(quantised.codes.shape, dtype="<i8")),
    }
    if not case.symmetric:
        tensors["weight_zero_point"] = whole(words_along(quantised.zeros.T, case.bits).T)
    if case.shuffled:
        tensors["weight_g_idx"] = whole(quantised.groups)
    return tensors


def int8_tensors(case, quantised):
    tensors = {
        "weight": ("I8", (quantised.codes - 128).astype(np.int8)),
        "weight_scale": real(quantised.scales, case.scales),
    }
    if not case.symmetric:
        tensors["weight_zero_point"] = ("I8", (quantised.zeros - 128).astype(np.int8))
    return tensors


def fp8_tensors(case, quantised):
    scales = quantised.scales.reshape(-1)[:1] if case.whole_tensor else quantised.scales
    name = "weight_scale_inv" if case.layout == "fp8-inverse" else "weight_scale"
    return {"weight": ("F8_E4M3", quantised.codes), name: real(scales, case.scales)}


LAYOUTS = {
    "gptq": gptq_tensors,
    "awq": awq_tensors,
    "packed": packed_tensors,
    "int8": int8_tensors,
    "fp8": fp8_tensors,
    "fp8-inverse": fp8_tensors,
}


def quantization_config(case):
    size = case.group or -1
    if case.layout == "gptq":
        config = {"quant_method": "gptq", "bits": case.bits, "group_size": size}
        config |= {"desc_act": case.shuffled, "sym": case.symmetric, "damp_percent": 0.01}
        return config | ({"checkpoint_format": "gptq_v2"} if case.v2 else {})
    if case.layout == "awq":
        config = {"quant_method": "awq", "bits": 4, "group_size": size, "zero_point": True}
        return config | {"version": "gemm", "modules_to_not_convert": None}
    if case.layout == "fp8-inverse":
        config = {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3"}
        return config | {"weight_block_size": list(case.block)}
    strategy = "group" if case.group else "tensor" if case.whole_tensor else "channel"
    weights = {"num_bits": 8 if case.layout == "fp8" else case.bits, "dynamic": False}
    weights |= {"type": "float" if case.layout == "fp8" else "int", "strategy": strategy}
    weights |= {"symmetric": case.symmetric, "group_size": case.group or None}
    group = {"targets": ["Linear"], "weights": weights, "output_activations": None}
    formats = {"packed": "pack-quantized", "int8": "int-quantized", "fp8": "float-quantized"}
    return {
        "quant_method": "compressed-tensors",
        "format": formats[case.layout],
        "quantization_status": "compressed",
        "kv_cache_scheme": None,
        "ignore": list(case.ignored),
        "config_groups": {"group_0": group},
    }


# --- Checkpoints. ---


def is_quantised(case, name, shape):
    module = name.removesuffix(".weight")
    if len(shape) != 2 or module.endswith("embed_tokens"):
        return False
    return not any(module.endswith(ignored) for ignored in case.ignored)


def write_safetensors(path, tensors):
    """{name: (dtype, array) or (dtype, array, bytes)}"""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, array, *stored) in tensors.items():
        stored = stored[0] if stored else np.ascontiguousarray(array).tobytes()
        offsets = [len(data), len(data) + len(stored)]
        header[name] = {"dtype": dtype, "shape": list(np.shape(array)), "data_offsets": offsets}
        data += stored
    text = json.dumps(header, separators=(",", ":")).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def quantised_tensors(case):
    """-> what a file holds {name: (dtype, array, perhaps bytes)}, what it stands for {name: array},
    and the order of inputs by group {id of such an array: indices}, where that is another."""
    plain = Case(case.name, case.config, dtype=case.dtype)
    tensors = checkpoints.random_tensors(plain)
    rng = np.random.default_rng(checkpoints.seed_of(case.name + " groups"))
    stored, orders = {}, {}
    for name, array in tensors.items():
        if not is_quantised(case, name, array.shape):
            stored[name] = real(array, case.dtype)
            continue
        quantised = quantise(case, array, rng)
        tensors[name] = quantised.weight
        if case.shuffled:
            orders[id(quantised.weight)] = np.argsort(quantised.groups, kind="stable")
        module = name.removesuffix("weight")
        stored |= {module + part: value for part, value in LAYOUTS[case.layout](case, quantised).items()}
    return stored, tensors, orders


def write(directory, case):
    """The checkpoint in `directory` -> the Model that it stands for, and its orders of inputs."""
    stored, tensors, orders = quantised_tensors(case)
    directory.mkdir(parents=True, exist_ok=True)
    config = dict(case.config)
    if case.quantize_config:
        early = quantization_config(case)
        del early["quant_method"]
        checkpoints.write_json(directory / "quantize_config.json", early)
    else:
        config["quantization_config"] = quantization_config(case)
    checkpoints.write_json(directory / "config.json", config)
    checkpoints.write_json(directory / "tokenizer.json", tiny_tokenizers.tokenizer_json(config))
    write_safetensors(directory / "model.safetensors", stored)
    return families.build(case.config, tensors), orders
