"""Rotary frequencies: the plain ones and the ways published models stretch them.

A stretched model divides inverse frequency i by divisor[i]; that one vector says everything, and it
is also how GGUF stores Llama 3 (rope_freqs.weight) and Phi-3 (rope_factors_*.weight).
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class Rope:
    theta: float
    divisors: np.ndarray  # (pairs,)
    interleaved: bool = False
    magnitude: float = 1.0  # multiplies cos and sin, hence the attention logits by its square

    def angles(self, tokens):
        """(tokens, pairs): position times inverse frequency."""
        pairs = len(self.divisors)
        inverse_frequency = self.theta ** (-np.arange(pairs) / pairs) / self.divisors
        return np.arange(tokens)[:, None] * inverse_frequency[None, :]

    def cos_sin(self, tokens):
        angles = self.angles(tokens)
        return np.cos(angles) * self.magnitude, np.sin(angles) * self.magnitude


def plain(pairs):
    return np.ones(pairs)


def linear(pairs, factor):
    """Position interpolation (Chen et al. 2023): every position divided by the factor."""
    return np.full(pairs, float(factor))


def llama3(pairs, theta, factor, low_freq_factor, high_freq_factor, original_context):
    """Llama 3.1: wavelengths long for the original context are stretched, short ones kept,
    and those between are blended in frequency."""
    wavelength = 2 * math.pi * theta ** (np.arange(pairs) / pairs)
    longest_kept = original_context / high_freq_factor
    shortest_stretched = original_context / low_freq_factor
    smooth = (original_context / wavelength - low_freq_factor) / (
        high_freq_factor - low_freq_factor
    )
    blended = 1.0 / ((1.0 - smooth) / factor + smooth)
    return np.where(
        wavelength < longest_kept,
        1.0,
        np.where(wavelength > shortest_stretched, float(factor), blended),
    )


def longrope_magnitude(context, original_context):
    """LongRoPE (Ding et al. 2024) as Phi-3 uses it: sqrt(1 + ln(s) / ln(original)), s the stretch.

    It applies whichever factor list is in use, and depends on what the model was made for (its
    max_position_embeddings), not on the length of the sequence at hand.
    """
    stretch = context / original_context
    if stretch <= 1.0:
        return 1.0
    return math.sqrt(1.0 + math.log(stretch) / math.log(original_context))
