"""From a Hugging Face config and tensors to GGUF ones, as llama.cpp's converter maps them.

What changes besides names: llama's q and k rows are reordered for interleaved rotary pairs; gemma's
norms get their 1 added; gpt2's Conv1D weights are transposed; experts are stacked; scaled rotary
frequencies become tensors. Vectors and routers stay float32 whatever the matrices are.
"""

import re

import numpy as np

import families
from gguf_file import stored
from rope import llama3, longrope_magnitude

ARCHITECTURE = {
    "llama": "llama",
    "mistral": "llama",
    "mixtral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen2_moe": "qwen2moe",
    "qwen3_moe": "qwen3moe",
    "phi3": "phi3",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "gpt2": "gpt2",
}

COMMON_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "mlp.gate": "ffn_gate_inp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
    "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    "block_sparse_moe.gate": "ffn_gate_inp",
}
GEMMA_NAMES = {
    **COMMON_NAMES,
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
GPT2_NAMES = {
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
EXPERT_NAMES = {
    "gate_proj": "ffn_gate_exps",
    "up_proj": "ffn_up_exps",
    "down_proj": "ffn_down_exps",
    "w1": "ffn_gate_exps",
    "w3": "ffn_up_exps",
    "w2": "ffn_down_exps",
}
LAYER = re.compile(r"(?:transformer\.)?(?:model\.layers|h)\.(\d+)\.(.*)\.(weight|bias)")
EXPERT = re.compile(r"(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)")


def convert(config, tensors, dtype="f32"):
    """-> (metadata, {name: Stored}), all but the tokenizer's part of the metadata."""
    family = config["model_type"]
    renamed, experts = {}, {}
    for name, array in tensors.items():
        layer = LAYER.fullmatch(name)
        expert = EXPERT.fullmatch(layer[2]) if layer else None
        if expert:
            key = f"blk.{layer[1]}.{EXPERT_NAMES[expert[2]]}.weight"
            experts.setdefault(key, {})[int(expert[1])] = array
        elif not name.endswith(".attn.bias"):  # gpt2's causal masks
            renamed[gguf_name(family, name, layer)] = in_gguf_order(config, name, array)
    for name, stack in experts.items():
        renamed[name] = np.stack([stack[e] for e in sorted(stack)])
    renamed.update(rope_tensors(config))
    return metadata(config, dtype), {
        name: stored(array, "f32" if keeps_f32(name, array) else dtype)
        for name, array in renamed.items()
    }


def keeps_f32(name, array):
    return array.ndim == 1 or "ffn_gate_inp" in name


def gguf_name(family, name, layer):
    names = COMMON_NAMES
    if family.startswith("gemma"):
        names = GEMMA_NAMES
    if family == "gpt2":
        names = GPT2_NAMES
        name = name.removeprefix("transformer.")
    if layer:
        return f"blk.{layer[1]}.{names[layer[2]]}.{layer[3]}"
    stem, kind = name.rsplit(".", 1)
    return f"{names[stem]}.{kind}"


def in_gguf_order(config, name, array):
    family = config["model_type"]
    if ARCHITECTURE[family] == "llama" and re.search(r"\.[qk]_proj\.", name):
        q = ".q_proj." in name
        return interleave(array, config["num_attention_heads" if q else "num_key_value_heads"])
    if family.startswith("gemma") and name.endswith("norm.weight"):
        return array + 1.0
    if family == "gpt2" and re.search(r"\.c_\w+\.weight$", name):
        return array.T
    if name.endswith("shared_expert_gate.weight"):
        return array.reshape(-1)
    return array


def interleave(rows, heads):
    """Within each head, row i of the first half and row i of the second become neighbours."""
    halves = rows.reshape(heads, 2, -1, *rows.shape[1:])
    return np.swapaxes(halves, 1, 2).reshape(rows.shape)


def rope_tensors(config):
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "llama3":
        divisors = llama3(
            families.head_dim(config) // 2,
            config["rope_theta"],
            scaling["factor"],
            scaling["low_freq_factor"],
            scaling["high_freq_factor"],
            scaling["original_max_position_embeddings"],
        )
        return {"rope_freqs.weight": divisors}
    if kind in ("longrope", "su"):
        return {
            f"rope_factors_{which}.weight": np.array(scaling[f"{which}_factor"])
            for which in ("long", "short")
        }
    return {}


def metadata(config, dtype):
    arch = ARCHITECTURE[config["model_type"]]
    own = gpt2_keys(config) if arch == "gpt2" else decoder_keys(config)
    file_type = {"f32": 0, "f16": 1, "bf16": 32}[dtype]
    general = {"general.architecture": arch, "general.name": "tiny", "general.file_type": file_type}
    return {**general, **{f"{arch}.{key}": value for key, value in own.items()}}


def gpt2_keys(config):
    return {
        "block_count": config["n_layer"],
        "context_length": config["n_ctx"],
        "embedding_length": config["n_embd"],
        "feed_forward_length": 4 * config["n_embd"],
        "attention.head_count": config["n_head"],
        "attention.layer_norm_epsilon": config["layer_norm_epsilon"],
    }


def decoder_keys(config):
    family, head_dim = config["model_type"], families.head_dim(config)
    keys = {
        "block_count": config["num_hidden_layers"],
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_key_value_heads"],
        "attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "vocab_size": config["vocab_size"],
    }
    parameters = config.get("rope_parameters", {}).get("full_attention", config)
    keys["rope.freq_base"] = float(parameters["rope_theta"])
    if config.get("head_dim"):
        keys["attention.key_length"] = keys["attention.value_length"] = head_dim
    if family in ("llama", "mistral", "mixtral", "phi3"):
        keys["rope.dimension_count"] = int(head_dim * config.get("partial_rotary_factor", 1.0))
    if family in ("mistral", "gemma2", "gemma3_text") and config.get("sliding_window"):
        keys["attention.sliding_window"] = config["sliding_window"]
    if family == "gemma2":
        keys["attn_logit_softcapping"] = config["attn_logit_softcapping"]
        keys["final_logit_softcapping"] = config["final_logit_softcapping"]
    if family == "phi3":
        keys.update(phi3_keys(config))
    return {**keys, **scaling_keys(config), **expert_keys(config)}


def phi3_keys(config):
    original = config["original_max_position_embeddings"]
    keys = {
        "rope.scaling.original_context_length": original,
        "attention.sliding_window": config.get("sliding_window") or 0,
    }
    if config.get("rope_scaling"):
        keys["rope.scaling.attn_factor"] = longrope_magnitude(
            config["max_position_embeddings"], original
        )
    return keys


def scaling_keys(config):
    parameters = config.get("rope_parameters", {}).get("full_attention")
    scaling = config.get("rope_scaling") or parameters or {}
    if scaling.get("rope_type", scaling.get("type")) != "linear":
        return {}
    return {"rope.scaling.type": "linear", "rope.scaling.factor": float(scaling["factor"])}


def expert_keys(config):
    experts = config.get("num_local_experts", config.get("num_experts"))
    if experts is None:
        return {}
    keys = {"expert_count": experts, "expert_used_count": config["num_experts_per_tok"]}
    if "moe_intermediate_size" in config:
        keys["expert_feed_forward_length"] = config["moe_intermediate_size"]
    if "shared_expert_intermediate_size" in config:
        keys["expert_shared_feed_forward_length"] = config["shared_expert_intermediate_size"]
    return keys
