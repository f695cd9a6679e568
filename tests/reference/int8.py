"""Products as brisk computes them with quantised weights: inputs rounded to int8 in groups.

A group is 32 consecutive inputs of one row; its step is max|x| / 127, an input becomes the nearest
whole number of steps, halves to even, and a group of zeros stays zero (docs/decisions/0001). What
is left is exact, up to the order of sums.
"""

from dataclasses import dataclass, replace

import numpy as np

import forward

GROUP = 32


def rounded(x, trace=None):
    """x (tokens, inputs) -> the same, each a whole number of its group's steps."""
    groups = x.reshape(len(x), -1, GROUP)
    step = np.max(np.abs(groups), axis=-1, keepdims=True) / 127.0
    step = np.where(step == 0, 1.0, step)
    whole = np.rint(groups / step)
    if trace is not None:
        margin = 0.5 - np.abs(groups / step - whole).max()
        trace.rounding_margin_min = min(trace.rounding_margin_min, float(margin))
    return (whole * step).reshape(x.shape)


@dataclass
class RoundingLinear(forward.Linear):
    trace: forward.Trace = None
    order: np.ndarray = None  # of the inputs as they are grouped

    def __call__(self, x):
        if self.order is None:
            return super().__call__(rounded(x, self.trace))
        whole = np.empty_like(x)
        whole[:, self.order] = rounded(x[:, self.order], self.trace)
        return super().__call__(whole)


def rounding(model, trace=None, head=True, orders=None):
    """The same dense llama, whose products round their inputs; that with the head only if `head`.
    orders: {id of a weight: the order in which its inputs are grouped}."""
    orders = orders or {}
    wrap = lambda linear: RoundingLinear(
        linear.weight, linear.bias, trace, orders.get(id(linear.weight))
    )
    layers = [
        replace(
            layer,
            **{name: wrap(getattr(layer, name)) for name in "qkvo"},
            ffn=replace(
                layer.ffn, up=wrap(layer.ffn.up), down=wrap(layer.ffn.down), gate=wrap(layer.ffn.gate)
            ),
        )
        for layer in model.layers
    ]
    wrapped = RoundingLinear(model.head, None, trace) if head else model.head
    return replace(model, layers=layers, head=wrapped)
