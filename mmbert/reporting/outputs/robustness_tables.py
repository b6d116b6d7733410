"""Tables of robustness, for the terminal and for report.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmbert.reporting.statistics.robustness import Curve, RobustnessResults, mean_and_interval

TITLES = {
    "noise": "Damaged inputs",
    "missing": "Missing modalities at test",
    "trained": "Missing modalities in training",
}
LEVEL_NAMES = {
    "noise": "level of damage",
    "missing": "share of samples that lack something",
    "trained": "share of training samples that lack something",
}


@dataclass(frozen=True)
class TextTable:
    """A table.

    Attributes:
        title: of it.
        head: of its columns.
        rows: of text.
        note: what must be known beside it.
        long: too long for a terminal.
    """

    title: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""
    long: bool = False


def text_tables(found: RobustnessResults, metric: str) -> list[TextTable]:
    """All there is to show: subsets, areas, rates in training, and the curves themselves."""
    shown = [subset_table(found, metric), area_table(found, metric)]
    shown += [curve_table(found.trained, "trained", metric)]
    shown += [curve_table([c for c in found.curves if c.kind == kind], kind, metric) for kind in ("missing", "noise")]
    return [table for table in shown if table.rows]


def subset_table(found: RobustnessResults, metric: str) -> TextTable:
    """A row a group, a column a subset; where subsets leave different samples, how many is in the head."""
    by_key = {(one.modalities, one.group): one for one in found.subsets}
    samples: dict[str, int] = {}
    for one in found.subsets:
        samples[one.modalities] = max(one.samples, samples.get(one.modalities, 0))
    counted = len(set(samples.values())) > 1
    rows = []
    for group in dict.fromkeys(one.group for one in found.subsets):
        known = [by_key.get((label, group)) for label in samples]
        rows.append(
            [group, *("–" if one is None else mean_and_interval(list(one.values.values()))[0] for one in known)]
        )
    return TextTable(
        f"Subsets of the modalities at test, {metric}",
        ["group", *(f"{label} ({count:,})" if counted else label for label, count in samples.items())],
        rows,
        "The other modalities are taken away from every sample of the split"
        + (" (those that have anything left, so many)" if counted else "")
        + "; mean ± std over seeds.",
    )


def area_table(found: RobustnessResults, metric: str) -> TextTable:
    """A row a curve and group."""
    rows = []
    for one in found.areas:
        relative, interval = mean_and_interval(list(one.relative.values()))
        if one.curve.group == found.baseline:
            effective, apart = "baseline", "–"
        else:
            effective, apart = mean_and_interval(list(one.effective.values()), signed=True)
        what = f"{one.curve.what} {'damaged' if one.curve.kind == 'noise' else 'missing'}"
        rows.append([what, one.curve.group, str(len(one.relative)), relative, interval, effective, apart])
    against = f"against {found.baseline}" if found.baseline else "no baseline"
    return TextTable(
        f"Robustness: areas under the curves of {metric}",
        ["", "group", "seeds", "relative", "95 % interval", f"effective, {against}", "95 % interval"],
        rows,
        area_note(),
    )


def area_note() -> str:
    """What the columns are."""
    return (
        "Relative robustness is the mean height of the curve over levels; effective robustness how much higher it lies "
        "than the baseline's once both begin alike (Liang et al. 2021), its sign such that more is more robust. Mean ± "
        "std over seeds, paired by seed; the intervals are Student's t."
    )


def curve_table(curves: Sequence[Curve], kind: str, metric: str) -> TextTable:
    """A row a curve and group, a column a level."""
    levels = sorted({level for curve in curves for level in curve.levels()})
    rows = [[curve.what, curve.group, *(mean_and_interval(curve.at(level))[0] for level in levels)] for curve in curves]
    first = "modalities" if kind == "noise" else "mechanism"
    head = [first, "group", *(f"{level:g}" for level in levels)]
    return TextTable(f"{TITLES[kind]}, {metric} by {LEVEL_NAMES[kind]}", head, rows, long=kind != "trained")
