"""The config.json a real model of each family would have, with tiny numbers in it.

Sizes are awkward on purpose: feed-forward widths no multiple of 32, a vocabulary of 307, heads that
do not divide the hidden size where the family allows it, windows shorter than the prompt. Keys that
real configs carry and a reader must ignore are here too (a sliding_window that use_sliding_window
turns off, for one).
"""

VOCAB = 307


def base(model_type, architecture, **keys):
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "use_cache": True,
        "vocab_size": VOCAB,
        "torch_dtype": "float32",
        "transformers_version": "4.51.0",
        "rms_norm_eps": 1e-05,
        "attention_dropout": 0.0,
        "tie_word_embeddings": False,
        **keys,
    }


def llama(**keys):
    defaults = dict(
        hidden_size=48,
        intermediate_size=88,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=128,
        attention_bias=False,
        mlp_bias=False,
        pretraining_tp=1,
        rope_theta=10000.0,
        rope_scaling=None,
        bos_token_id=1,
        eos_token_id=2,
    )
    return base("llama", "LlamaForCausalLM", **{**defaults, **keys})


LLAMA3 = llama(
    hidden_size=64,
    intermediate_size=100,
    num_attention_heads=4,
    num_key_value_heads=1,
    head_dim=16,
    max_position_embeddings=512,
    rope_theta=500000.0,
    rope_scaling={
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
        "rope_type": "llama3",
    },
    tie_word_embeddings=True,
    bos_token_id=304,
    eos_token_id=[305, 306],
)

MISTRAL = base(
    "mistral",
    "MistralForCausalLM",
    hidden_size=48,
    intermediate_size=104,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    max_position_embeddings=128,
    sliding_window=8,
    rope_theta=10000.0,
    bos_token_id=1,
    eos_token_id=2,
)

MIXTRAL = base(
    "mixtral",
    "MixtralForCausalLM",
    hidden_size=48,
    intermediate_size=72,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
    sliding_window=None,
    rope_theta=1000000.0,
    num_local_experts=5,
    num_experts_per_tok=2,
    output_router_logits=False,
    router_aux_loss_coef=0.02,
    bos_token_id=1,
    eos_token_id=2,
)


def qwen2(**keys):
    defaults = dict(
        hidden_size=56,
        intermediate_size=76,
        num_hidden_layers=3,
        num_attention_heads=7,
        num_key_value_heads=1,
        max_position_embeddings=128,
        max_window_layers=1,
        sliding_window=8,
        use_sliding_window=False,
        rope_theta=1000000.0,
        rms_norm_eps=1e-06,
        tie_word_embeddings=True,
        bos_token_id=304,
        eos_token_id=304,
    )
    return base("qwen2", "Qwen2ForCausalLM", **{**defaults, **keys})


QWEN3 = base(
    "qwen3",
    "Qwen3ForCausalLM",
    hidden_size=48,
    intermediate_size=90,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=20,
    attention_bias=False,
    max_position_embeddings=128,
    max_window_layers=3,
    sliding_window=None,
    use_sliding_window=False,
    rope_scaling=None,
    rope_theta=1000000.0,
    rms_norm_eps=1e-06,
    bos_token_id=304,
    eos_token_id=305,
)


def qwen2_moe(**keys):
    defaults = dict(
        hidden_size=48,
        intermediate_size=84,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        max_window_layers=2,
        sliding_window=8,
        use_sliding_window=False,
        rope_theta=1000000.0,
        rms_norm_eps=1e-06,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        moe_intermediate_size=36,
        shared_expert_intermediate_size=52,
        num_experts=6,
        num_experts_per_tok=3,
        norm_topk_prob=False,
        output_router_logits=False,
        router_aux_loss_coef=0.001,
        bos_token_id=304,
        eos_token_id=304,
    )
    return base("qwen2_moe", "Qwen2MoeForCausalLM", **{**defaults, **keys})


QWEN3_MOE = base(
    "qwen3_moe",
    "Qwen3MoeForCausalLM",
    hidden_size=48,
    intermediate_size=84,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    attention_bias=False,
    max_position_embeddings=128,
    max_window_layers=2,
    sliding_window=None,
    use_sliding_window=False,
    rope_scaling=None,
    rope_theta=1000000.0,
    rms_norm_eps=1e-06,
    decoder_sparse_step=1,
    mlp_only_layers=[],
    moe_intermediate_size=36,
    num_experts=7,
    num_experts_per_tok=2,
    norm_topk_prob=True,
    output_router_logits=False,
    router_aux_loss_coef=0.001,
    bos_token_id=304,
    eos_token_id=305,
)


def phi3(**keys):
    defaults = dict(
        hidden_size=64,
        intermediate_size=100,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        original_max_position_embeddings=128,
        rope_theta=10000.0,
        rope_scaling=None,
        sliding_window=None,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    return base("phi3", "Phi3ForCausalLM", **{**defaults, **keys})


def longrope(kind, pairs):
    return {
        "type": kind,
        "short_factor": [round(1.0 + 0.03 * i, 2) for i in range(pairs)],
        "long_factor": [round(1.0 + 0.7 * i, 2) for i in range(pairs)],
    }


def gemma2(**keys):
    defaults = dict(
        hidden_size=48,
        intermediate_size=84,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=20,
        hidden_act="gelu_pytorch_tanh",
        hidden_activation="gelu_pytorch_tanh",
        attention_bias=False,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
        query_pre_attn_scalar=20,
        cache_implementation="hybrid",
        max_position_embeddings=128,
        sliding_window=8,
        rope_theta=10000.0,
        rms_norm_eps=1e-06,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    return base("gemma2", "Gemma2ForCausalLM", **{**defaults, **keys})


def gemma3(**keys):
    defaults = dict(
        hidden_size=48,
        intermediate_size=84,
        num_hidden_layers=7,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=20,
        hidden_activation="gelu_pytorch_tanh",
        attention_bias=False,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        query_pre_attn_scalar=20,
        cache_implementation="hybrid",
        max_position_embeddings=256,
        sliding_window=6,
        rms_norm_eps=1e-06,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=[1, 2],
        pad_token_id=0,
    )
    config = base("gemma3_text", "Gemma3ForCausalLM", **{**defaults, **keys})
    del config["hidden_act"]
    return config


GEMMA3_ROPE = {
    "rope_theta": 1000000.0,
    "rope_local_base_freq": 10000.0,
    "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    "sliding_window_pattern": 6,
}
# As transformers 5 writes it.
GEMMA3_ROPE_V5 = {
    "layer_types": ["sliding_attention"] * 5 + ["full_attention", "sliding_attention"],
    "rope_parameters": {
        "full_attention": {"factor": 8.0, "rope_theta": 1000000.0, "rope_type": "linear"},
        "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
    },
}

GPT2 = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 304,
    "embd_pdrop": 0.1,
    "eos_token_id": 304,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 64,
    "n_embd": 60,
    "n_head": 5,
    "n_inner": None,
    "n_layer": 3,
    "n_positions": 64,
    "resid_pdrop": 0.1,
    "vocab_size": VOCAB,
}

# Wide enough for blocks of 256, and no larger than it must be. GGUF only.
BLOCKS = llama(
    hidden_size=256,
    intermediate_size=512,
    num_hidden_layers=1,
    num_attention_heads=8,
    num_key_value_heads=4,
    max_position_embeddings=128,
)
