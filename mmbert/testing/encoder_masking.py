"""Laws of encoders: absent samples, padding and the other samples of a batch change nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmbert.core.types import Inputs
from mmbert.encoders.base import Encoder
from mmbert.testing.encoder_samples import (
    EncoderCase,
    collated,
    encoded_tensors,
    sample_tensors,
    with_garbage,
    with_padding,
)
from mmbert.testing.report import ContractViolation
from mmbert.testing.tensors import JUNK, TOLERANCE, check_finite, difference, weighted_sum


def absence_changes_nothing(case: EncoderCase) -> None:
    """A sample without the modality is zeros, and neither its row nor what it holds changes the others' numbers."""
    encoder = case.make().eval()
    first, second, *_ = case.values(encoder)
    full, holes = collated(encoder, [first, second]), collated(encoder, [first, None, second])
    encoded = encoder(holes)
    for name, tensor in (("tokens", encoded.tokens[1]), ("pooled", encoded.pooled[1])):
        if bool((tensor != 0).any()):
            raise ContractViolation(
                f"{name} of a sample that lacks the modality are {tensor.abs().max().item():.6g}, not 0",
                "forward is overridden: implement encode, and let the base class blank what is absent",
            )
    together = encoder(full)
    for place, row in ((0, 0), (1, 2)):
        seen = difference(sample_tensors(together, place), sample_tensors(encoded, row), TOLERANCE)
        if seen:
            raise ContractViolation(
                f"with a sample beside it that lacks the modality, {seen}", "a mean or norm over the batch"
            )
    seen = difference(slopes(encoder, full), slopes(encoder, holes), 10 * TOLERANCE)
    if seen:
        raise ContractViolation(
            f"with a sample that lacks the modality, the gradient of {seen}",
            "an absent sample runs through the network: forward is overridden, or encode adds rows of its own",
        )


def padding_changes_nothing(case: EncoderCase) -> None:
    """Outputs and gradients are the same whatever stands where the mask is False, and however much of it there is."""
    encoder = case.make().eval()
    clean = collated(encoder, [*case.values(encoder), None])
    outputs, gradients = encoded_tensors(encoder(clean)), slopes(encoder, clean)
    check_finite(outputs, "a softmax over no key, or a division by a length of 0")
    check_finite(gradients, "a softmax over no key, or 0 · ∞: use mmbert.core.masks")
    cause = "padding is read: blank(x, mask) before convolutions and means, masked_mean, an attention mask"
    for junk in JUNK:
        dirty = with_garbage(clean, junk)
        try:
            seen = difference(outputs, encoded_tensors(encoder(dirty)))
            seen = seen or difference(gradients, slopes(encoder, dirty), TOLERANCE)
        except (IndexError, RuntimeError) as error:
            seen = f"it raises {type(error).__name__}: {error}"
        if seen:
            raise ContractViolation(f"with {junk} where the mask is False, {seen}", cause)
    before, after = encoder(clean), encoder(with_padding(clean, 5))
    for row in range(len(before.mask)):
        seen = difference(sample_tensors(before, row), sample_tensors(after, row), TOLERANCE)
        if seen:
            raise ContractViolation(f"with five more places of padding, in sample {row} {seen}", cause)


def samples_are_independent(case: EncoderCase) -> None:
    """In evaluation mode a sample has the same tokens alone, among longer ones, and at any place of a batch."""
    cause = "padding to the longest is read, batch statistics, or a sample cut to the batch's shortest"
    encoder = case.make().eval()
    values = case.values(encoder)
    encoded = encoder(collated(encoder, values))
    size = len(values)
    for rows in (*([row] for row in range(size)), list(reversed(range(size))), [0, 0]):
        some = encoder(collated(encoder, [values[row] for row in rows]))
        for place, row in enumerate(rows):
            seen = difference(sample_tensors(encoded, row), sample_tensors(some, place), scaled(encoded.tokens))
            if seen:
                here = "alone" if len(rows) == 1 else f"in a batch of the samples {rows}"
                raise ContractViolation(f"for sample {row} {here}, {seen}", cause)


def scaled(tokens: Tensor) -> float:
    """The tolerance for numbers as large as these: single entries of a large vector carry its rounding."""
    return TOLERANCE * max(1.0, float(tokens.detach().abs().max()))


def slopes(encoder: Encoder, inputs: Inputs) -> dict[str, Tensor]:
    """Gradients by parameter of a sum to which every output contributes differently, whatever its place in a batch."""
    encoder.zero_grad()
    encoded = encoder(inputs)
    rows = [sample_tensors(encoded, row) for row in range(len(encoded.mask)) if bool(encoded.mask[row].any())]
    total = torch.stack([weighted_sum(row) for row in rows]).sum()
    if total.requires_grad:
        total.backward()
    return {name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None}


def descend(module: nn.Module) -> None:
    """A step down the gradients that are there."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=1e-3)
