"""The cases: one tiny model each, of a config, a storage type and a layout or two."""

from dataclasses import dataclass

import configs

PROMPT_TOKENS = 21
GREEDY_TOKENS = 16


@dataclass
class Case:
    name: str
    config: dict
    dtype: str = "f32"
    gguf: bool = True  # False where GGUF has no way to say it
    shards: int = 1
    prompt_tokens: int = PROMPT_TOKENS
    context: int = None  # tokens to open the model for; None: what the config says
    prefix: str = ""  # before gpt2's tensor names
    note: str = ""


CASES = [
    Case("llama2", configs.llama()),
    Case("llama2-f16", configs.llama(torch_dtype="float16"), dtype="f16"),
    Case("llama2-bf16", configs.llama(torch_dtype="bfloat16"), dtype="bf16"),
    Case("llama2-sharded", configs.llama(), shards=3),
    Case("llama2-linear-rope", configs.llama(rope_scaling={"type": "linear", "factor": 4.0})),
    Case("llama3", configs.LLAMA3),
    Case(
        "mistral",
        configs.MISTRAL,
        note="llama.attention.sliding_window is in the GGUF file; llama.cpp neither writes nor "
        "reads it for this architecture",
    ),
    Case("mixtral", configs.MIXTRAL),
    Case("qwen2", configs.qwen2()),
    Case("qwen2-window", configs.qwen2(use_sliding_window=True), gguf=False),
    Case("qwen3", configs.QWEN3),
    Case("qwen2moe", configs.qwen2_moe()),
    Case(
        "qwen2moe-mixed",
        configs.qwen2_moe(
            num_hidden_layers=4,
            decoder_sparse_step=2,
            mlp_only_layers=[3],
            norm_topk_prob=True,
        ),
        gguf=False,
    ),
    Case("qwen3moe", configs.QWEN3_MOE),
    Case("phi3-window", configs.phi3(sliding_window=8)),
    Case(
        "phi3-longrope-short",
        configs.phi3(
            rope_scaling=configs.longrope("longrope", 8),
            original_max_position_embeddings=32,
        ),
        prompt_tokens=13,
        context=32,
        note="open for 32 tokens: the short factors, with the magnitude of the full context",
    ),
    Case(
        "phi3-longrope-long",
        configs.phi3(rope_scaling=configs.longrope("su", 8), original_max_position_embeddings=16),
        context=128,
    ),
    Case(
        "phi4-mini",
        configs.phi3(
            rope_scaling=configs.longrope("longrope", 6),
            original_max_position_embeddings=16,
            partial_rotary_factor=0.75,
            tie_word_embeddings=True,
        ),
        context=128,
    ),
    Case("gemma2", configs.gemma2()),
    Case("gemma2-query-scalar", configs.gemma2(query_pre_attn_scalar=12), gguf=False),
    Case("gemma3", configs.gemma3(**configs.GEMMA3_ROPE)),
    Case("gemma3-transformers5", configs.gemma3(**configs.GEMMA3_ROPE_V5)),
    Case("gpt2", configs.GPT2),
    Case("gpt2-prefixed", configs.GPT2, gguf=False, prefix="transformer."),
]

# Cases that are also computed with rounded inputs, on prompts that come near no tie.
ROUNDED = ["blocks-q8_0", "blocks-q4_0", "blocks-mixed"]
ROUNDED_PROMPT_TOKENS = 3

BLOCK_FORMATS = [
    "F16",
    "BF16",
    "Q8_0",
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
    "IQ4_NL",
    "MXFP4",
]
