"""The laws of a fusion as functions that raise ``Broken`` at the first counter-example."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.testing.inputs import leaves, pad, pick, random_inputs, soil
from mmbert.testing.outcome import Broken, difference, tensors_of

#: builds the fusion anew, with the random state set from the number given
Maker = Callable[[int], Fusion]
JUNK = (1e6, math.nan, math.inf)
TOLERANCE = 1e-5


def some_missing(modalities: int) -> Tensor:
    """(B, M) bool: all present; all but one, for each one; and each one alone. B = 2M + 1, or 1 for M = 1."""
    alone = torch.eye(modalities, dtype=torch.bool)
    full = torch.ones(1, modalities, dtype=torch.bool)
    return full if modalities == 1 else torch.cat([full, ~alone, alone])


def batch_of(fusion: Fusion, seed: int = 0, missing: bool = True) -> dict[str, Encoded]:
    """A batch with padding and, if asked for, with missing modalities."""
    present = some_missing(len(fusion.dims))
    if missing:
        return random_inputs(fusion.dims, len(present), present=present, seed=seed)
    return random_inputs(fusion.dims, 4, seed=seed)


def objective(fused: Fused) -> Tensor:
    """A scalar to which every number of the output contributes differently."""
    total = torch.zeros(())
    for tensor in tensors_of(fused).values():
        weights = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(7))
        total = total + (tensor.float() * weights).sum()
    return total


def gradients(fusion: Fusion, inputs: dict[str, Encoded]) -> dict[str, Tensor]:
    """Gradients of the objective by parameter, and of the inputs' real places."""
    fusion.zero_grad()
    fresh, tensors = leaves(inputs)
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


def unmoved_by_junk(make: Maker, missing: bool, cause: str) -> None:
    """Outputs and gradients are the same to the bit, whatever stands where nothing is real."""
    fusion = make(0).eval()
    clean = batch_of(fusion, missing=missing)
    outputs, slopes = tensors_of(fusion(clean)), gradients(fusion, clean)
    check_finite(outputs, cause)
    check_finite(slopes, "a softmax over no valid key, or 0 · ∞: use mmbert.core.masks")
    for junk in JUNK:
        dirty = soil(clean, junk)
        seen = difference(outputs, tensors_of(fusion(dirty)))
        if seen:
            raise Broken(f"with {junk} where nothing is real, {seen}", cause)
        seen = difference(slopes, gradients(fusion, dirty))
        if seen:
            raise Broken(f"with {junk} where nothing is real, the gradient of {seen}", cause)
    for name, x in clean.items():
        leaked = slopes.get(f"padding of {name}")
        if leaked is not None and bool((leaked != 0).any()):
            raise Broken(f"the padding of {name} has a gradient of {leaked.abs().max().item():.6g}", cause)
        gone = slopes.get(f"pooled of {name}")
        if gone is not None and bool((gone[~x.present] != 0).any()):
            raise Broken(f"the vector of {name} has a gradient in a sample that lacks it", cause)


def check_finite(named: dict[str, Tensor], cause: str) -> None:
    """Refuses NaN and infinity."""
    for name, tensor in named.items():
        if not bool(torch.isfinite(tensor).all()):
            raise Broken(f"{name} is not finite: {tensor[~torch.isfinite(tensor)][0].item()}", cause)


def padding_does_not_speak(make: Maker) -> None:
    """What stands in padding, and how much of it there is, changes nothing."""
    cause = "a mean, maximum or softmax over the whole length: use masked_mean, masked_max, masked_softmax"
    unmoved_by_junk(make, missing=False, cause=cause)
    fusion = make(0).eval()
    inputs = batch_of(fusion, missing=False)
    before = tensors_of(fusion(inputs))
    after = tensors_of(fusion(pad(inputs, 3)))
    cut = {k: v[:, : before[k].shape[1]] if k.startswith("tokens") and k in before else v for k, v in after.items()}
    seen = difference(before, cut, TOLERANCE)
    if seen:
        raise Broken(f"with three more places of padding, {seen}", cause)


def absence_does_not_speak(make: Maker) -> None:
    """What stands where a modality is absent changes nothing, and every non-empty subset works."""
    cause = "an absent modality's vector, bias or token is used without its mask: blank it, or weigh by x.present"
    unmoved_by_junk(make, missing=True, cause=cause)
    fusion = make(0).eval()
    if len(fusion.dims) == 1:
        return
    inputs = batch_of(fusion)
    before = tensors_of(fusion(inputs))
    for name, x in inputs.items():  # absent in all samples of these rows: then its length means nothing either
        rows = [i for i, here in enumerate(x.present.tolist()) if not here]
        some = pick(inputs, rows)
        wide = torch.zeros(len(rows), x.tokens.shape[1] + 2, x.tokens.shape[2])
        some[name] = Encoded(wide, torch.zeros(wide.shape[:2], dtype=torch.bool), torch.zeros(len(rows), wide.shape[2]))
        seen = difference({"pooled": before["pooled"][rows]}, {"pooled": fusion(some).pooled}, TOLERANCE)
        if seen:
            raise Broken(f"where all samples lack {name} and its sequence is longer, {seen}", cause)


def samples_do_not_speak(make: Maker) -> None:
    """In evaluation mode a sample gives the same alone, in any batch and at any place in it."""
    cause = "statistics over the batch (batch norm, a mean over dimension 0), or a sum that mixes samples"
    fusion = make(0).eval()
    inputs = batch_of(fusion)
    together = tensors_of(fusion(inputs))
    size = len(together["pooled"])
    for rows in ([size - 1, *range(size - 1)], *([i] for i in range(size)), [0, 0, 0]):
        some = tensors_of(fusion(pick(inputs, rows)))
        kept = {k: v[rows] for k, v in together.items() if v.ndim > 1}
        seen = difference(kept, some, TOLERANCE)
        if seen:
            raise Broken(f"for the samples {rows} of a batch of {size}, {seen}", cause)


def presence_speaks(make: Maker) -> None:
    """Each present modality has a gradient and can change the output."""
    fusion = make(0).eval()
    inputs = batch_of(fusion, missing=False)
    fresh, tensors = leaves(inputs)
    fusion(fresh).pooled.square().sum().backward()
    before = fusion(inputs).pooled
    other = random_inputs(fusion.dims, 4, seed=1)
    for name in fusion.dims:
        grads = [t.grad for t in tensors[name] if t.grad is not None]
        if not any(bool((g != 0).any()) for g in grads):
            raise Broken(f"no gradient reaches {name}", f"{name} is ignored, or detached on the way (detach, no_grad)")
        swapped = {**inputs, name: Encoded(other[name].tokens, inputs[name].mask, other[name].pooled)}
        if torch.equal(fusion(swapped).pooled, before):
            raise Broken(f"another {name} leaves pooled as it was", f"{name} is ignored")


def everything_learns(make: Maker) -> None:
    """Every learnable tensor is registered and receives a gradient; no tensor hides in a list or an attribute."""
    fusion = make(0).train()
    for path, tensor in hidden_tensors(fusion):
        kind = "is never trained" if tensor.requires_grad else "stays behind when the module moves to a GPU or is saved"
        raise Broken(
            f"{path}, a tensor of shape {tuple(tensor.shape)}, {kind}",
            "a tensor in a plain list, dictionary or attribute: use nn.ParameterList, nn.Parameter or register_buffer",
        )
    fusion.zero_grad()
    for seed in range(3):  # dropout and ReLU may silence a parameter once
        objective(fusion(batch_of(fusion, seed=seed, missing=False))).backward()
    for name, parameter in fusion.named_parameters():
        if parameter.requires_grad and (parameter.grad is None or not bool((parameter.grad != 0).any())):
            raise Broken(
                f"the parameter {name} receives no gradient when every modality is present",
                "it is not used, or the result is detached from it",
            )


def hidden_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Tensors and modules that PyTorch does not know of, and where they are."""
    for prefix, part in module.named_modules():
        for name, value in vars(part).items():
            if name in ("_parameters", "_buffers", "_modules") or name.startswith("_forward") or name == "init_args":
                continue
            yield from tensors_in(f"{prefix}.{name}".lstrip("."), value)


def tensors_in(path: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    """Tensors in nested lists, tuples, dictionaries and unregistered modules."""
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, nn.Module):
        for name, parameter in value.named_parameters():
            yield f"{path}.{name}", parameter
    elif isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            yield from tensors_in(f"{path}[{i}]", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from tensors_in(f"{path}[{key!r}]", part)
