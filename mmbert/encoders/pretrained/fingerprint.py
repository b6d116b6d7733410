"""A hash of a network's weights, which changes with any number in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import xxhash
from torch import Tensor, nn


def weights_fingerprint(module: nn.Module) -> str:
    """A hash of a module's state: of each tensor's name, shape, type and numbers."""
    return tensors_fingerprint(module.state_dict())


def tensors_fingerprint(state: Mapping[str, Tensor]) -> str:
    """As ``weights_fingerprint``, of a state dict."""
    digest = xxhash.xxh3_128()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype};".encode())
        digest.update(raw_bytes(tensor))
    return digest.hexdigest()


def raw_bytes(tensor: Tensor) -> Any:
    """A tensor's bytes, of any type."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else b""
