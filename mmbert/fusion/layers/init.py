"""Initial weights with which a strategy's output has a variance of about one before the first step of training.

A product of M factors of size s is of size s^M: with the usual draw of ``nn.Linear``, whose outputs have a variance
of 1/3, five factors multiply to 0.06, and a head that reads them learns slowly. The arithmetic used throughout: if a
layer's inputs have the mean square q and its weights are independent with mean 0 and variance 1 / (fan_in · q), its
outputs have variance 1 (LeCun et al. 1998, "Efficient BackProp"; He et al. 2015, arXiv:1502.01852); and the product
of independent factors has the product of their mean squares.
"""

from __future__ import annotations

import math

from torch import nn

#: E[tanh(u)²] for u ~ N(0, 1)
TANH_MEAN_SQUARE = 0.394294


def unit_variance(linear: nn.Linear, mean_square: float = 1.0) -> nn.Linear:
    """The same layer, drawn anew: weights N(0, 1 / (fan_in · mean_square)), biases 0.

    Args:
        linear: the layer.
        mean_square: q, of its inputs; 1 after a layer norm.
    """
    nn.init.normal_(linear.weight, std=1 / math.sqrt(linear.in_features * mean_square))
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
    return linear
