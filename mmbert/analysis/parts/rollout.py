"""Attention rollout: what of each token reaches a vector at the top, if attention alone moved it.

Paper: Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers", arXiv:2005.00928.

    Ã_l = (mean over heads of A_l + I) / 2, rows made to sum to 1          R = Ã_K · … · Ã_1

It knows no output and no sign: it says where a network looks, not what for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.attention_weights import encoder_attention
from mmbert.encoders.base import Encoder


def rollout(weights: Tensor) -> Tensor:
    """(layers, B, heads, L, L), the lowest first -> (B, L, L): what of each token (last) reaches each token."""
    size = weights.shape[-1]
    same = torch.eye(size, dtype=weights.dtype, device=weights.device)
    reached = same.expand(weights.shape[1], size, size)
    for layer in weights.mean(2):
        mixed = (layer + same) / 2
        reached = mixed / mixed.sum(-1, keepdim=True) @ reached
    return reached


def encoder_rollout(encoder: Encoder, inputs: Inputs) -> Tensor | None:
    """What of each token reaches the encoder's pooled vector.

    Args:
        encoder: in evaluation mode.
        inputs: of B samples, all of which have the modality.

    Returns:
        (B, L), a row sums to 1, zeros in padding; None where the encoder has no weights to give.
    """
    found = encoder_attention(encoder, inputs)
    if found is None:
        return None
    weights, read = found
    return (read.unsqueeze(1) @ rollout(weights)).squeeze(1)


def fusion_rollout(diagnostics: dict[str, Tensor], encoded: dict[str, Encoded]) -> Tensor | None:
    """What of each modality reaches the class token of a strategy that runs one sequence of all tokens.

    Args:
        diagnostics: of a fusion, everything asked for.
        encoded: that it was given, in its order.

    Returns:
        (B, M), the sums over tokens without the class token, divided by their sum; None where the strategy has no
        weights of this form (``attention/LAYER`` over one token and all of the modalities').
    """
    layers = sorted(
        (name for name in diagnostics if name.startswith("attention/")), key=lambda name: name.split("/")[1:]
    )
    if not layers or not all(name.count("/") == 1 and name.split("/")[1].isdigit() for name in layers):
        return None
    layers.sort(key=lambda name: int(name.split("/")[1]))
    lengths = [x.mask.shape[1] for x in encoded.values()]
    size = 1 + sum(lengths)
    if any(diagnostics[name].shape[-2:] != (size, size) for name in layers):
        return None
    reached = rollout(torch.stack([diagnostics[name] for name in layers]))[:, 0, 1:]
    parts = torch.stack([part.sum(1) for part in reached.split(lengths, 1)], 1)
    return parts / parts.sum(1, keepdim=True).clamp(min=torch.finfo(parts.dtype).tiny)
