"""safetensors: uint64 length of a JSON header, the header, the tensors' bytes one after another.

https://huggingface.co/docs/safetensors: the header maps each name to dtype, shape and the range of
bytes, counted from the end of the header.
"""

import json
import struct
from pathlib import Path

import numpy as np

import floats

DTYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16"}
INTEGERS = {"I8": "i1", "I32": "<i4", "I64": "<i8"}


def write(path, tensors, dtype):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        stored = floats.encode(array, dtype)
        header[name] = {
            "dtype": DTYPES[dtype],
            "shape": list(np.shape(array)),
            "data_offsets": [len(data), len(data) + len(stored)],
        }
        data += stored
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_sharded(directory, tensors, dtype, shards):
    """model-0000i-of-0000n.safetensors and the index that says which tensor is where."""
    names = list(tensors)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        # Every shards-th tensor, so that one layer lies in several files.
        part = {name: tensors[name] for name in names[shard::shards]}
        write(directory / file, part, dtype)
        weight_map.update({name: file for name in part})
    total = sum(len(floats.encode(array, dtype)) for array in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def read(path):
    """Path -> {name: float64 array}."""
    data = Path(path).read_bytes()
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    dtype_of = {stored: dtype for dtype, stored in DTYPES.items()}
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        if entry["dtype"] in INTEGERS:
            array = np.frombuffer(data[begin:end], INTEGERS[entry["dtype"]]).astype(np.float64)
        else:
            array = floats.decode(data[begin:end], dtype_of[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"])
    return tensors


def read_directory(directory):
    """All tensors of a Hugging Face directory, sharded or not."""
    index = directory / "model.safetensors.index.json"
    if not index.exists():
        return read(directory / "model.safetensors")
    weight_map = json.loads(index.read_text())["weight_map"]
    tensors = {}
    for file in sorted(set(weight_map.values())):
        tensors.update(read(directory / file))
    return {name: tensors[name] for name in weight_map}
