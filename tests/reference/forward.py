"""A decoder-only transformer as plain data, and its forward pass over a whole sequence.

The model families differ only in which fields they fill (families.py fills them from a Hugging
Face config, gguf_models.py from GGUF metadata, llama2c.py from llama2.c's files).
"""

from dataclasses import dataclass
from typing import Callable, Optional

import numpy as np

from layers import attention, layer_norm, rms_norm, rotate, route, sigmoid, silu, softcap
from rope import Rope


@dataclass
class Norm:
    gain: np.ndarray
    bias: Optional[np.ndarray] = None  # with one it is a LayerNorm, without an RMS norm


@dataclass
class Linear:
    weight: np.ndarray  # (out, in)
    bias: Optional[np.ndarray] = None

    def __call__(self, x):
        y = x @ self.weight.T
        return y if self.bias is None else y + self.bias


@dataclass
class Mlp:
    up: Linear
    down: Linear
    gate: Optional[Linear] = None  # without one: down(activation(up(x)))


@dataclass
class Moe:
    router: np.ndarray  # (experts, hidden)
    experts: list  # of Mlp
    experts_used: int
    renormalise: bool
    shared: Optional[Mlp] = None
    shared_gate: Optional[np.ndarray] = None  # (1, hidden)


@dataclass
class Layer:
    attention_norm: Norm
    q: Linear
    k: Linear
    v: Linear
    o: Linear
    ffn_norm: Norm
    ffn: object  # Mlp or Moe
    q_norm: Optional[Norm] = None  # over head_dim, before the rotation
    k_norm: Optional[Norm] = None
    attention_post_norm: Optional[Norm] = None  # on the branch, before it is added
    ffn_post_norm: Optional[Norm] = None
    window: Optional[int] = None
    rope: Optional[Rope] = None


@dataclass
class Model:
    embedding: np.ndarray  # (vocab, hidden)
    head: np.ndarray  # (vocab, hidden), the embedding again where the two are tied; or a Linear
    layers: list
    final_norm: Norm
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    attention_scale: float
    activation: Callable = silu
    embedding_scale: float = 1.0
    position_embedding: Optional[np.ndarray] = None  # (context, hidden)
    attention_softcap: Optional[float] = None
    logit_softcap: Optional[float] = None


@dataclass
class Trace:
    """What a test wants to know besides the logits."""

    router_gap_min: float = np.inf  # between the last expert chosen and the first one not
    rounding_margin_min: float = np.inf  # of an int8 activation, from where it rounds otherwise


def norm(x, spec, eps):
    if spec is None:
        return x
    if spec.bias is None:
        return rms_norm(x, spec.gain, eps)
    return layer_norm(x, spec.gain, spec.bias, eps)


def attend(model, layer, x):
    tokens = len(x)
    q = layer.q(x).reshape(tokens, model.heads, model.head_dim)
    k = layer.k(x).reshape(tokens, model.kv_heads, model.head_dim)
    v = layer.v(x).reshape(tokens, model.kv_heads, model.head_dim)
    q, k = norm(q, layer.q_norm, model.eps), norm(k, layer.k_norm, model.eps)
    if layer.rope is not None:
        cos, sin = layer.rope.cos_sin(tokens)
        q = rotate(q, cos, sin, layer.rope.interleaved)
        k = rotate(k, cos, sin, layer.rope.interleaved)
    mixed = attention(q, k, v, model.attention_scale, layer.window, model.attention_softcap)
    return layer.o(mixed)


def mlp(spec, x, activation):
    if spec.gate is None:
        return spec.down(activation(spec.up(x)))
    return spec.down(activation(spec.gate(x)) * spec.up(x))  # Shazeer 2020: SwiGLU, GeGLU


def mixture(spec, x, activation, trace):
    logits = x @ spec.router.T
    if trace is not None:
        ranked = -np.sort(-logits, axis=-1)
        gap = ranked[:, spec.experts_used - 1] - ranked[:, spec.experts_used]
        trace.router_gap_min = min(trace.router_gap_min, float(gap.min()))
    weight = route(logits, spec.experts_used, spec.renormalise)
    out = sum(
        weight[:, [e]] * mlp(expert, x, activation) for e, expert in enumerate(spec.experts)
    )
    if spec.shared is not None:
        out = out + sigmoid(x @ spec.shared_gate.T) * mlp(spec.shared, x, activation)
    return out


def feed_forward(model, layer, x, trace):
    if isinstance(layer.ffn, Moe):
        return mixture(layer.ffn, x, model.activation, trace)
    return mlp(layer.ffn, x, model.activation)


def final_states(model, ids, trace=None):
    """Token ids -> what the head sees of each, (tokens, hidden)."""
    eps = model.eps
    x = model.embedding[np.asarray(ids)] * model.embedding_scale
    if model.position_embedding is not None:
        x = x + model.position_embedding[: len(ids)]
    for layer in model.layers:
        branch = attend(model, layer, norm(x, layer.attention_norm, eps))
        x = x + norm(branch, layer.attention_post_norm, eps)
        branch = feed_forward(model, layer, norm(x, layer.ffn_norm, eps), trace)
        x = x + norm(branch, layer.ffn_post_norm, eps)
    return norm(x, model.final_norm, eps)


def forward(model, ids, trace=None):
    """Token ids -> logits (tokens, vocab): row t scores the token after ids[t]."""
    head = model.head if callable(model.head) else Linear(model.head)
    return softcap(head(final_states(model, ids, trace)), model.logit_softcap)


def top2_gap(logits):
    """Per row, how far the largest logit is ahead: what a rounding error must not reach."""
    top = np.partition(logits, -2, axis=-1)[..., -2:]
    return top[..., 1] - top[..., 0]


def greedy(logits_of, prompt_ids, steps):
    """Continue a prompt by the largest logit, never stopping at an end token.

    logits_of maps ids to logits of every position. Returns (ids, smallest top-2 gap met).
    """
    ids, gap = list(prompt_ids), np.inf
    for _ in range(steps):
        last = logits_of(ids)[-1]
        gap = min(gap, float(top2_gap(last)))
        ids.append(int(np.argmax(last)))
    return ids[len(prompt_ids) :], gap
