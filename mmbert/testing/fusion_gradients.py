"""Laws of fusions: gradients reach every present modality and every learnable tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from mmbert.core.types import Encoded, Fused
from mmbert.testing.fusion_inputs import describe_sample, leaves, random_inputs
from mmbert.testing.fusion_masking import Maker, batch_of, objective
from mmbert.testing.hidden import hidden_tensors
from mmbert.testing.report import ContractViolation


def present_modalities_are_used(make: Maker) -> None:
    """In every subset of modalities, each present one has a gradient and can change the output of its sample."""
    fusion = make(0).eval()
    present = {name: x.present for name, x in batch_of(fusion).items()}
    reached = {name: torch.zeros_like(here) for name, here in present.items()}
    changed = {name: torch.zeros_like(here) for name, here in present.items()}
    for seed in range(3):  # ReLU or a hard choice may block a modality once
        inputs = batch_of(fusion, seed=seed)
        fresh, tensors = leaves(inputs)
        pooled = fusion(fresh).pooled
        objective(Fused(pooled)).backward()
        other = random_inputs(fusion.dims, len(pooled), present=torch.stack(list(present.values()), 1), seed=100 + seed)
        for name, x in inputs.items():
            for tensor in tensors[name]:
                if tensor.grad is not None:
                    reached[name] |= (tensor.grad.flatten(1) != 0).any(1)
            swapped = {**inputs, name: Encoded(other[name].tokens, x.mask, other[name].pooled)}
            changed[name] |= (fusion(swapped).pooled != pooled).any(1)
    for name, here in present.items():
        refuse_unused(name, here & ~reached[name], inputs, f"no gradient reaches {name}", "detached on the way")
        refuse_unused(name, here & ~changed[name], inputs, f"another {name} leaves pooled as it was", "overruled")


def refuse_unused(name: str, unused: Tensor, inputs: dict[str, Encoded], seen: str, cause: str) -> None:
    """unused (B,) bool: the samples in which a present modality has no effect."""
    if bool(unused.any()):
        row = int(unused.nonzero()[0])
        raise ContractViolation(
            f"{seen} in {describe_sample(inputs, row)}", f"{name} is ignored, or {cause} (detach, no_grad)"
        )


def everything_learns(make: Maker) -> None:
    """Every learnable tensor is registered and receives a gradient; no tensor hides in a list or an attribute."""
    fusion = make(0).train()
    for path, tensor in hidden_tensors(fusion):
        kind = "is never trained" if tensor.requires_grad else "is neither moved to a GPU with the module nor saved"
        raise ContractViolation(
            f"{path}, a tensor of shape {tuple(tensor.shape)}, {kind}",
            "a tensor in a plain list, dictionary or attribute: use nn.ParameterList, nn.Parameter or register_buffer",
        )
    fusion.zero_grad()
    for seed in range(3):  # dropout and ReLU may block a parameter once
        objective(fusion(batch_of(fusion, seed=seed, missing=False))).backward()
    refuse_unreached(fusion)
    for seed in range(3):  # what stands in for an absent modality learns only where one is absent
        objective(fusion(batch_of(fusion, seed=seed))).backward()
    for path, tensor in hidden_tensors(fusion):
        if tensor.grad_fn is not None:
            raise ContractViolation(
                f"{path}, a tensor of shape {tuple(tensor.shape)}, is kept with its graph after a pass",
                "it holds the batch's memory and the module can no longer be copied: give it back as a diagnostic",
            )
    refuse_unlearned(fusion)


def refuse_unreached(fusion: torch.nn.Module) -> None:
    """Every parameter that wants a gradient has one, be it zeros: several processes wait for it."""
    for name, parameter in fusion.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            raise ContractViolation(
                f"the parameter {name} receives no gradient when every modality is present", unlearned_cause(name)
            )


def refuse_unlearned(fusion: torch.nn.Module) -> None:
    """Every parameter that wants a gradient has one that is not all zeros."""
    for name, parameter in fusion.named_parameters():
        if parameter.requires_grad and (parameter.grad is None or not bool((parameter.grad != 0).any())):
            raise ContractViolation(f"the parameter {name} never receives a gradient", unlearned_cause(name))


def unlearned_cause(name: str) -> str:
    """Why a parameter may be left out."""
    if name.startswith("token_projection."):
        return "fuse gives tokens of its own: set self.token_projection = nn.ModuleDict() in __init__"
    return "it is not used, or the result is detached from it"
