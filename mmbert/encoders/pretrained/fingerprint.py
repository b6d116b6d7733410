"""A short name of a network's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import xxhash
from torch import Tensor, nn


def weights_fingerprint(module: nn.Module) -> str:
    """Changes with any number, name, shape or type in a module's state."""
    return tensors_fingerprint(module.state_dict())


def tensors_fingerprint(state: Mapping[str, Tensor]) -> str:
    """The same of a state dict."""
    digest = xxhash.xxh3_128()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype};".encode())
        digest.update(raw_bytes(tensor))
    return digest.hexdigest()


def raw_bytes(tensor: Tensor) -> Any:
    """A tensor's bytes, whatever its type."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else b""
