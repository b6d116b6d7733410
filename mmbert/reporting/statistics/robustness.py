"""How runs stand missing and damaged modalities: what their ``robustness.json`` say, by group, with areas under curves.

Areas are those of MultiBench (Liang et al. 2021, "MultiBench: Multiscale Benchmarks for Multimodal Representation
Learning", arXiv:2107.07502; effective robustness goes back to Taori et al. 2020, arXiv:2007.00644). f(x) is the metric
at level x, b the baseline's curve, late fusion there:

    relative robustness    ∫ f(x) dx
    effective robustness   ∫ f(x) - (b(x) + f(0) - b(0)) dx: what is kept beyond the baseline

Integrals are trapezoids divided by the range of x, so that they are mean heights whatever the last level is. MultiBench
adds up the differences of the second without a step, and scales both to 0 … 1 over the methods it knows: not done
here, for then a number would change with the company it is in. Of errors, where less is better, the second has its
sign changed, so that more is always more robust. The baseline's run of the same seed is what a run is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbert.reporting.statistics.summary import is_error, statistics
from mmbert.runs.folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

RATE, MECHANISM = "data.missing.rate", "data.missing.mechanism"
#: A metric by level.
Points = dict[float, float]


@dataclass(frozen=True)
class Curve:
    """A metric over levels, of the runs of a group.

    Attributes:
        kind: ``noise``, ``missing`` (rates at test) or ``trained`` (rates in training, a run a level).
        what: the modalities that are damaged, or the mechanism by which they are lost.
        group: of runs.
        runs: the points by seed.
    """

    kind: str
    what: str
    group: str
    runs: dict[int, Points]

    def levels(self) -> list[float]:
        """All levels, ascending."""
        return sorted({level for points in self.runs.values() for level in points})

    def at(self, level: float) -> list[float]:
        """The seeds' values at a level."""
        return [points[level] for points in self.runs.values() if level in points]


@dataclass(frozen=True)
class Area:
    """The areas under a curve.

    Attributes:
        curve: which.
        relative: by seed.
        effective: by seed, where the baseline has a run of the same seed and levels; of the baseline itself nothing.
    """

    curve: Curve
    relative: dict[int, float]
    effective: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Subset:
    """A metric under one subset of the modalities, of the runs of a group.

    Attributes:
        modalities: ``text+audio``.
        group: of runs.
        values: by seed.
        samples: that the subset leaves something of.
    """

    modalities: str
    group: str
    values: dict[int, float]
    samples: int


@dataclass(frozen=True)
class RobustnessResults:
    """Everything that is known.

    Attributes:
        subsets: in the order of the runs' own file, groups within.
        curves: of damage and of loss at test.
        areas: under these.
        trained: curves over rates in training.
        baseline: the group that effective robustness is against.
    """

    subsets: list[Subset] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    areas: list[Area] = field(default_factory=list)
    trained: list[Curve] = field(default_factory=list)
    baseline: str | None = None

    def __bool__(self) -> bool:
        return bool(self.subsets or self.curves or self.trained)


def robustness_results(
    members: Mapping[str, pd.DataFrame], metric: str, baseline: str | None = None, by: Sequence[str] = ()
) -> RobustnessResults:
    """What the groups' runs have left.

    Args:
        members: finished runs by group.
        metric: ``test/answer/accuracy``: the split and the metric that curves are drawn of.
        baseline: a group, or None.
        by: columns by which runs are grouped.

    Raises:
        DataError: a file cannot be read.
    """
    split, _, name = metric.partition("/")
    subsets: dict[tuple[str, str], Subset] = {}
    curves: dict[tuple[str, str, str], Curve] = {}
    for group, runs in members.items():
        for seed, run in seeds_of(runs):
            measured = (RunFolder(run).read_robustness().get("splits") or {}).get(split) or {}
            for one in measured.get("subsets") or ():
                if one["metrics"].get(name) is not None:
                    label = "+".join(one["modalities"])
                    subset = subsets.setdefault((label, group), Subset(label, group, {}, one["samples"]))
                    subset.values[seed] = one["metrics"][name]
            for kind, what, points in curves_in_file(measured, name):
                curves.setdefault((kind, what, group), Curve(kind, what, group, {})).runs[seed] = points
    order = list(dict.fromkeys((curve.kind, curve.what) for curve in curves.values()))
    found = sorted(curves.values(), key=lambda curve: order.index((curve.kind, curve.what)))
    areas = [area(curve, curves.get((curve.kind, curve.what, baseline or "")), metric) for curve in found]
    return RobustnessResults(in_order(subsets.values()), found, areas, trained_curves(members, metric, by), baseline)


def seeds_of(runs: pd.DataFrame) -> list[tuple[int, Path]]:
    """Seed and folder of each run; a run without a seed counts by its place."""
    pairs = zip(runs["seed"], runs["run"], strict=True)
    return [
        (int(seed) if seed is not None and seed == seed else place, Path(run))
        for place, (seed, run) in enumerate(pairs)
    ]


def curves_in_file(measured: Mapping[str, Any], name: str) -> Iterable[tuple[str, str, Points]]:
    """Kind, subject and points of every curve of one split in one run's file; all begin at the split as it is."""
    clean = ((measured.get("clean") or {}).get("metrics") or {}).get(name)
    found: dict[tuple[str, str], Points] = {}
    for kind, level in (("noise", "level"), ("missing", "rate")):
        for one in measured.get(kind) or ():
            if one["metrics"].get(name) is None or clean is None:
                continue
            what = "+".join(one["modalities"]) if kind == "noise" else str(one["mechanism"])
            found.setdefault((kind, what), {0.0: clean})[float(one[level])] = one["metrics"][name]
    for (kind, what), points in found.items():
        yield kind, what, dict(sorted(points.items()))


def in_order(subsets: Iterable[Subset]) -> list[Subset]:
    """Subsets as the runs' files have them: equal ones side by side."""
    given = list(subsets)
    order = list(dict.fromkeys(one.modalities for one in given))
    return sorted(given, key=lambda one: order.index(one.modalities))


def relative_robustness(points: Points) -> float:
    """The mean height of a curve: its area by trapezoids, divided by the range of its levels.

    Args:
        points: two or more.
    """
    levels, values = np.array(sorted(points.items())).T
    return float(np.trapezoid(values, levels) / (levels[-1] - levels[0]))


def effective_robustness(points: Points, baseline: Points, larger_is_better: bool = True) -> float:
    """The mean height of a curve above the baseline's, which is moved so that both begin alike; NaN if levels differ.

    Args:
        points: two or more.
        baseline: at the same levels.
        larger_is_better: of the metric; else the sign is changed.
    """
    if sorted(points) != sorted(baseline):
        return math.nan
    first = min(points)
    apart = points[first] - baseline[first]
    beyond = relative_robustness({level: points[level] - (baseline[level] + apart) for level in points})
    return beyond if larger_is_better else -beyond


def area(curve: Curve, baseline: Curve | None, metric: str) -> Area:
    """The areas of each seed."""
    relative = {seed: relative_robustness(points) for seed, points in curve.runs.items() if len(points) > 1}
    found = Area(curve, relative)
    if baseline is None or baseline is curve:
        return found
    for seed in relative:
        if seed in baseline.runs:
            value = effective_robustness(curve.runs[seed], baseline.runs[seed], not is_error(metric))
            if not math.isnan(value):
                found.effective[seed] = value
    return found


def trained_curves(members: Mapping[str, pd.DataFrame], metric: str, by: Sequence[str]) -> list[Curve]:
    """The metric over the rates at which samples were incomplete in training, where groups are measured apart by rates.

    Groups that differ in the rate alone make one curve. At rate 0 the mechanism says nothing: such runs begin every
    mechanism's curve.
    """
    if RATE not in by:
        return []
    points: dict[tuple[str, str], dict[int, Points]] = {}
    begin: dict[str, dict[int, Points]] = {}
    others = [key for key in by if key not in (RATE, MECHANISM)]
    for runs in members.values():
        first = runs.iloc[0]
        rate, mechanism = float(first[f"config.{RATE}"]), str(first.get(f"config.{MECHANISM}"))
        if math.isnan(rate):  # of a version that knew none
            continue
        rest = ", ".join(f"{key.rpartition('.')[2]} {first[key if key in runs else f'config.{key}']}" for key in others)
        target = begin.setdefault(rest, {}) if rate == 0 else points.setdefault((mechanism, rest), {})
        for (seed, _), value in zip(seeds_of(runs), runs[metric], strict=True):
            target.setdefault(seed, {})[rate] = float(value)
    curves = []
    for (mechanism, rest), found in sorted(points.items(), key=lambda item: item[0]):
        start = begin.get(rest, {})
        seeds = sorted({*start, *found})
        joined = {seed: {**start.get(seed, {}), **found.get(seed, {})} for seed in seeds}
        curves.append(Curve("trained", mechanism, rest, joined))
    return [curve for curve in curves if len(curve.levels()) > 1]


def mean_and_interval(values: Sequence[float], signed: bool = False) -> tuple[str, str]:
    """Mean ± std of seeds, and their 95 % t interval, as text."""
    if not values:
        return "–", "–"
    measured, form = statistics(values), "{:+.4f}" if signed else "{:.4f}"
    spread = "" if math.isnan(measured["std"]) else f" ± {measured['std']:.4f}"
    interval = (
        "–" if math.isnan(measured["low"]) else f"{form.format(measured['low'])} … {form.format(measured['high'])}"
    )
    return form.format(measured["mean"]) + spread, interval
