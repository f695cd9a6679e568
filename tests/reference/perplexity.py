#!/usr/bin/env python3
"""Perplexity of stories260K over TinyStories, as figures to compare an engine with.

  perplexity.py DATA_DIR [OUT.json]     (DATA_DIR holds models/ and text/)
"""

import json
import sys
from pathlib import Path

import numpy as np

import llama2c
import sentencepiece_bpe
from forward import forward

CHECKPOINT = "models/stories260K/stories260K.bin"
TOKENIZER = "models/stories260K/tok512.model"
TEXT = "text/tinystories-500.jsonl"
CONTEXT = 512
FEW = 10  # the first stories alone, for a quick check

DEFINITION = (
    "Each story by itself: the tokens of its whole text (SentencePiece BPE, tok512.model), cut into "
    f"windows of {CONTEXT} tokens that each begin with BOS, no EOS. The sum of -ln p(token | tokens before it) over every token "
    "but BOS, in float64, divided by the number of those tokens, or by the UTF-8 bytes that a story's "
    "tokens decode to."
)


def negative_log_likelihood(logits, ids):
    """Nats of each of ids[1:], logits' row t scoring ids[t + 1]."""
    scores = logits[: len(ids) - 1]
    peak = scores.max(axis=-1, keepdims=True)
    normaliser = peak[:, 0] + np.log(np.exp(scores - peak).sum(axis=-1))
    return normaliser - scores[np.arange(len(ids) - 1), ids[1:]]


def windows_of(tokenizer, story):
    ids = tokenizer.encode(story)
    step = CONTEXT - 1
    return [[tokenizer.bos] + ids[i : i + step] for i in range(0, len(ids), step)]


def measure(model, tokenizer, stories):
    nats = tokens = size = windows = 0
    for story in stories:
        size += len(tokenizer.decode(tokenizer.encode(story)).encode())
        for ids in windows_of(tokenizer, story):
            windows += 1
            nats += float(negative_log_likelihood(forward(model, ids), ids).sum())
            tokens += len(ids) - 1
    return {
        "stories": len(stories),
        "windows": windows,
        "tokens": tokens,
        "bytes": size,
        "nats": round(nats, 6),
        "nats_per_token": round(nats / tokens, 9),
        "nats_per_byte": round(nats / size, 9),
        "perplexity": round(float(np.exp(nats / tokens)), 8),
    }


def load(data):
    """-> (model, tokenizer, stories)"""
    _, model = llama2c.read(data / CHECKPOINT)
    lines = (data / TEXT).read_text(encoding="utf-8").splitlines()
    stories = [json.loads(line)["text"] for line in lines]
    return model, sentencepiece_bpe.read(data / TOKENIZER), stories


def main():
    model, tokenizer, stories = load(Path(sys.argv[1]))
    figures = {
        "checkpoint": CHECKPOINT,
        "text": TEXT,
        "definition": DEFINITION,
        "all": measure(model, tokenizer, stories),
        f"first_{FEW}": measure(model, tokenizer, stories[:FEW]),
    }
    text = json.dumps(figures, indent=2) + "\n"
    print(text, end="")
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(text)


if __name__ == "__main__":
    main()
