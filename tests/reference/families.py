"""From a Hugging Face config.json and its tensors to a Model: one function per family.

Each function states what its family does differently from Llama; decoder() is what they share.
Where a config key may be absent, the default is the one of that family's Hugging Face config class.
"""

import math

import numpy as np

from forward import Layer, Linear, Mlp, Model, Moe, Norm
from layers import gelu_tanh
from rope import Rope, linear, llama3, longrope_magnitude, plain


def build(config, tensors, context=None):
    """context is how many tokens the model is opened for (it chooses between LongRoPE's lists)."""
    return FAMILIES[config["model_type"]](config, tensors, context)


def head_dim(config):
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def default_rope(config, scaling=None, theta=None):
    """Transformers 4 has rope_theta and rope_scaling, transformers 5 one rope_parameters."""
    scaling = scaling or config.get("rope_scaling") or config.get("rope_parameters") or {}
    theta = theta or config.get("rope_theta") or scaling.get("rope_theta", 10000.0)
    pairs = head_dim(config) // 2
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return Rope(theta, plain(pairs))
    if kind == "linear":
        return Rope(theta, linear(pairs, scaling["factor"]))
    if kind == "llama3":
        divisors = llama3(
            pairs,
            theta,
            scaling["factor"],
            scaling["low_freq_factor"],
            scaling["high_freq_factor"],
            scaling["original_max_position_embeddings"],
        )
        return Rope(theta, divisors)
    raise ValueError(f"rope type {kind}")


def linear_layer(tensors, name):
    return Linear(tensors[name + ".weight"], tensors.get(name + ".bias"))


def gated(tensors, prefix, names=("gate_proj", "up_proj", "down_proj")):
    gate, up, down = (linear_layer(tensors, prefix + name) for name in names)
    return Mlp(gate=gate, up=up, down=down)


def split_rows(weight, *rows):
    """A fused projection back into its parts, from the top."""
    parts, begin = [], 0
    for count in rows:
        parts.append(Linear(weight[begin : begin + count]))
        begin += count
    return parts


def decoder(config, tensors, **special):
    """Llama and everything named like it.

    Of the keyword arguments, ffn, rope_of, window_of and projections are functions of a layer's
    index, gain makes a norm's gain of the stored weight, and the rest are fields of Model.
    """
    ffn = special.pop("ffn", lambda i: gated(tensors, f"model.layers.{i}.mlp."))
    rope = default_rope(config) if "rope_of" not in special else None
    rope_of = special.pop("rope_of", lambda i: rope)
    window_of = special.pop("window_of", lambda i: None)
    projections = special.pop("projections", None)
    gain = special.pop("gain", lambda weight: weight)
    four_norms = special.pop("four_norms", False)

    def norm(name):
        weight = tensors.get(name + ".weight")
        return None if weight is None else Norm(gain(weight))

    layers = []
    for i in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{i}."
        attention = prefix + "self_attn."
        if projections is None:
            q, k, v = (linear_layer(tensors, f"{attention}{name}_proj") for name in "qkv")
        else:
            q, k, v = projections(i)
        after_attention = norm(prefix + "post_attention_layernorm")
        before_ffn = norm(prefix + "pre_feedforward_layernorm") if four_norms else after_attention
        layers.append(
            Layer(
                attention_norm=norm(prefix + "input_layernorm"),
                q=q,
                k=k,
                v=v,
                o=linear_layer(tensors, attention + "o_proj"),
                q_norm=norm(attention + "q_norm"),
                k_norm=norm(attention + "k_norm"),
                attention_post_norm=after_attention if four_norms else None,
                ffn_norm=before_ffn,
                ffn=ffn(i),
                ffn_post_norm=norm(prefix + "post_feedforward_layernorm"),
                window=window_of(i),
                rope=rope_of(i),
            )
        )
    embedding = tensors["model.embed_tokens.weight"]
    return Model(
        embedding=embedding,
        head=tensors.get("lm_head.weight", embedding),
        layers=layers,
        final_norm=norm("model.norm"),
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_dim=head_dim(config),
        eps=config["rms_norm_eps"],
        attention_scale=special.pop("attention_scale", head_dim(config) ** -0.5),
        **special,
    )


def llama(config, tensors, context):
    return decoder(config, tensors)


def mistral(config, tensors, context):
    """Jiang et al. 2023: every layer sees a sliding window, where the config names one."""
    window = config.get("sliding_window")
    return decoder(config, tensors, window_of=lambda i: window)


def qwen2(config, tensors, context):
    """Biases on q, k and v. A sliding_window counts only where use_sliding_window says so, and
    then only from layer max_window_layers on."""
    window = config.get("sliding_window") if config.get("use_sliding_window", False) else None
    first = config.get("max_window_layers", 28)
    return decoder(config, tensors, window_of=lambda i: window if i >= first else None)


def qwen3(config, tensors, context):
    """An RMS norm over each head of q and k before the rotation (decoder() finds its weights)."""
    return qwen2(config, tensors, context)


def phi3(config, tensors, context):
    """Fused projections, a window on every layer, LongRoPE, and rotation of part of each head.

    The list of factors goes by the context the model is opened for: the short one within
    original_max_position_embeddings, the long one beyond. (Hugging Face looks at the length of the
    sequence instead, which gives keys already cached a rotation that later queries do not have.)
    """
    width = head_dim(config)
    q_rows, kv_rows = config["num_attention_heads"] * width, config["num_key_value_heads"] * width
    pairs = int(width * config.get("partial_rotary_factor", 1.0)) // 2
    scaling = config.get("rope_scaling")
    rope = Rope(config["rope_theta"], plain(pairs))
    if scaling is not None:
        most = config["max_position_embeddings"]
        original = config["original_max_position_embeddings"]
        stretched = (context or most) > original
        rope.divisors = scaling["long_factor" if stretched else "short_factor"]
        rope.magnitude = longrope_magnitude(most, original)

    def projections(i):
        weight = tensors[f"model.layers.{i}.self_attn.qkv_proj.weight"]
        return split_rows(weight, q_rows, kv_rows, kv_rows)

    def ffn(i):
        weight = tensors[f"model.layers.{i}.mlp.gate_up_proj.weight"]
        gate, up = split_rows(weight, config["intermediate_size"], config["intermediate_size"])
        return Mlp(gate=gate, up=up, down=linear_layer(tensors, f"model.layers.{i}.mlp.down_proj"))

    return decoder(
        config,
        tensors,
        projections=projections,
        ffn=ffn,
        rope_of=lambda i: rope,
        window_of=lambda i: config.get("sliding_window"),
    )


def gemma(config, tensors, window_of, rope_of):
    """What Gemma 2 and 3 share: (1 + w) norms, four of them to a layer; embeddings times
    sqrt(hidden); queries scaled by query_pre_attn_scalar, not head_dim; GeGLU; a tied head."""
    return decoder(
        config,
        tensors,
        gain=lambda weight: 1.0 + weight,
        four_norms=True,
        window_of=window_of,
        rope_of=rope_of,
        activation=gelu_tanh,
        embedding_scale=math.sqrt(config["hidden_size"]),
        attention_scale=config["query_pre_attn_scalar"] ** -0.5,
        attention_softcap=config.get("attn_logit_softcapping"),
        logit_softcap=config.get("final_logit_softcapping"),
    )


def is_sliding(config, i, pattern):
    """Either layer_types says it, or every pattern-th layer is global and the others slide."""
    if config.get("layer_types"):
        return config["layer_types"][i] == "sliding_attention"
    return (i + 1) % pattern != 0


def gemma2(config, tensors, context):
    """Gemma Team 2024: layers alternate, local first; scores and logits are soft-capped."""
    window = config["sliding_window"]
    rope = default_rope(config)
    return gemma(
        config,
        tensors,
        window_of=lambda i: window if is_sliding(config, i, 2) else None,
        rope_of=lambda i: rope,
    )


def gemma3(config, tensors, context):
    """Gemma Team 2025: five local layers to a global one; q and k norms instead of soft caps; local
    layers turn at theta 10000 unscaled, global ones at theta 1e6 with the config's scaling."""
    window, pattern = config["sliding_window"], config.get("sliding_window_pattern", 6)
    parameters = config.get("rope_parameters")
    if parameters:
        ropes = {kind: default_rope(config, scaling) for kind, scaling in parameters.items()}
        local, everywhere = ropes["sliding_attention"], ropes["full_attention"]
    else:
        local = default_rope(config, {"rope_type": "default"}, config["rope_local_base_freq"])
        everywhere = default_rope(config)
    return gemma(
        config,
        tensors,
        window_of=lambda i: window if is_sliding(config, i, pattern) else None,
        rope_of=lambda i: local if is_sliding(config, i, pattern) else everywhere,
    )


def mixtral(config, tensors, context):
    """Jiang et al. 2024: w1 is the gate, w3 up, w2 down; weights renormalised over the chosen."""

    def ffn(i):
        prefix = f"model.layers.{i}.block_sparse_moe."
        return Moe(
            router=tensors[prefix + "gate.weight"],
            experts=[
                gated(tensors, f"{prefix}experts.{e}.", ("w1", "w3", "w2"))
                for e in range(config["num_local_experts"])
            ],
            experts_used=config["num_experts_per_tok"],
            renormalise=True,
        )

    window = config.get("sliding_window")
    return decoder(config, tensors, ffn=ffn, window_of=lambda i: window)


def qwen_moe(config, tensors, context):
    """Qwen2-MoE and Qwen3-MoE: a layer is sparse unless mlp_only_layers or decoder_sparse_step say
    otherwise; norm_topk_prob decides on renormalising; Qwen2 adds an expert that always runs,
    weighted by a sigmoid."""

    def ffn(i):
        prefix = f"model.layers.{i}.mlp."
        step = config.get("decoder_sparse_step", 1)
        if i in config.get("mlp_only_layers", []) or (i + 1) % step != 0:
            return gated(tensors, prefix)
        shared = prefix + "shared_expert."
        has_shared = shared + "gate_proj.weight" in tensors
        return Moe(
            router=tensors[prefix + "gate.weight"],
            experts=[
                gated(tensors, f"{prefix}experts.{e}.") for e in range(config["num_experts"])
            ],
            experts_used=config["num_experts_per_tok"],
            renormalise=config.get("norm_topk_prob", False),
            shared=gated(tensors, shared) if has_shared else None,
            shared_gate=tensors.get(prefix + "shared_expert_gate.weight"),
        )

    return decoder(config, tensors, ffn=ffn)


def gpt2(config, tensors, context):
    """Radford et al. 2019: LayerNorms with bias, learned positions, no gate, a tied head.

    Its Conv1D weights are (in, out). The original checkpoint has no "transformer." before its
    names, and carries causal masks as h.N.attn.bias, which are not weights.
    """
    tensors = {name.removeprefix("transformer."): array for name, array in tensors.items()}

    def conv(name):
        return Linear(tensors[name + ".weight"].T, tensors[name + ".bias"])

    def norm(name):
        return Norm(tensors[name + ".weight"], tensors[name + ".bias"])

    layers = []
    for i in range(config["n_layer"]):
        fused = conv(f"h.{i}.attn.c_attn")
        weights, biases = np.split(fused.weight, 3), np.split(fused.bias, 3)
        q, k, v = (Linear(weight, bias) for weight, bias in zip(weights, biases))
        layers.append(
            Layer(
                attention_norm=norm(f"h.{i}.ln_1"),
                q=q,
                k=k,
                v=v,
                o=conv(f"h.{i}.attn.c_proj"),
                ffn_norm=norm(f"h.{i}.ln_2"),
                ffn=Mlp(up=conv(f"h.{i}.mlp.c_fc"), down=conv(f"h.{i}.mlp.c_proj")),
            )
        )
    width = config["n_embd"] // config["n_head"]
    return Model(
        embedding=tensors["wte.weight"],
        head=tensors["wte.weight"],
        layers=layers,
        final_norm=norm("ln_f"),
        heads=config["n_head"],
        kv_heads=config["n_head"],
        head_dim=width,
        eps=config["layer_norm_epsilon"],
        attention_scale=width**-0.5,
        activation=gelu_tanh,
        position_embedding=tensors["wpe.weight"],
    )


FAMILIES = {
    "llama": llama,
    "mistral": mistral,
    "mixtral": mixtral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "qwen2_moe": qwen_moe,
    "qwen3_moe": qwen_moe,
    "phi3": phi3,
    "gemma2": gemma2,
    "gemma3_text": gemma3,
    "gpt2": gpt2,
}
