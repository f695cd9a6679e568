#!/usr/bin/env python3
"""`brisk convert --dtype int4-...|w8a8|fp8`: what it writes, read and rounded by numpy alone; and fp8
that others wrote, read by brisk.

  compressed_tensors_test.py BRISK
"""

import json
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reference"))

import cases  # noqa: E402
import checkpoints  # noqa: E402
import configs  # noqa: E402
import floats  # noqa: E402
import packed  # noqa: E402

BRISK = sys.argv.pop(1)
SCHEMES = {  # bits, group, symmetric
    "int4-g128": (4, 128, True),
    "int4-g64": (4, 64, True),
    "int4-g32": (4, 32, True),
    "int4-g64-asym": (4, 64, False),
    "w8a8": (8, 0, True),
}
NUMPY_TYPES = {"I32": "<u4", "I64": "<i8", "I8": "i1", "F8_E4M3": "u1"}


def brisk(*arguments):
    return subprocess.run([BRISK, *map(str, arguments)], capture_output=True, text=True, check=False)


def read(path):
    """{name: (dtype, array)}; floats as float64."""
    data = path.read_bytes()
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        dtype = entry["dtype"]
        if dtype in NUMPY_TYPES:
            array = np.frombuffer(data[begin:end], NUMPY_TYPES[dtype])
        else:
            array = floats.decode(data[begin:end], dtype.lower())
        tensors[name] = (dtype, array.reshape(entry["shape"]))
    return tensors


def unpacked(words, bits, count):
    """(lines, words) -> (lines, count), lowest bits first."""
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    codes = (words[:, :, None] >> shifts) & (2**bits - 1)
    return codes.reshape(len(words), -1)[:, :count].astype(np.int64)


def rounded(weight, bits, group, symmetric):
    """Codes, scales and zeros by rounding to nearest with scales in bf16."""
    out, inputs = weight.shape
    parts = weight.reshape(out, -1, group or inputs)
    middle, levels = 2 ** (bits - 1), 2**bits - 1
    low, high = np.minimum(parts.min(axis=2), 0), np.maximum(parts.max(axis=2), 0)
    span = 2 * np.maximum(-low, high) if symmetric else high - low
    scales = floats.rounded(np.float32(span) / np.float32(levels), "bf16")
    zeros = np.full(scales.shape, middle)
    if not symmetric:
        zeros = np.clip(np.rint(np.float32(-low) / np.float32(scales)), 0, levels).astype(np.int64)
    steps = np.float32(parts) / np.float32(scales)[:, :, None]
    codes = np.clip(np.rint(steps) + zeros[:, :, None], 0, levels)
    return codes.reshape(out, inputs).astype(np.int64), scales, zeros


def weights_of(case):
    """{name: array} that a case of quantised matrices stands for."""
    return packed.quantised_tensors(case)[1]


class Written(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.memory = tempfile.TemporaryDirectory()
        cls.directory = Path(cls.memory.name)
        config = configs.llama(**{**packed.SIZES, "hidden_size": 128, "intermediate_size": 384})
        cls.case = cases.Case("written", config, dtype="bf16")
        cls.tensors = checkpoints.random_tensors(cls.case)
        cls.source = cls.directory / "source"
        checkpoints.write_hugging_face(cls.source, cls.case, cls.tensors)

    @classmethod
    def tearDownClass(cls):
        cls.memory.cleanup()

    def convert(self, scheme):
        out = self.directory / scheme
        done = brisk("convert", self.source, out, "--dtype", scheme)
        self.assertEqual(done.returncode, 0, done.stderr)
        return read(out / "model.safetensors"), json.loads((out / "config.json").read_text())

    def codes_of(self, stored, module, bits, symmetric):
        weight = self.tensors[module + ".weight"]
        dtype, scales = stored[module + ".weight_scale"]
        self.assertEqual(dtype, "BF16")
        if bits == 8:
            self.assertEqual(stored[module + ".weight"][0], "I8")
            return stored[module + ".weight"][1].astype(np.int64) + 128, scales, None
        dtype, shape = stored[module + ".weight_shape"]
        self.assertEqual((dtype, shape.tolist()), ("I64", list(weight.shape)))
        codes = unpacked(stored[module + ".weight_packed"][1], bits, weight.shape[1])
        if symmetric:
            self.assertNotIn(module + ".weight_zero_point", stored)
            return codes, scales, None
        words = stored[module + ".weight_zero_point"][1]
        return codes, scales, unpacked(words.T, bits, len(weight)).T

    def test_codes_and_scales_are_numpys(self):
        for scheme, (bits, group, symmetric) in SCHEMES.items():
            stored, _ = self.convert(scheme)
            for name, weight in self.tensors.items():
                if not name.endswith("_proj.weight"):
                    np.testing.assert_array_equal(stored[name][1], weight, name)
                    continue
                module = name.removesuffix(".weight")
                codes, scales, zeros = self.codes_of(stored, module, bits, symmetric)
                meant, meant_scales, meant_zeros = rounded(weight, bits, group, symmetric)
                np.testing.assert_array_equal(scales, meant_scales, f"{scheme} {name}")
                np.testing.assert_array_equal(codes, meant, f"{scheme} {name}")
                if not symmetric:
                    np.testing.assert_array_equal(zeros, meant_zeros, f"{scheme} {name}")

    def test_fp8_is_numpys(self):
        stored, config = self.convert("fp8")
        said = config["quantization_config"]
        self.assertEqual(said["format"], "float-quantized")
        (group,) = said["config_groups"].values()
        weights = {key: group["weights"][key] for key in ("num_bits", "type", "strategy")}
        self.assertEqual(weights, {"num_bits": 8, "type": "float", "strategy": "channel"})
        for name, weight in self.tensors.items():
            if not name.endswith("_proj.weight"):
                continue
            dtype, codes = stored[name]
            self.assertEqual(dtype, "F8_E4M3", name)
            dtype, scales = stored[name + "_scale"]
            self.assertEqual(dtype, "BF16", name)
            largest = np.abs(np.float32(weight)).max(axis=1, keepdims=True)
            meant = floats.rounded(largest / np.float32(448), "bf16")
            np.testing.assert_array_equal(scales, meant, name)
            steps = np.float32(weight) / np.float32(scales)
            nearest = packed.E4M3[packed.nearest_e4m3(steps)]
            chosen = packed.E4M3[codes]
            np.testing.assert_array_equal(np.abs(steps - chosen), np.abs(steps - nearest), name)
            ties = chosen != nearest  # of two that are as near, the one whose last bit is zero
            self.assertTrue((codes[ties] % 2 == 0).all(), name)

    def test_fp8_is_read_as_it_is(self):
        for case in packed.CASES:
            if not case.layout.startswith("fp8"):
                continue
            source, out = self.directory / case.name, self.directory / f"{case.name}-f32"
            packed.write(source, case)
            done = brisk("convert", source, out, "--dtype", "f32")
            self.assertEqual(done.returncode, 0, done.stderr)
            read_back = read(out / "model.safetensors")
            for name, weight in weights_of(case).items():
                np.testing.assert_array_equal(read_back[name][1], np.float32(weight),
                                              f"{case.name} {name}")

    def test_the_configuration_says_so(self):
        _, config = self.convert("int4-g64-asym")
        said = config["quantization_config"]
        self.assertEqual(said["quant_method"], "compressed-tensors")
        self.assertEqual(said["format"], "pack-quantized")
        self.assertEqual(said["ignore"], ["lm_head"])
        (group,) = said["config_groups"].values()
        self.assertEqual(group["targets"], ["Linear"])
        self.assertIsNone(group["input_activations"])
        weights = {key: group["weights"][key] for key in
                   ("num_bits", "type", "symmetric", "strategy", "group_size")}
        self.assertEqual(weights, {"num_bits": 4, "type": "int", "symmetric": False,
                                   "strategy": "group", "group_size": 64})
        said = self.convert("w8a8")[1]["quantization_config"]
        self.assertEqual(said["format"], "int-quantized")
        (group,) = said["config_groups"].values()
        self.assertEqual(group["weights"]["strategy"], "channel")
        self.assertEqual(group["input_activations"]["strategy"], "token")
        self.assertTrue(group["input_activations"]["dynamic"])

    def test_modules_whose_rows_are_not_whole_groups_stay(self):
        config = configs.llama(**{**packed.SIZES, "hidden_size": 128, "intermediate_size": 192})
        case = cases.Case("uneven", config, dtype="bf16")
        source, out = self.directory / "uneven", self.directory / "uneven-int4"
        checkpoints.write_hugging_face(source, case, checkpoints.random_tensors(case))
        done = brisk("convert", source, out, "--dtype", "int4-g128")
        self.assertEqual(done.returncode, 0, done.stderr)
        ignored = json.loads((out / "config.json").read_text())["quantization_config"]["ignore"]
        down = [f"model.layers.{i}.mlp.down_proj" for i in range(2)]
        self.assertEqual(sorted(ignored), ["lm_head", *down])
        self.assertIn(down[0] + ".weight", read(out / "model.safetensors"))

    def test_brisk_reads_it_back(self):
        self.convert("int4-g64")
        shown = brisk("inspect", self.directory / "int4-g64", "--json")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        report = json.loads(shown.stdout)
        self.assertTrue(report["supported"])
        self.assertEqual(report["formats"]["int4 groups of 64"]["tensors"], 14)

    def test_what_cannot_be_is_refused(self):
        for arguments, words in (
            (("m.gguf", "--dtype", "int4-g128"), "Hugging Face directories"),
            (("m", "--dtype", "int4-g48"), "int4-g128, int4-g64"),
        ):
            done = brisk("convert", self.source, self.directory / arguments[0], *arguments[1:])
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stderr)
        odd = cases.Case("odd", configs.llama(), dtype="bf16")
        checkpoints.write_hugging_face(self.directory / "odd", odd, checkpoints.random_tensors(odd))
        done = brisk("convert", self.directory / "odd", self.directory / "o", "--dtype", "int4-g128")
        self.assertEqual(done.returncode, 1)
        self.assertIn("choose a smaller group", done.stderr)


if __name__ == "__main__":
    unittest.main()
