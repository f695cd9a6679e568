"""GGUF version 3, the container: metadata, tensor descriptions, aligned tensor data.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Dimensions are written fastest first, so
a numpy (out, in) matrix has dimensions [in, out].
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import blocks
import floats

ALIGNMENT = 32
SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd"))  # as struct names them
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
FORMAT_OF_TYPE = {format.type_id: name for name, format in blocks.FORMATS.items()}


@dataclass
class Stored:
    """A tensor as it lies in the file."""

    shape: tuple  # slowest dimension first, as numpy has it
    format: str  # a key of blocks.FORMATS
    data: bytes

    def values(self):
        return blocks.decode(self.data, self.format, self.shape)


def stored(array, dtype="f32"):
    return Stored(np.shape(array), blocks.DTYPE_FORMAT[dtype], floats.encode(array, dtype))


def string(text):
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def type_of(value):
    """int is uint32 (int32 inside an array), float is float32: the types llama.cpp's files have."""
    for python_type, gguf_type in ((bool, BOOL), (int, UINT32), (float, FLOAT32), (str, STRING)):
        if isinstance(value, python_type):
            return gguf_type
    return ARRAY


def encode_value(value):
    kind = type_of(value)
    if kind == STRING:
        return struct.pack("<I", kind) + string(value)
    if kind != ARRAY:
        return struct.pack("<I" + SCALARS[kind], kind, value)
    element = INT32 if type_of(value[0]) == UINT32 else type_of(value[0])
    head = struct.pack("<IIQ", ARRAY, element, len(value))
    if element == STRING:
        return head + b"".join(string(item) for item in value)
    return head + struct.pack(f"<{len(value)}{SCALARS[element]}", *value)


def padding(size):
    return b"\0" * (-size % ALIGNMENT)


def write(path, metadata, tensors):
    """tensors: {name: Stored}."""
    out = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(metadata))]
    out += [string(key) + encode_value(value) for key, value in metadata.items()]
    offset = 0
    for name, tensor in tensors.items():
        dims = tensor.shape[::-1]
        out.append(string(name) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims))
        out.append(struct.pack("<IQ", blocks.FORMATS[tensor.format].type_id, offset))
        offset += len(tensor.data) + len(padding(len(tensor.data)))
    head = b"".join(out)
    data = b"".join(tensor.data + padding(len(tensor.data)) for tensor in tensors.values())
    Path(path).write_bytes(head + padding(len(head)) + data)


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, code):
        values = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return values if len(values) != 1 else values[0]

    def string(self):
        length = self.take("Q")
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            element, count = self.take("IQ")
            return [self.value(element) for _ in range(count)]
        return self.take(SCALARS[kind])


def read(path):
    """Path -> (metadata, {name: Stored})."""
    cursor = Cursor(Path(path).read_bytes())
    magic, version, tensor_count, value_count = cursor.take("4sIQQ")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError(f"{path} is not a GGUF file of version 2 or 3")
    metadata = {}
    for _ in range(value_count):
        key = cursor.string()
        metadata[key] = cursor.value(cursor.take("I"))
    entries = []
    for _ in range(tensor_count):
        name = cursor.string()
        dims = [cursor.take("Q") for _ in range(cursor.take("I"))]
        entries.append((name, tuple(dims[::-1]), *cursor.take("IQ")))
    alignment = metadata.get("general.alignment", ALIGNMENT)
    start = -(-cursor.at // alignment) * alignment
    tensors = {}
    for name, shape, type_id, offset in entries:
        format = blocks.FORMATS[FORMAT_OF_TYPE[type_id]]
        size = int(np.prod(shape)) // format.elements * format.bytes
        data = cursor.data[start + offset : start + offset + size]
        tensors[name] = Stored(shape, FORMAT_OF_TYPE[type_id], data)
    return metadata, tensors
