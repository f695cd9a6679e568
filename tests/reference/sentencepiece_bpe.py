"""SentencePiece BPE (Kudo & Richardson 2018): reading a .model file, text to ids and back.

A .model file is a protocol buffer: field 1, repeated, is a piece (1 text, 2 float score, 3 type);
field 3 is the normaliser (1 its rules' name, 3 add a space in front, 4 squeeze spaces).
"""

import struct
from dataclasses import dataclass
from pathlib import Path

UNKNOWN, CONTROL, BYTE = 2, 3, 6
SPACE = "▁"


def varint(data, at):
    value, shift = 0, 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at


def protobuf_fields(data):
    """Yields (number, value) of one message: int, 4 or 8 raw bytes, or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = varint(data, at)
        else:
            if wire == 2:
                length, at = varint(data, at)
            else:
                length = {1: 8, 5: 4}[wire]
            value, at = data[at : at + length], at + length
        yield key >> 3, value


@dataclass
class Tokenizer:
    pieces: list  # of (text, score, type)
    add_dummy_prefix: bool
    squeeze_spaces: bool
    bos: int = 1

    def __post_init__(self):
        self.id_of = {piece: i for i, (piece, _, _) in enumerate(self.pieces)}
        special = (UNKNOWN, CONTROL, BYTE)
        self.mergeable = {p: score for p, score, kind in self.pieces if kind not in special}

    def normalise(self, text):
        if self.squeeze_spaces:
            text = " ".join(word for word in text.split(" ") if word)
        if self.add_dummy_prefix and text:
            text = " " + text
        return text.replace(" ", SPACE)

    def encode(self, text):
        """Merge, while it can be done, the pair whose piece scores highest, leftmost of equals."""
        symbols = list(self.normalise(text))
        while True:
            pairs = [a + b for a, b in zip(symbols, symbols[1:])]
            best = max(
                (i for i, pair in enumerate(pairs) if pair in self.mergeable),
                key=lambda i: (self.mergeable[pairs[i]], -i),
                default=None,
            )
            if best is None:
                return [i for symbol in symbols for i in self.ids(symbol)]
            symbols[best : best + 2] = [pairs[best]]

    def ids(self, symbol):
        """A piece's id, or the byte tokens of what is no piece."""
        if symbol in self.mergeable:
            return [self.id_of[symbol]]
        return [self.id_of[f"<0x{byte:02X}>"] for byte in symbol.encode()]

    def bytes_of(self, ids):
        """The bytes that ids stand for, dummy prefix included; control tokens stand for none."""
        out = b""
        for i in ids:
            piece, _, kind = self.pieces[i]
            if kind == BYTE:
                out += bytes([int(piece[3:5], 16)])
            elif kind != CONTROL:
                out += piece.replace(SPACE, " ").encode()
        return out

    def decode(self, ids):
        text = self.bytes_of(ids).decode(errors="replace")
        return text[1:] if self.add_dummy_prefix and text.startswith(" ") else text


def read(path):
    pieces, normaliser = [], {}
    for number, value in protobuf_fields(Path(path).read_bytes()):
        if number == 1:
            fields = dict(protobuf_fields(value))
            score = struct.unpack("<f", fields[2])[0] if 2 in fields else 0.0
            pieces.append((fields[1].decode(), score, fields.get(3, 1)))
        elif number == 3:
            normaliser = dict(protobuf_fields(value))
    if normaliser.get(1, b"identity") != b"identity":
        raise ValueError(f"normalisation {normaliser[1]} is not done here")
    return Tokenizer(pieces, bool(normaliser.get(3, 1)), bool(normaliser.get(4, 1)))
