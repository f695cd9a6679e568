"""The operations a decoder is made of, in float64, one function each.

Sequences are whole: x is (tokens, hidden), q is (tokens, heads, head_dim), and nothing is cached.
A weight matrix W is (out, in), so that a linear layer is x @ W.T.
"""

import numpy as np


def rms_norm(x, gain, eps):
    """Zhang & Sennrich 2019: x / sqrt(mean(x^2) + eps), times a gain per channel."""
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * gain


def layer_norm(x, gain, bias, eps):
    """Ba, Kiros & Hinton 2016, with the biased variance."""
    centred = x - np.mean(x, axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return centred / np.sqrt(variance + eps) * gain + bias


def softmax(x):
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def sigmoid(x):
    return 0.5 * (1.0 + np.tanh(0.5 * x))  # this form cannot overflow


def silu(x):
    return x * sigmoid(x)


def gelu_tanh(x):
    """Hendrycks & Gimpel 2016, the tanh approximation: what GPT-2 and Gemma were trained with."""
    return 0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def softcap(x, cap):
    """Gemma 2: squash into (-cap, cap). None leaves x alone."""
    return x if cap is None else cap * np.tanh(x / cap)


def rotate(x, cos, sin, interleaved):
    """Rotary position embedding (Su et al. 2021) of x (tokens, heads, head_dim).

    cos and sin are (tokens, pairs); the first 2 * pairs channels of a head turn, the rest pass.
    A pair is two channels that turn together: (2i, 2i + 1) when interleaved, as the paper, Meta's
    checkpoints and GGUF's llama have it; (i, i + pairs) otherwise, as Hugging Face has it.
    """
    pairs = cos.shape[-1]
    cos, sin = cos[:, None, :], sin[:, None, :]
    if interleaved:
        first, second = np.arange(pairs) * 2, np.arange(pairs) * 2 + 1
    else:
        first, second = np.arange(pairs), np.arange(pairs) + pairs
    out = x.copy()
    out[..., first] = x[..., first] * cos - x[..., second] * sin
    out[..., second] = x[..., first] * sin + x[..., second] * cos
    return out


def visible(tokens, window):
    """(query, key) -> may it see it? Causal; with a window, itself and the window - 1 before it."""
    query, key = np.arange(tokens)[:, None], np.arange(tokens)[None, :]
    mask = key <= query
    return mask if window is None else mask & (query - key < window)


def attention(q, k, v, scale, window=None, cap=None):
    """Softmax attention with grouped queries: query head h reads KV head h // (heads / kv_heads).

    q is (tokens, heads, head_dim); k and v are (tokens, kv_heads, head_dim).
    Returns (tokens, heads * head_dim).
    """
    tokens, heads, _ = q.shape
    group = heads // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = softcap(np.einsum("qhd,khd->hqk", q, k) * scale, cap)
    scores = np.where(visible(tokens, window), scores, -np.inf)
    return np.einsum("hqk,khd->qhd", softmax(scores), v).reshape(tokens, -1)


def route(logits, experts_used, renormalise):
    """Which experts a token goes to, and with what weight.

    Softmax over all experts, keep the largest; Mixtral divides what it kept by its sum (which is
    the softmax of the kept logits alone), Qwen2-MoE by default does not.
    Returns a (tokens, experts) matrix that is zero where a token does not go.
    """
    probability = softmax(logits)
    chosen = np.argsort(-probability, axis=-1, kind="stable")[:, :experts_used]
    weight = np.zeros_like(probability)
    np.put_along_axis(weight, chosen, np.take_along_axis(probability, chosen, -1), -1)
    return weight / weight.sum(axis=-1, keepdims=True) if renormalise else weight
