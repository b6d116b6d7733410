"""The layers of an absent modality stay silent: what they make of its zeros reaches no output."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from mmbert.core.types import Encoded, Fused
from mmbert.testing.inputs import sample_words
from mmbert.testing.laws import Maker, batch_of, objective
from mmbert.testing.outcome import Broken


def absent_layers_are_silent(make: Maker) -> None:
    """A layer under a modality's name that is run on the zeros of a sample without it must not be heard there.

    The base class blanks what is absent, so no garbage comes through; but W · 0 + b is b, and a mean, a softmax or a
    gate that counts it takes absence for data. Only layers in a ``ModuleDict`` (or below an attribute) with the
    modality's name can be told apart; a strategy that says ``reads_blanks`` is not asked.
    """
    fusion = make(0).eval()
    if len(fusion.dims) == 1 or fusion.reads_blanks:
        return
    inputs = batch_of(fusion)
    for name, x in inputs.items():
        heard = heard_on_zeros(fusion, name, ~x.present, inputs)
        if heard is not None:
            path, row = heard
            raise Broken(
                f"{path} is run on zeros in {sample_words(inputs, row)}, and what it gives (its bias) changes pooled",
                f"absent {name} is counted in a mean, softmax, gate or sum: blank(layer(x.pooled), x.present), "
                "masked_mean, masked_softmax; if zeros are how the strategy says 'absent': reads_blanks = True",
            )


def heard_on_zeros(fusion: nn.Module, name: str, gone: Tensor, inputs: dict[str, Encoded]) -> tuple[str, int] | None:
    """The first layer of modality ``name`` that speaks in a sample without it, and that sample; None if none does.

    Args:
        fusion: in evaluation mode.
        name: of the modality.
        gone: (B,) bool, the samples that lack it.
        inputs: for the fusion.
    """
    ran: list[tuple[str, Tensor, Tensor]] = []

    def watch(path: str) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def hook(module: nn.Module, given: tuple[object, ...], output: object) -> None:
            first = given[0] if given else None
            if not isinstance(first, Tensor) or not isinstance(output, Tensor) or not output.requires_grad:
                return
            if first.shape[:1] == output.shape[:1] == gone.shape:
                output.retain_grad()
                ran.append((path, output, gone & (first == 0).flatten(1).all(1)))

        return hook

    layers = {
        path: part
        for path, part in fusion.named_modules()
        if name in path.split(".") and next(part.parameters(recurse=False), None) is not None
    }
    hooks = [part.register_forward_hook(watch(path)) for path, part in layers.items()]
    try:
        objective(Fused(fusion(inputs).pooled)).backward()
    finally:
        for hook in hooks:
            hook.remove()
    for path, output, rows in ran:
        if output.grad is not None:
            speaking = rows & (output.grad != 0).flatten(1).any(1)
            if bool(speaking.any()):
                return path, int(speaking.nonzero()[0])
    return None
