"""A tokenizer of bytes, and things to learn that a tiny model can."""

import json
import random
from pathlib import Path

CONTROLS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]


def byte_letters():
    """The printable letter of every byte, as GPT-2 chose them."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in plain}
    rest = [byte for byte in range(256) if byte not in letters]
    letters.update({byte: chr(256 + i) for i, byte in enumerate(rest)})
    return letters


def write_tokenizer(path):
    letters = byte_letters()
    vocabulary = {name: i for i, name in enumerate(CONTROLS)}
    vocabulary.update({letters[byte]: len(CONTROLS) + byte for byte in range(256)})
    added = [{"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for i, name in enumerate(CONTROLS)]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
             "use_regex": True}
    path = Path(path)
    path.write_text(json.dumps({
        "version": "1.0", "added_tokens": added, "normalizer": None,
        "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []}}))
    config = {"eos_token": CONTROLS[0], "tokenizer_class": "PreTrainedTokenizerFast"}
    (path.parent / "tokenizer_config.json").write_text(json.dumps(config))


def write_stories(path, count, seed):
    draw = random.Random(seed)
    with open(path, "w") as file:
        for _ in range(count):
            name, thing = draw.choice(["Tom", "Lily", "Ben"]), draw.choice(["dog", "cat", "ball"])
            text = f"Once upon a time {name} had a {thing}. The {thing} made {name} happy."
            file.write(json.dumps({"text": text}) + "\n")


def write_sums(path, count, seed):
    draw = random.Random(seed)
    with open(path, "w") as file:
        for _ in range(count):
            a, b = draw.randrange(5), draw.randrange(5)
            turns = [{"role": "user", "content": f"{a}+{b}"},
                     {"role": "assistant", "content": str(a + b)}]
            file.write(json.dumps({"task": "sum", "messages": turns}) + "\n")
