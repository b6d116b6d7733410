"""torch.compile and torch.export give the same numbers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.export import Dim

from mmbert.core.types import Encoded
from mmbert.fusion.base import Fusion
from mmbert.testing.fusion_inputs import pad, random_inputs
from mmbert.testing.fusion_masking import Maker, batch_of
from mmbert.testing.report import ContractViolation
from mmbert.testing.tensors import TOLERANCE, difference

UNTRACEABLE = "Python control flow that depends on a tensor's values: if x.any(), int(x), a loop over samples"

#: tokens, masks and pooled, each by modality
TracedInputs = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]


class Plain(torch.nn.Module):
    """The fusion as a module of plain tensors, as compilers and exporters want it.

    Args:
        fusion: what is wrapped.
    """

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        self.fusion = fusion

    def forward(
        self, tokens: dict[str, Tensor], masks: dict[str, Tensor], pooled: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Tensors by modality -> ``pooled`` (B, H) and ``tokens of MODALITY`` (B, L_m, H)."""
        fused = self.fusion({n: Encoded(tokens[n], masks[n], pooled[n]) for n in tokens})
        return {"pooled": fused.pooled} | {f"tokens of {name}": x for name, x in fused.tokens.items()}


def compiles(make: Maker, backend: str = "aot_eager") -> None:
    """torch.compile gives the same numbers, in one graph; with ``aot_eager`` in a second or two."""
    wrapped = Plain(make(0).eval())
    arguments = as_tensors(batch_of(wrapped.fusion))
    torch._dynamo.reset()  # what was compiled before counts towards a limit
    try:
        with torch.no_grad():
            out = torch.compile(wrapped, backend=backend, fullgraph=True)(*arguments)
    except Exception as error:
        raise ContractViolation(
            f"torch.compile raises {type(error).__name__}: {str(error)[:300]}", UNTRACEABLE
        ) from error
    seen = difference(wrapped(*arguments), out, TOLERANCE)
    if seen:
        raise ContractViolation(f"compiled, {seen}", "a value that depends on Python state")


def exports(make: Maker) -> None:
    """torch.export gives the same numbers, for batches of other sizes and lengths than it was traced with too."""
    wrapped = Plain(make(0).eval())
    arguments = as_tensors(batch_of(wrapped.fusion))
    sizes = tuple({n: dict.fromkeys(range(min(t.ndim, 2)), Dim.AUTO) for n, t in part.items()} for part in arguments)
    for part in sizes[2].values():
        part.pop(1)  # the width of pooled is fixed
    try:
        exported = torch.export.export(wrapped, arguments, dynamic_shapes=sizes).module()
    except Exception as error:
        raise ContractViolation(
            f"torch.export raises {type(error).__name__}: {str(error)[:300]}", UNTRACEABLE
        ) from error
    other = pad(random_inputs(wrapped.fusion.dims, len(next(iter(arguments[1].values()))) + 2, seed=5), 1)
    for name, some in (("", arguments), ("another batch size: ", as_tensors(other))):
        try:
            out = exported(*some)
        except Exception as error:
            cause = "len(x) or int(x.shape[0]) ties it to the size it was traced with: use x.shape[0] as it is"
            raise ContractViolation(f"exported, {name}{type(error).__name__}: {str(error)[:300]}", cause) from error
        seen = difference(wrapped(*some), out, TOLERANCE)
        if seen:
            raise ContractViolation(
                f"exported, {name}{seen}", "a value that depends on Python state or on the size traced with"
            )


def as_tensors(inputs: dict[str, Encoded]) -> TracedInputs:
    """Inputs as ``Plain`` takes them."""
    return (
        {n: x.tokens for n, x in inputs.items()},
        {n: x.mask for n, x in inputs.items()},
        {n: x.pooled for n, x in inputs.items()},
    )
