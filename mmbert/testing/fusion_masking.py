"""Laws of fusions: padding, absent modalities and the other samples of a batch change nothing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.testing.fusion_inputs import describe_sample, fill_padding, leaves, pad, pick, random_inputs
from mmbert.testing.report import ContractViolation
from mmbert.testing.tensors import (
    JUNK,
    TOLERANCE,
    check_finite,
    diagnostic_tensors,
    difference,
    fused_tensors,
    weighted_sum,
)

#: builds the fusion anew, with the random state set from the number given
Maker = Callable[[int], Fusion]


def some_missing(modalities: int) -> Tensor:
    """(B, M) bool: all present; all but one, for each one; and each one alone. B = 2M + 1, or 3 for M = 1."""
    alone = torch.eye(modalities, dtype=torch.bool)
    full = torch.ones(1, modalities, dtype=torch.bool)
    return full.repeat(3, 1) if modalities == 1 else torch.cat([full, ~alone, alone])


def batch_of(fusion: Fusion, seed: int = 0, missing: bool = True) -> dict[str, Encoded]:
    """A batch with padding and, if asked for, with missing modalities."""
    present = some_missing(len(fusion.dims))
    if missing:
        return random_inputs(fusion.dims, len(present), present=present, seed=seed)
    return random_inputs(fusion.dims, 4, seed=seed)


def objective(fused: Fused) -> Tensor:
    """A scalar to which every number of the output contributes differently."""
    return weighted_sum(fused_tensors(fused))


def gradients(fusion: Fusion, inputs: dict[str, Encoded]) -> dict[str, Tensor]:
    """Gradients of the objective by parameter, and of the inputs' real places."""
    fusion.zero_grad()
    fresh, tensors = leaves(inputs)
    torch.manual_seed(0)  # dropout draws the same each time
    objective(fusion(fresh)).backward()
    found = {name: p.grad.clone() for name, p in fusion.named_parameters() if p.grad is not None}
    for name, (tokens, pooled) in tensors.items():
        mask = inputs[name].mask
        if tokens.grad is not None:
            found[f"tokens of {name}"] = tokens.grad
            found[f"padding of {name}"] = tokens.grad[~mask]
        if pooled.grad is not None:
            found[f"pooled of {name}"] = pooled.grad
    return found


def outputs_of(fusion: Fusion, inputs: dict[str, Encoded]) -> dict[str, Tensor]:
    """Every number of the output, and the diagnostics when asked for."""
    torch.manual_seed(0)
    found = fused_tensors(fusion(inputs))
    return found | diagnostic_tensors(fusion(inputs, diagnostics=True))


def check_junk_changes_nothing(make: Maker, clean: dict[str, Encoded], cause: str) -> None:
    """Outputs and gradients are the same to the bit, whatever stands where nothing is real."""
    for training, junks in ((False, JUNK), (True, JUNK[:2])):
        # built anew each time in training, which may move what a fusion remembers
        outputs, slopes = outputs_of(make(0).train(training), clean), gradients(make(0).train(training), clean)
        mode = " in training" if training else ""
        check_finite(outputs, cause)
        check_finite(slopes, "a softmax over no valid key, or 0 · ∞: use mmbert.core.masks")
        for junk in junks:
            dirty = fill_padding(clean, junk)
            seen = difference(outputs, outputs_of(make(0).train(training), dirty))
            if seen:
                where = modality_that_leaks(make, clean, junk, training)
                raise ContractViolation(f"with {junk} where {where} has nothing real{mode}, {seen}", cause)
            seen = difference(slopes, gradients(make(0).train(training), dirty))
            if seen:
                raise ContractViolation(f"with {junk} where nothing is real{mode}, the gradient of {seen}", cause)
        check_no_gradient_in_padding(clean, slopes, cause)


def modality_that_leaks(make: Maker, clean: dict[str, Encoded], junk: float, training: bool) -> str:
    """The modality whose junk alone changes the output."""
    outputs = outputs_of(make(0).train(training), clean)
    for name in clean:
        if difference(outputs, outputs_of(make(0).train(training), fill_padding(clean, junk, only=name))):
            return name
    return "a modality"


def check_no_gradient_in_padding(inputs: dict[str, Encoded], slopes: dict[str, Tensor], cause: str) -> None:
    """No gradient flows into padding or into the vector of an absent modality."""
    for name, x in inputs.items():
        leaked = slopes.get(f"padding of {name}")
        if leaked is not None and bool((leaked != 0).any()):
            raise ContractViolation(f"the padding of {name} has a gradient of {leaked.abs().max().item():.6g}", cause)
        gone = slopes.get(f"pooled of {name}")
        if gone is not None and bool((gone[~x.present] != 0).any()):
            raise ContractViolation(f"the vector of {name} has a gradient in a sample that lacks it", cause)


def padding_changes_nothing(make: Maker) -> None:
    """What stands in padding, and how much of it there is, changes nothing; nor does where it stands."""
    cause = "a mean, maximum or softmax over the whole length: use masked_mean, masked_max, masked_softmax"
    check_junk_changes_nothing(make, batch_of(make(0), missing=False), cause)
    holes = "real tokens may stand anywhere: read them by mask, not as the first mask.sum() places"
    check_junk_changes_nothing(make, random_inputs(make(0).dims, 4, scattered=True), holes)
    fusion = make(0).eval()
    inputs = batch_of(fusion, missing=False)
    before = fused_tensors(fusion(inputs))
    after = fused_tensors(fusion(pad(inputs, 3)))
    cut = {k: v[:, : before[k].shape[1]] if k.startswith("tokens") and k in before else v for k, v in after.items()}
    seen = difference(before, cut, TOLERANCE)
    if seen:
        raise ContractViolation(f"with three more places of padding, {seen}", cause)


def absence_changes_nothing(make: Maker) -> None:
    """What stands where a modality is absent changes nothing, and every non-empty subset works."""
    cause = "an absent modality's vector, bias or token is used without its mask: blank it, or weigh by x.present"
    check_junk_changes_nothing(make, batch_of(make(0)), cause)
    fusion = make(0).eval()
    if len(fusion.dims) == 1:
        return
    inputs = batch_of(fusion)
    before = fused_tensors(fusion(inputs))
    for name, x in inputs.items():  # absent in all samples of these rows: then its length means nothing either
        rows = [i for i, here in enumerate(x.present.tolist()) if not here]
        some = pick(inputs, rows)
        wide = torch.zeros(len(rows), x.tokens.shape[1] + 2, x.tokens.shape[2])
        some[name] = Encoded(wide, torch.zeros(wide.shape[:2], dtype=torch.bool), torch.zeros(len(rows), wide.shape[2]))
        seen = difference({"pooled": before["pooled"][rows]}, {"pooled": fusion(some).pooled}, TOLERANCE)
        if seen:
            raise ContractViolation(f"where all samples lack {name} and its sequence is longer, {seen}", cause)


def samples_are_independent(make: Maker) -> None:
    """In evaluation mode a sample gives the same alone, in any batch and at any place in it."""
    cause = "statistics over the batch (batch norm, a mean over dimension 0), or a sum that mixes samples"
    fusion = make(0).eval()
    inputs = batch_of(fusion)
    together = fused_tensors(fusion(inputs))
    size = len(together["pooled"])
    for rows in ([size - 1, *range(size - 1)], *([i] for i in range(size)), [0, 0, 0]):
        some = fused_tensors(fusion(pick(inputs, rows)))
        for place, row in enumerate(rows):
            kept = {k: v[row] for k, v in together.items() if v.ndim > 1}
            seen = difference(kept, {k: v[place] for k, v in some.items() if v.ndim > 1}, TOLERANCE)
            if seen:
                here = "alone" if len(rows) == 1 else f"in a batch of the samples {rows}"
                raise ContractViolation(f"for {describe_sample(inputs, row)} {here}, {seen}", cause)


def absent_layers_change_nothing(make: Maker) -> None:
    """A layer under a modality's name that is run on the zeros of a sample without it must not change the output.

    The base class blanks what is absent, so no garbage comes through; but W · 0 + b is b, and a mean, a softmax or a
    gate that counts it takes absence for data. Only layers in a ``ModuleDict`` (or below an attribute) with the
    modality's name can be assigned to it; a strategy with ``zeros_mean_absent`` is not checked.
    """
    fusion = make(0).eval()
    if len(fusion.dims) == 1 or fusion.zeros_mean_absent:
        return
    inputs = batch_of(fusion)
    for name, x in inputs.items():
        found = layer_used_on_zeros(fusion, name, ~x.present, inputs)
        if found is not None:
            path, row = found
            raise ContractViolation(
                f"{path} is run on zeros in {describe_sample(inputs, row)}, and its output (its bias) changes pooled",
                f"absent {name} is counted in a mean, softmax, gate or sum: blank(layer(x.pooled), x.present), "
                "masked_mean, masked_softmax; if zeros are how the strategy says 'absent': zeros_mean_absent = True",
            )


def layer_used_on_zeros(
    fusion: nn.Module, name: str, gone: Tensor, inputs: dict[str, Encoded]
) -> tuple[str, int] | None:
    """The first layer of modality ``name`` that changes the output of a sample without it, and that sample; or None.

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
            used = rows & (output.grad != 0).flatten(1).any(1)
            if bool(used.any()):
                return path, int(used.nonzero()[0])
    return None
