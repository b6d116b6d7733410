"""Which layers of a network have weights that are read past the layer, so that a wrapper around it has no effect.

Adapters (peft), hooks and quantised layers stand around a layer or in its place. ``torch.nn.MultiheadAttention`` reads
the weights of its ``out_proj`` without calling it, ``torch.nn.TransformerEncoderLayer`` in evaluation mode those of all
its layers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)


class Wrapper(nn.Module):
    """Stands in a layer's place as peft's do: it has the layer's attributes, and counts how often it is called."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.calls = layer, 0

    def __getattr__(self, name: str) -> object:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)

    def forward(self, *args: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(*args)


def passed_by(network: nn.Module, run: Callable[[], Tensor]) -> list[str]:
    """The layers, by name, whose weights change what ``run`` gives though they are never called in it.

    Args:
        network: in the mode that is looked at; it is left with wrappers in it.
        run: calls it.
    """
    wrappers = {}
    for name, layer in list(network.named_modules()):
        if isinstance(layer, LAYERS):
            parent, _, last = name.rpartition(".")
            wrappers[name] = Wrapper(layer)
            setattr(network.get_submodule(parent), last, wrappers[name])
    with torch.no_grad():
        before = run()
        silent = {name: wrapper for name, wrapper in wrappers.items() if not wrapper.calls}
        found = []
        for name, wrapper in silent.items():
            kept = wrapper.layer.weight.detach().clone()
            wrapper.layer.weight.add_(torch.randn_like(kept))
            if not torch.equal(run(), before):
                found.append(name)
            wrapper.layer.weight.copy_(kept)
    return found
