"""Tokenizers of 307 tokens, in both layouts and both kinds, for loaders that insist on one.

The SentencePiece kind: <unk>, <s>, </s>, 256 byte tokens, 14 letters, 34 merges. The byte-level
kind (GPT-2): 256 bytes, 48 merges, three special tokens. Ids agree between the two layouts.
"""

LETTERS = "▁etaonihsrdluw"
# Every merge's parts are letters or earlier merges. The SentencePiece kind uses the first 34.
MERGES = """
▁ t|h e|i n|▁ a|▁t he|r e|o n|▁ s|▁ w|a t|▁ h|e r|n d|▁ o|e n|o r|i s|▁ d|a n|e s|▁ i|▁a nd|▁t o|
e d|i t|l e|▁ l|o u|a l|a r|▁s h|l l|▁h e|▁ e|s t|u n|▁ n|▁i n|h a|▁d o|r o|u t|▁ r|▁l i|▁o n|
u r|a s|▁w as
""".replace("\n", "").split("|")
SENTENCEPIECE_MERGES = MERGES[:34]
BYTE_LEVEL_SPECIALS = ["<|endoftext|>", "<|im_end|>", "<|eot|>"]
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6

SENTENCEPIECE = ("llama", "mistral", "mixtral", "phi3", "gemma2", "gemma3_text")
# llama.cpp's name for how text is split before merging.
PRE_TOKENIZER = {"llama": "llama-bpe", "gpt2": "gpt-2"}
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPLIT = QWEN_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")


def is_sentencepiece(config):
    """Llama 3 has Llama 2's model_type and another kind of tokenizer; its BOS tells."""
    return config["model_type"] in SENTENCEPIECE and config["bos_token_id"] == 1


def byte_symbols():
    """GPT-2's printable character for each byte: itself where it is one, else 256 onwards."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def sentencepiece_pieces():
    pieces = [("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL)]
    pieces += [(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
    merged = [merge.replace(" ", "") for merge in SENTENCEPIECE_MERGES]
    # A merge's score is minus its rank; letters come after all merges.
    pieces += [(piece, -float(rank), NORMAL) for rank, piece in enumerate(merged)]
    return pieces + [(c, -float(len(merged) + i), NORMAL) for i, c in enumerate(LETTERS)]


def byte_level():
    """-> (tokens, merges) with Ġ for the space."""
    merges = [merge.replace("▁", "Ġ") for merge in MERGES]
    tokens = byte_symbols() + [merge.replace(" ", "") for merge in merges] + BYTE_LEVEL_SPECIALS
    return tokens, merges


def gguf_keys(config):
    first_eos = config["eos_token_id"]
    first_eos = first_eos[-1] if isinstance(first_eos, list) else first_eos
    ends = {"bos_token_id": config["bos_token_id"], "eos_token_id": first_eos}
    if is_sentencepiece(config):
        pieces = sentencepiece_pieces()
        keys = {
            "model": "llama",
            "pre": "default",
            "tokens": [piece for piece, _, _ in pieces],
            "scores": [score for _, score, _ in pieces],
            "token_type": [kind for _, _, kind in pieces],
            **ends,
            "unknown_token_id": 0,
            "add_bos_token": True,
            "add_eos_token": False,
        }
        if config["model_type"].startswith("gemma"):
            keys["add_space_prefix"] = False
    else:
        tokens, merges = byte_level()
        specials = len(BYTE_LEVEL_SPECIALS)
        keys = {
            "model": "gpt2",
            "pre": PRE_TOKENIZER.get(config["model_type"], "qwen2"),
            "tokens": tokens,
            "token_type": [NORMAL] * (len(tokens) - specials) + [CONTROL] * specials,
            "merges": merges,
            **ends,
            "add_bos_token": config["model_type"] == "llama",
        }
    return {f"tokenizer.ggml.{key}": value for key, value in keys.items()}


def special(token_id, content):
    return {
        "id": token_id,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }


def tokenizer_json(config):
    return sentencepiece_json() if is_sentencepiece(config) else byte_level_json(config)


def sentencepiece_json():
    pieces = [piece for piece, _, _ in sentencepiece_pieces()]
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [special(i, pieces[i]) for i in range(3)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, text],
            "pair": [bos, text, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": {piece: i for i, piece in enumerate(pieces)},
            "merges": SENTENCEPIECE_MERGES,
        },
    }


def byte_level_json(config):
    tokens, merges = byte_level()
    byte_step = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    if config["model_type"] == "gpt2":
        pre_tokenizer = {**byte_step, "trim_offsets": True, "use_regex": True}
    else:
        regex = LLAMA3_SPLIT if config["model_type"] == "llama" else QWEN_SPLIT
        split = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated"}
        steps = [{**split, "invert": False}, {**byte_step, "use_regex": False}]
        pre_tokenizer = {"type": "Sequence", "pretokenizers": steps}
    first_special = len(tokens) - len(BYTE_LEVEL_SPECIALS)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [special(first_special + i, t) for i, t in enumerate(BYTE_LEVEL_SPECIALS)],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": {**byte_step, "use_regex": True},
        "decoder": {**byte_step, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: i for i, token in enumerate(tokens[:first_special])},
            "merges": merges,
        },
    }


def tokenizer_config(config):
    if is_sentencepiece(config):
        return {
            "tokenizer_class": "LlamaTokenizer",
            "add_bos_token": True,
            "add_eos_token": False,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
        }
    tokens, _ = byte_level()
    eos = config["eos_token_id"]
    gpt2 = config["model_type"] == "gpt2"
    return {
        "tokenizer_class": "GPT2Tokenizer" if gpt2 else "PreTrainedTokenizerFast",
        "add_prefix_space": False,
        "bos_token": tokens[config["bos_token_id"]],
        "eos_token": tokens[eos[-1] if isinstance(eos, list) else eos],
    }
