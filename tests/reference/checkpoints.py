"""Random weights for a config, and the checkpoint files that hold them.

Scales are chosen so that a wrong model shows: attention that attends, branches that outweigh the
embedding they are added to, logits with a standard deviation of about 4.
"""

import json
import zlib

import numpy as np

import floats
import safetensors_file
import tiny_tokenizers
from families import head_dim

# Standard deviation of a matrix times sqrt(in), by the ending of its name.
MATRIX_GAIN = {
    "q_proj": 1.6,
    "k_proj": 1.6,
    "qkv_proj": 1.4,
    "c_attn": 1.4,
    "o_proj": 1.5,
    "c_proj": 3.0,
    "down_proj": 1.5,
    "w2": 1.5,
    "mlp.gate": 2.0,
    "block_sparse_moe.gate": 2.0,
    "lm_head": 4.0,
}
OTHER_MATRIX_GAIN = 1.3


def seed_of(text):
    return zlib.crc32(text.encode())


def shapes(config):
    """{name: shape} in Hugging Face's names and layout."""
    if config["model_type"] == "gpt2":
        return gpt2_shapes(config)
    hidden, width = config["hidden_size"], head_dim(config)
    q, kv = config["num_attention_heads"] * width, config["num_key_value_heads"] * width
    family = config["model_type"]
    out = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for i in range(config["num_hidden_layers"]):
        layer, attention = f"model.layers.{i}.", f"model.layers.{i}.self_attn."
        if family == "phi3":
            out[attention + "qkv_proj.weight"] = (q + 2 * kv, hidden)
        else:
            for name, rows in (("q", q), ("k", kv), ("v", kv)):
                out[f"{attention}{name}_proj.weight"] = (rows, hidden)
                if family in ("qwen2", "qwen2_moe"):
                    out[f"{attention}{name}_proj.bias"] = (rows,)
        out[attention + "o_proj.weight"] = (hidden, q)
        if family in ("qwen3", "qwen3_moe", "gemma3_text"):
            out[attention + "q_norm.weight"] = out[attention + "k_norm.weight"] = (width,)
        norms = ["input_layernorm", "post_attention_layernorm"]
        if family.startswith("gemma"):
            norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
        out.update({f"{layer}{name}.weight": (hidden,) for name in norms})
        out.update(ffn_shapes(config, i))
    out["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        out["lm_head.weight"] = (config["vocab_size"], hidden)
    return out


def ffn_shapes(config, i):
    family, hidden, ffn = config["model_type"], config["hidden_size"], config["intermediate_size"]
    prefix = f"model.layers.{i}.mlp."
    if family == "phi3":
        return {
            prefix + "gate_up_proj.weight": (2 * ffn, hidden),
            prefix + "down_proj.weight": (hidden, ffn),
        }
    if family == "mixtral":
        prefix = f"model.layers.{i}.block_sparse_moe."
        out = {prefix + "gate.weight": (config["num_local_experts"], hidden)}
        for e in range(config["num_local_experts"]):
            out.update(gated_shapes(f"{prefix}experts.{e}.", hidden, ffn, ("w1", "w3", "w2")))
        return out
    sparse = "num_experts" in config and i not in config["mlp_only_layers"]
    if not sparse or (i + 1) % config["decoder_sparse_step"] != 0:
        return gated_shapes(prefix, hidden, ffn)
    out = {prefix + "gate.weight": (config["num_experts"], hidden)}
    for e in range(config["num_experts"]):
        out.update(gated_shapes(f"{prefix}experts.{e}.", hidden, config["moe_intermediate_size"]))
    if "shared_expert_intermediate_size" in config:
        shared = config["shared_expert_intermediate_size"]
        out.update(gated_shapes(prefix + "shared_expert.", hidden, shared))
        out[prefix + "shared_expert_gate.weight"] = (1, hidden)
    return out


def gated_shapes(prefix, hidden, ffn, names=("gate_proj", "up_proj", "down_proj")):
    gate, up, down = (f"{prefix}{name}.weight" for name in names)
    return {gate: (ffn, hidden), up: (ffn, hidden), down: (hidden, ffn)}


def gpt2_shapes(config):
    hidden = config["n_embd"]
    out = {"wte.weight": (config["vocab_size"], hidden), "wpe.weight": (config["n_ctx"], hidden)}
    for i in range(config["n_layer"]):
        for name, rows, columns in (
            ("attn.c_attn", hidden, 3 * hidden),
            ("attn.c_proj", hidden, hidden),
            ("mlp.c_fc", hidden, 4 * hidden),
            ("mlp.c_proj", 4 * hidden, hidden),
        ):
            out[f"h.{i}.{name}.weight"] = (rows, columns)
            out[f"h.{i}.{name}.bias"] = (columns,)
        for name in ("ln_1", "ln_2"):
            out[f"h.{i}.{name}.weight"] = out[f"h.{i}.{name}.bias"] = (hidden,)
    return {**out, "ln_f.weight": (hidden,), "ln_f.bias": (hidden,)}


def random_tensors(case):
    """{name: float64 array}, already rounded to what case.dtype can hold."""
    rng = np.random.default_rng(seed_of(case.name))
    tensors = {}
    for name, shape in shapes(case.config).items():
        array = random_tensor(case.config, name, shape, rng)
        tensors[case.prefix + name] = floats.rounded(array, case.dtype)
    if case.config["model_type"] == "gpt2":
        # The original checkpoint carries its causal masks; readers must not take them for biases.
        context = case.config["n_ctx"]
        for i in range(case.config["n_layer"]):
            mask = np.tril(np.ones((1, 1, context, context)))
            tensors[f"{case.prefix}h.{i}.attn.bias"] = mask
    return tensors


def random_tensor(config, name, shape, rng):
    gemma = config["model_type"].startswith("gemma")
    stem = name.rsplit(".", 1)[0]
    if name.endswith(".bias"):
        return rng.normal(0, 0.2, shape)
    if len(shape) == 1:
        # Few digits, so that gemma's 1 + w is the same number in either layout.
        mean = norm_mean(stem, gemma)
        return np.rint(rng.normal(mean, 0.2, shape) * 1024) / 1024
    if stem.endswith(("embed_tokens", "wte")):
        return rng.normal(0, 0.15 if gemma else 0.5, shape)
    if stem.endswith("wpe"):
        return rng.normal(0, 0.3, shape)
    gain = next((g for end, g in MATRIX_GAIN.items() if stem.endswith(end)), OTHER_MATRIX_GAIN)
    inputs = shape[0] if config["model_type"] == "gpt2" else shape[1]
    return rng.normal(0, gain / np.sqrt(inputs), shape)


def norm_mean(stem, gemma):
    """What a stored norm weight is around; gemma's count from 0 instead of 1."""
    mean = 1.0
    if stem.endswith(("q_norm", "k_norm")):
        mean = 1.6
    elif gemma and stem == "model.norm":
        mean = 4.0
    elif gemma and stem.endswith(("post_attention_layernorm", "post_feedforward_layernorm")):
        mean = 3.0
    return mean - 1.0 if gemma else mean


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_hugging_face(directory, case, tensors):
    """config, generation config, tokenizer and safetensors, as from_pretrained would want them."""
    directory.mkdir(parents=True, exist_ok=True)
    config = case.config
    write_json(directory / "config.json", config)
    ends = {key: config[key] for key in ("bos_token_id", "eos_token_id")}
    write_json(directory / "generation_config.json", {"_from_model_config": True, **ends})
    write_json(directory / "tokenizer.json", tiny_tokenizers.tokenizer_json(config))
    write_json(directory / "tokenizer_config.json", tiny_tokenizers.tokenizer_config(config))
    if case.shards > 1:
        safetensors_file.write_sharded(directory, tensors, case.dtype, case.shards)
    else:
        safetensors_file.write(directory / "model.safetensors", tensors, case.dtype)
