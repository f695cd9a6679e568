"""From GGUF metadata and tensors to a Model, knowing nothing of Hugging Face.

Key and tensor names are llama.cpp's. What GGUF leaves to the architecture's name: llama turns
interleaved pairs and every other architecture half-split ones; gemma norms have their 1 folded in;
gemma scales embeddings by sqrt(hidden) and queries by key_length; gemma2 slides on every second
layer, gemma3 on five of six; qwen3moe renormalises expert weights and qwen2moe does not.
"""

import math

from forward import Layer, Linear, Mlp, Model, Moe, Norm
from layers import gelu_tanh, silu
from rope import Rope, linear, plain

FUSED_FFN = ("phi3",)  # ffn_up holds gate and up
GELU = ("gpt2", "gemma2", "gemma3")
SWA_THETA = 10000.0  # gemma3's local layers, where rope.freq_base_swa is not written


class File:
    """Metadata under the architecture's prefix, and tensors decoded on demand."""

    def __init__(self, metadata, tensors):
        self.metadata, self.tensors = metadata, tensors
        self.architecture = metadata["general.architecture"]

    def get(self, key, default=None):
        return self.metadata.get(f"{self.architecture}.{key}", default)

    def tensor(self, name):
        return self.tensors[name].values() if name in self.tensors else None

    def linear(self, name):
        weight = self.tensor(name + ".weight")
        return None if weight is None else Linear(weight, self.tensor(name + ".bias"))

    def norm(self, name):
        gain = self.tensor(name + ".weight")
        return None if gain is None else Norm(gain, self.tensor(name + ".bias"))


def build(metadata, tensors, context=None):
    file = File(metadata, tensors)
    hidden, heads = file.get("embedding_length"), file.get("attention.head_count")
    head_dim = file.get("attention.key_length", hidden // heads)
    embedding = file.tensor("token_embd.weight")
    head = file.tensor("output.weight")
    gemma = file.architecture.startswith("gemma")
    kv_heads = file.get("attention.head_count_kv", heads)
    return Model(
        embedding=embedding,
        head=embedding if head is None else head,
        layers=[
            layer(file, i, heads * head_dim, kv_heads * head_dim, context)
            for i in range(file.get("block_count"))
        ],
        final_norm=file.norm("output_norm"),
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        eps=file.get("attention.layer_norm_rms_epsilon", file.get("attention.layer_norm_epsilon")),
        attention_scale=head_dim**-0.5,
        activation=gelu_tanh if file.architecture in GELU else silu,
        embedding_scale=math.sqrt(hidden) if gemma else 1.0,
        position_embedding=file.tensor("position_embd.weight"),
        attention_softcap=file.get("attn_logit_softcapping"),
        logit_softcap=file.get("final_logit_softcapping"),
    )


def layer(file, i, q_rows, kv_rows, context):
    block = f"blk.{i}."
    fused = file.linear(block + "attn_qkv")
    if fused is not None:
        q, k, v = split(fused, q_rows, kv_rows, kv_rows)
    else:
        q, k, v = (file.linear(block + name) for name in ("attn_q", "attn_k", "attn_v"))
    return Layer(
        attention_norm=file.norm(block + "attn_norm"),
        q=q,
        k=k,
        v=v,
        o=file.linear(block + "attn_output"),
        q_norm=file.norm(block + "attn_q_norm"),
        k_norm=file.norm(block + "attn_k_norm"),
        attention_post_norm=file.norm(block + "post_attention_norm"),
        ffn_norm=file.norm(block + "ffn_norm"),
        ffn=ffn(file, block),
        ffn_post_norm=file.norm(block + "post_ffw_norm"),
        window=file.get("attention.sliding_window") or None if slides(file, i) else None,
        rope=None if file.architecture == "gpt2" else rope(file, i, q_rows, context),
    )


def split(fused, *rows):
    parts, begin = [], 0
    for count in rows:
        rows_of_part = slice(begin, begin + count)
        bias = None if fused.bias is None else fused.bias[rows_of_part]
        parts.append(Linear(fused.weight[rows_of_part], bias))
        begin += count
    return parts


def slides(file, i):
    period = {"gemma2": 2, "gemma3": 6}.get(file.architecture)
    period = file.get("attention.sliding_window_pattern", period)
    return period is None or i % period != period - 1


def rope(file, i, q_rows, context):
    head_dim = q_rows // file.get("attention.head_count")
    pairs = file.get("rope.dimension_count", head_dim) // 2
    made = Rope(
        file.get("rope.freq_base", 10000.0),
        plain(pairs),
        interleaved=file.architecture == "llama",
        magnitude=file.get("rope.scaling.attn_factor", 1.0),
    )
    if file.get("rope.scaling.type") == "linear":
        made.divisors = linear(pairs, file.get("rope.scaling.factor"))
    if "rope_freqs.weight" in file.tensors:
        made.divisors = file.tensor("rope_freqs.weight")
    if "rope_factors_long.weight" in file.tensors:
        original = file.get("rope.scaling.original_context_length")
        stretched = (context or file.get("context_length")) > original
        made.divisors = file.tensor(f"rope_factors_{'long' if stretched else 'short'}.weight")
    if file.architecture == "gemma3" and slides(file, i):
        made = Rope(file.get("rope.freq_base_swa", SWA_THETA), plain(pairs))
    return made


def ffn(file, block):
    if block + "ffn_gate_inp.weight" not in file.tensors:
        return dense(file, block)
    roles = ("gate", "up", "down")
    gates, ups, downs = (file.tensor(f"{block}ffn_{role}_exps.weight") for role in roles)
    shared = None
    if block + "ffn_up_shexp.weight" in file.tensors:
        gate, up, down = (file.linear(f"{block}ffn_{role}_shexp") for role in roles)
        shared = Mlp(gate=gate, up=up, down=down)
    shared_gate = file.tensor(block + "ffn_gate_inp_shexp.weight")
    return Moe(
        router=file.tensor(block + "ffn_gate_inp.weight"),
        experts=[
            Mlp(gate=Linear(gate), up=Linear(up), down=Linear(down))
            for gate, up, down in zip(gates, ups, downs)
        ],
        experts_used=file.get("expert_used_count"),
        renormalise=file.architecture != "qwen2moe",
        shared=shared,
        shared_gate=None if shared_gate is None else shared_gate.reshape(1, -1),
    )


def dense(file, block):
    gate, up, down = (file.linear(f"{block}ffn_{name}") for name in ("gate", "up", "down"))
    if file.architecture in FUSED_FFN:
        rows = file.get("feed_forward_length")
        gate, up = split(up, rows, rows)
    return Mlp(gate=gate, up=up, down=down)
