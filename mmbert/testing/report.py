"""What a check says: laws kept or broken, with a counter-example and a likely cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmbert.core.types import Fused


class ContractViolation(Exception):
    """Raised inside a law: what was seen.

    Args:
        seen: the counter-example: which sample, which modality, which number.
        cause: what usually makes this happen.
    """

    def __init__(self, seen: str, cause: str) -> None:
        super().__init__(seen)
        self.seen = seen
        self.cause = cause


class ContractError(AssertionError):
    """A fusion breaks at least one law; the message lists which and how."""


@dataclass(frozen=True)
class Verdict:
    """One law's outcome.

    Attributes:
        law: its name.
        kept: whether the fusion keeps it.
        seen: the counter-example, if not.
        cause: what usually makes this happen, if not.
    """

    law: str
    kept: bool
    seen: str = ""
    cause: str = ""


@dataclass
class Report:
    """Every law's outcome for one fusion.

    Attributes:
        name: of the fusion.
        verdicts: in the order of the laws.
    """

    name: str
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every law is kept."""
        return all(verdict.kept for verdict in self.verdicts)

    @property
    def broken(self) -> list[str]:
        """The names of the laws that are broken."""
        return [verdict.law for verdict in self.verdicts if not verdict.kept]

    def __str__(self) -> str:
        lines = [f"{self.name}: {'keeps the contract' if self.passed else 'breaks the contract'}"]
        for verdict in self.verdicts:
            lines.append(f"  {'pass' if verdict.kept else 'FAIL'}  {verdict.law}")
            if not verdict.kept:
                lines += [f"        seen: {verdict.seen}", f"        likely cause: {verdict.cause}"]
        return "\n".join(lines)


def tensors_of(fused: Fused) -> dict[str, Tensor]:
    """Every number a fusion gives, by a name to call it by; diagnostics stand apart (``diagnostics_of``)."""
    named = {"pooled": fused.pooled}
    named |= {f"tokens[{name!r}]": tokens for name, tokens in fused.tokens.items()}
    named |= {f"views[{name!r}]": view for name, view in fused.views.items()}
    named |= {f"auxiliary_losses[{name!r}]": loss for name, loss in fused.auxiliary_losses.items()}
    return named


def diagnostics_of(fused: Fused) -> dict[str, Tensor]:
    """Gates and attention weights, by a name to call them by."""
    return {f"diagnostics[{name!r}]": tensor for name, tensor in fused.diagnostics.items()}


def difference(first: Mapping[str, Tensor], second: Mapping[str, Tensor], tolerance: float = 0.0) -> str:
    """Where two sets of tensors differ: ``pooled[2, 0] is 0.3, was 0.1``; empty if they agree.

    Args:
        first: what was.
        second: what is.
        tolerance: absolute and relative; 0 = every bit counts. NaN agrees with nothing.
    """
    for name, old in first.items():
        new = second.get(name)
        if new is None or new.shape != old.shape:
            return f"{name} has the shape {None if new is None else tuple(new.shape)}, was {tuple(old.shape)}"
        close = old == new if tolerance == 0 else torch.isclose(new.float(), old.float(), tolerance, tolerance)
        if not bool(close.all()):
            place = tuple(int(i) for i in (~close).nonzero()[0])
            return f"{name}{list(place) if place else ''} is {new[place].item():.6g}, was {old[place].item():.6g}"
    return ""
