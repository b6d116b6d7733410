"""The attention weights inside an encoder, layer by layer, and how its pooled vector reads the tokens.

Fused kernels of attention have no weights to give: the network is run once with eager attention, which makes the same
tokens. Text models of transformers and vision transformers of timm have weights; other networks have none here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from mmbert.core.types import Inputs
from mmbert.encoders.base import Encoder
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.text import TextEncoder


@torch.no_grad()
def encoder_attention(encoder: Encoder, inputs: Inputs) -> tuple[Tensor, Tensor] | None:
    """The weights of every layer, and of each token in the pooled vector.

    Args:
        encoder: any, in evaluation mode.
        inputs: of B samples, all of which have the modality.

    Returns:
        (layers, B, heads, L, L), a row sums to 1, what a padded place gives and gets being zero where it is masked; and
        (B, L), a row sums to 1. None of a network without weights, or whose pooled vector is no mean of tokens, and of
        long texts in windows.
    """
    if isinstance(encoder, TextEncoder):
        return text_weights(encoder, inputs)
    return image_weights(encoder, inputs) if isinstance(encoder, ImageEncoder) else None


def text_weights(encoder: TextEncoder, inputs: Inputs) -> tuple[Tensor, Tensor] | None:
    """See ``encoder_attention``."""
    mask = inputs["mask"]
    if encoder.windows is not None and mask.shape[1] > encoder.windows.size:
        return None
    causal = encoder.network.config.model_type == "clip_text_model"
    if encoder.reads_padding or causal and encoder.pooling == "pooler":  # the vector reads another place
        return None
    with eager_attention(encoder.network) as seen:
        encoder.compute_window(inputs)
    if not seen or any(weights is None or weights.ndim != 4 for weights in seen[-1]):
        return None
    layers = torch.stack(list(seen[-1]))  # (layers, B, heads, L, L)
    first = torch.zeros_like(mask)
    first[:, 0] = True
    read = (mask if encoder.pooling == "mean" else first).float()
    return layers * mask[:, None, :, None], read / read.sum(1, keepdim=True)


@contextmanager
def eager_attention(network: Any) -> Iterator[list[Any]]:
    """Inside this context a model of transformers attends without fused kernels; the list gets its weights."""
    before, wanted = network.config._attn_implementation, network.config.output_attentions
    seen: list[Any] = []
    hook = network.register_forward_hook(lambda module, given, made: seen.append(made.attentions or ()))
    try:
        network.set_attn_implementation("eager")
        network.config.output_attentions = True
        yield seen
    finally:
        hook.remove()
        network.config.output_attentions = wanted
        network.set_attn_implementation(before)


def image_weights(encoder: ImageEncoder, inputs: Inputs) -> tuple[Tensor, Tensor] | None:
    """See ``encoder_attention``."""
    network = encoder.network
    layers: list[Any] = [getattr(block, "attn", None) for block in getattr(network, "blocks", ())]
    pooled = getattr(network, "global_pool", None)
    if not layers or not all(hasattr(layer, "attn_drop") and hasattr(layer, "fused_attn") for layer in layers):
        return None
    if pooled not in ("token", "avg") or not encoder._own_pooling and pooled == "token":
        return None
    seen: list[Tensor] = []
    hooks = [layer.attn_drop.register_forward_hook(lambda module, given, made: seen.append(made)) for layer in layers]
    fused = [layer.fused_attn for layer in layers]
    try:
        for layer in layers:
            layer.fused_attn = False
        tokens = encoder.encode(inputs).tokens
    finally:
        for layer, before, hook in zip(layers, fused, hooks, strict=True):
            layer.fused_attn = before
            hook.remove()
    if len(seen) != len(layers) or any(weights.ndim != 4 or weights.shape[-1] != tokens.shape[1] for weights in seen):
        return None  # windows, or tokens that are merged on the way
    read = tokens.new_zeros(tokens.shape[:2])
    prefix = int(getattr(network, "num_prefix_tokens", 0))
    read[:, slice(0, 1) if pooled == "token" else slice(prefix, None)] = 1
    return torch.stack(seen), read / read.sum(1, keepdim=True)
