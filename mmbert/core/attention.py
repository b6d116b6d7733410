"""Torch's attention and encoder layer with every linear layer called, so that what stands around one has its effect.

``torch.nn.MultiheadAttention`` reads the weights of its ``out_proj`` without calling it, and
``torch.nn.TransformerEncoderLayer`` in evaluation mode those of all its layers. An adapter (peft), a hook or a
quantised layer in their place is then passed by without a word. These functions take the modules as they are, so that
weights saved before load; their numbers are torch's.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def self_attention(module: nn.MultiheadAttention, x: Tensor, mask: Tensor) -> Tensor:
    """Self-attention of a sequence with a module's weights.

    Args:
        module: of one width, with a bias or without; whether it is ``batch_first`` does not matter.
        x: (B, L, D).
        mask: (B, L) bool, True = a token that may be attended to; at least one in each row.

    Returns:
        (B, L, D).
    """
    heads = F.linear(x, module.in_proj_weight, module.in_proj_bias).unflatten(-1, (3, module.num_heads, -1))
    q, k, v = heads.permute(2, 0, 3, 1, 4)  # (B, heads, L, D / heads) each
    dropout = module.dropout if module.training else 0.0
    attended = F.scaled_dot_product_attention(q, k, v, mask[:, None, None], dropout)
    out: Tensor = module.out_proj(attended.transpose(1, 2).flatten(2))
    return out


def encoder_layer(layer: nn.TransformerEncoderLayer, x: Tensor, mask: Tensor) -> Tensor:
    """A layer with its norms after the sublayers, torch's default: x (B, L, D), mask as above -> (B, L, D)."""
    x = layer.norm1(x + layer.dropout1(self_attention(layer.self_attn, x, mask)))
    hidden = layer.dropout(layer.activation(layer.linear1(x)))
    out: Tensor = layer.norm2(x + layer.dropout2(layer.linear2(hidden)))
    return out
