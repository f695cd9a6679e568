#!/usr/bin/env python3
"""Write the seeds of the checkpoint targets: whole models of one to six KB in fuzz/corpus, and
adapters for the first of them.

They are the cases of the reference (tests/reference) with fewer and smaller numbers. gguf/compiled
is `brisk compile` of gguf/blocks.
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "reference"))

import blocks  # noqa: E402
import cases  # noqa: E402
import checkpoints  # noqa: E402
import configs  # noqa: E402
import gguf_file  # noqa: E402
import llama2c  # noqa: E402
import llama2c_writer  # noqa: E402
import packed  # noqa: E402
import safetensors_file  # noqa: E402
import to_gguf  # noqa: E402

VOCAB = 5
TINY = dict(
    vocab_size=VOCAB,
    hidden_size=4,
    intermediate_size=3,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=16,
    bos_token_id=1,
    eos_token_id=2,
)
EXPERTS = dict(num_experts=2, num_experts_per_tok=1, moe_intermediate_size=2)
SCALED = dict(rope_scaling=configs.longrope("longrope", 1), original_max_position_embeddings=8)
# One for every way a family differs from another.
TINY_CONFIGS = {
    "llama": configs.llama(**TINY),
    "llama3": {**configs.LLAMA3, **TINY, "head_dim": 2},
    "mixtral": {**configs.MIXTRAL, **TINY, "num_local_experts": 2},
    "qwen2": configs.qwen2(**TINY, use_sliding_window=True, tie_word_embeddings=False),
    "qwen3": {**configs.QWEN3, **TINY, "head_dim": 2},
    "qwen2moe": configs.qwen2_moe(**TINY, **EXPERTS, shared_expert_intermediate_size=2),
    "phi3": configs.phi3(**TINY, **SCALED),
    "gemma3": configs.gemma3(**TINY, **configs.GEMMA3_ROPE_V5, head_dim=2),
    "gpt2": {**configs.GPT2, "n_embd": 4, "n_head": 2, "n_layer": 1, "n_ctx": 4, "n_positions": 4}
    | {"vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 2},
}
TOKENIZERS = {
    "llama": {
        "model": "llama",
        "tokens": ["<unk>", "<s>", "</s>", "▁a", "<0x41>"],
        "scores": [0.0, 0.0, 0.0, -1.0, 0.0],
        "token_type": [2, 3, 3, 1, 6],
    },
    "gpt2": {
        "model": "gpt2",
        "pre": "gpt-2",
        "tokens": ["a", "b", "ab", "Ġ", "<|end|>"],
        "merges": ["a b"],
        "token_type": [1, 1, 1, 1, 3],
    },
}


def tokenizer_keys(name):
    kind = "gpt2" if name in ("gpt2", "qwen2", "llama3") else "llama"
    keys = {**TOKENIZERS[kind], "bos_token_id": 1, "eos_token_id": 2, "add_bos_token": True}
    return {f"tokenizer.ggml.{key}": value for key, value in keys.items()}


def in_gguf(name, config):
    """-> (metadata, {tensor name: Stored})."""
    case = cases.Case(name, config)
    metadata, stored = to_gguf.convert(config, checkpoints.random_tensors(case))
    return {**metadata, **tokenizer_keys(name)}, stored


def write_gguf(out):
    for name, config in TINY_CONFIGS.items():
        metadata, stored = in_gguf(name, config)
        gguf_file.write(out / name, metadata, stored)
    # Rows of whole blocks, one format for each tensor.
    config = {**TINY_CONFIGS["llama"], "hidden_size": 32, "intermediate_size": 32}
    metadata, stored = in_gguf("blocks", config)
    rng = np.random.default_rng(1)
    formats = [name for name, format in blocks.FORMATS.items() if format.elements == 32]
    matrices = [tensor for tensor in stored.values() if len(tensor.shape) == 2]
    for i, tensor in enumerate(matrices):
        tensor.format = formats[i % len(formats)]
        count = int(np.prod(tensor.shape)) // 32
        tensor.data = blocks.random_blocks(tensor.format, count, rng, 1.0)
    gguf_file.write(out / "blocks", metadata, stored)


def write_safetensors(out):
    for name, config in TINY_CONFIGS.items():
        dtype = {"qwen2": "bf16", "phi3": "f16"}.get(name, "f32")
        case = cases.Case(name, config, dtype)
        path = out / name
        safetensors_file.write(path, checkpoints.random_tensors(case), dtype)
        generation = {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "eos_token_id": [1, 2]}
        texts = [json.dumps(part, separators=(",", ":")) for part in (config, generation)]
        path.write_bytes("\0".join([*texts, ""]).encode() + path.read_bytes())


def write_quantised(out):
    """Beside those of write_safetensors: matrices in parts."""
    sizes = {**TINY, "hidden_size": 8, "intermediate_size": 8, "num_key_value_heads": 2}
    config = configs.llama(**sizes)
    wide = {**config, "hidden_size": 32, "intermediate_size": 32}  # whole words of 3 bits
    for case in (
        packed.PackedCase("gptq", config, "gptq", group=4, shuffled=True),
        packed.PackedCase("gptq3", wide, "gptq", bits=3, group=0, v2=True),
        packed.PackedCase("awq", config, "awq", group=4),
        packed.PackedCase("packed", config, "packed", group=8, scales="bf16"),
        packed.PackedCase("int8", config, "int8", bits=8, group=0),
        packed.PackedCase("fp8", config, "fp8-inverse", block=(3, 4), scales="f32"),
    ):
        said = {**case.config, "quantization_config": packed.quantization_config(case)}
        stored, *_ = packed.quantised_tensors(case)
        path = out / case.name
        packed.write_safetensors(path, stored)
        texts = [json.dumps(part, separators=(",", ":")) for part in (said, {})]
        path.write_bytes("\0".join([*texts, ""]).encode() + path.read_bytes())


def write_llama2c(out):
    llama2c_writer.CONFIG = llama2c.Config(
        dim=8, ffn=8, layers=1, heads=2, kv_heads=1, vocab=VOCAB, context=8
    )
    writers = (llama2c_writer.version_0, llama2c_writer.version_2, llama2c_writer.bitnet_file)
    for write in writers:
        (out / write.__name__).write_bytes(write(np.random.default_rng(1)))


def write_lora(out):
    """Both layouts of an adapter for TINY_CONFIGS["llama"]: every module, of rank 2."""
    config, rng = TINY_CONFIGS["llama"], np.random.default_rng(1)
    peft, stored = {}, {}
    for name, shape in checkpoints.shapes(config).items():
        if not name.endswith("_proj.weight"):
            continue
        key = to_gguf.gguf_name("llama", name, to_gguf.LAYER.fullmatch(name))
        for half, size in (("A", (2, shape[1])), ("B", (shape[0], 2))):
            array = rng.normal(0, 1, size)
            module = name.removesuffix(".weight")
            peft[f"base_model.model.{module}.lora_{half}.weight"] = array
            stored[f"{key}.lora_{half.lower()}"] = gguf_file.stored(array, "f16")
    path = out / "peft"
    safetensors_file.write(path, peft, "bf16")
    said = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "use_rslora": False, "bias": "none"}
    path.write_bytes(json.dumps(said).encode() + b"\0" + path.read_bytes())
    metadata = {
        "general.architecture": "llama",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 4.0,
    }
    gguf_file.write(out / "gguf", metadata, stored)


def main():
    for write in (write_gguf, write_safetensors, write_llama2c, write_lora):
        out = HERE / "corpus" / write.__name__.removeprefix("write_")
        out.mkdir(parents=True, exist_ok=True)
        write(out)
    write_quantised(HERE / "corpus" / "safetensors")


if __name__ == "__main__":
    main()
