"""``DataReport``: the result of a check of the data, facts by split and findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from mmbert.core.privacy import WITHHELD, Privacy

#: Rows that a finding names; it counts all.
NAMED = 20

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Spread:
    """A quantity over the samples of a split.

    Attributes:
        least, median, most: of it.
        values: all of them, for histograms.
    """

    least: float
    median: float
    most: float
    values: np.ndarray = field(repr=False, compare=False)

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None where there are no values."""
        if not len(values):
            return None
        array = np.asarray(values, np.float64)
        return cls(float(array.min()), float(np.median(array)), float(array.max()), array)


@dataclass
class SplitFacts:
    """One split.

    Attributes:
        rows: how many.
        missing: by encoder, how many rows lack the modality.
        spreads: by encoder, then by quantity: characters, words, seconds, hertz, width, height.
        labels: by task, then by class: how many; for numbers, ``spreads`` has the column under the task's name.
        unlabelled: by task, how many rows.
    """

    rows: int
    missing: dict[str, int] = field(default_factory=dict)
    spreads: dict[str, dict[str, Spread]] = field(default_factory=dict)
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    unlabelled: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """A problem in the data, or something that may mislead.

    Attributes:
        severity: ``error``: training would stop at it; ``warning``: numbers may mislead.
        what: one sentence.
        rows: how messages name the rows; the first ``NAMED``.
        count: of all rows.
        subject: of a finding that may quote a cell the part of ``what`` that does not.
        places: ``rows`` without the cells that stand in them, where some do.
    """

    severity: Severity
    what: str
    rows: list[str] = field(default_factory=list)
    count: int = 0
    subject: str = ""
    places: list[str] = field(default_factory=list)

    def private(self, privacy: Privacy) -> Finding:
        """As it may be written: masked, or without whatever quotes a cell."""
        if privacy.samples:
            masked = list(map(privacy.masked, self.rows))
            return replace(self, what=privacy.masked(self.what), rows=masked)
        what = f"{self.subject}: {WITHHELD}" if self.subject else self.what
        return replace(self, what=what, rows=self.places or self.rows)


@dataclass
class DataReport:
    """The whole.

    Attributes:
        splits: facts by split.
        findings: errors first.
    """

    splits: dict[str, SplitFacts]
    findings: list[Finding]

    @property
    def errors(self) -> list[Finding]:
        """What training would stop at."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def private(self, privacy: Privacy) -> DataReport:
        """The report as it may be written into files."""
        return DataReport(self.splits, [finding.private(privacy) for finding in self.findings])

    def as_json(self) -> dict[str, Any]:
        """Everything but the single values, as plain dictionaries and lists."""
        plain = asdict(self)
        for finding in plain["findings"]:
            del finding["subject"], finding["places"]
        for split in plain["splits"].values():
            for quantities in split["spreads"].values():
                for spread in quantities.values():
                    del spread["values"]
        return plain
