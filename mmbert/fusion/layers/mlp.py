"""Two linear layers with a ReLU between them, initialised so that the variance of the input is kept."""

from __future__ import annotations

from torch import nn


def two_layers(dim: int, hidden_dim: int, out_dim: int, dropout: float) -> nn.Sequential:
    """Linear, ReLU, dropout, linear: (..., D) -> (..., H).

    Inputs with a variance of 1 give outputs with a variance of 1: weights of the first layer begin with a variance of
    1 / D, of the second, after the ReLU, with 2 / width (He et al. 2015, arXiv:1502.01852), and biases at 0.

    Args:
        dim: width D.
        hidden_dim: width between the layers.
        out_dim: width H.
        dropout: between the layers.
    """
    first, second = nn.Linear(dim, hidden_dim), nn.Linear(hidden_dim, out_dim)
    nn.init.normal_(first.weight, std=dim**-0.5)
    nn.init.kaiming_normal_(second.weight)
    nn.init.zeros_(first.bias)
    nn.init.zeros_(second.bias)
    return nn.Sequential(first, nn.ReLU(), nn.Dropout(dropout), second)
