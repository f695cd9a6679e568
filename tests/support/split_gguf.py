"""Splits a GGUF file in parts, as llama.cpp's gguf-split does: the first has the metadata, each
some of the tensors."""

import struct

U16, U32, STRING, ARRAY, I32 = 2, 4, 8, 9, 5
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def skip_value(self, kind):
        if kind == STRING:
            self.take(self.number("Q"))
        elif kind == ARRAY:
            inner, count = self.number("I"), self.number("Q")
            for _ in range(count):
                self.skip_value(inner)
        else:
            self.take(SIZES[kind])


def text(value):
    return struct.pack("<Q", len(value)) + value


def pair(key, kind, form, value):
    return text(key) + struct.pack("<I" + form, kind, value)


def split(data, parts):
    """The bytes of each part. REQUIRES: the default alignment."""
    reader = Reader(data)
    assert reader.take(4) == b"GGUF"
    version, count, pairs = reader.number("I"), reader.number("Q"), reader.number("Q")
    begin = reader.at
    for _ in range(pairs):
        reader.take(reader.number("Q"))
        reader.skip_value(reader.number("I"))
    metadata = data[begin:reader.at]
    rows = []
    for _ in range(count):
        start = reader.at
        reader.take(reader.number("Q"))
        reader.take(8 * reader.number("I"))
        reader.number("I")
        row = data[start:reader.at]
        rows.append((row, reader.number("Q")))
    base = (reader.at + 31) // 32 * 32
    ends = [offset for _, offset in rows[1:]] + [len(data) - base]
    tensors = [(row, data[base + offset:base + end]) for (row, offset), end in zip(rows, ends)]
    files = []
    for part in range(parts):
        mine = tensors[part * count // parts:(part + 1) * count // parts]
        extra = (pair(b"split.no", U16, "H", part) + pair(b"split.count", U16, "H", parts)
                 + pair(b"split.tensors.count", I32, "i", count))
        own = metadata if part == 0 else b""
        head = (b"GGUF" + struct.pack("<IQQ", version, len(mine), 3 + (pairs if part == 0 else 0))
                + own + extra)
        body = b""
        for row, bytes_ in mine:
            head += row + struct.pack("<Q", len(body))
            body += bytes_ + b"\0" * (-len(bytes_) % 32)
        files.append(head + b"\0" * (-len(head) % 32) + body)
    return files
