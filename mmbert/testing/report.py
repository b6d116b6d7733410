"""The result of a check: laws kept or broken, with a counter-example and a likely cause."""

from __future__ import annotations

from dataclasses import dataclass, field


class ContractViolation(Exception):
    """Raised inside a law that is broken.

    Args:
        seen: the counter-example: which sample, which modality, which number.
        cause: what usually makes this happen.
    """

    def __init__(self, seen: str, cause: str) -> None:
        super().__init__(seen)
        self.seen = seen
        self.cause = cause


class ContractError(AssertionError):
    """A module breaks at least one law; the message lists which and how."""


@dataclass(frozen=True)
class Verdict:
    """The result of one law.

    Attributes:
        law: its name.
        kept: whether the module keeps it.
        seen: the counter-example, if not.
        cause: what usually makes this happen, if not.
    """

    law: str
    kept: bool
    seen: str = ""
    cause: str = ""


@dataclass
class Report:
    """The results of all laws for one module.

    Attributes:
        name: of the module.
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
