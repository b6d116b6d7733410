"""All that a comparison says, as plain data: what the terminal, the page and the paper's table are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.reporting.collect import readable
from mmbert.reporting.statistics.compare import Comparison, bootstrap_interval, compare
from mmbert.reporting.statistics.robustness import RobustnessResults, robustness_results
from mmbert.reporting.statistics.samples import compare_samples
from mmbert.reporting.statistics.shapley import Contribution, contributions
from mmbert.reporting.statistics.sharing import SharingGain, sharing_gains
from mmbert.reporting.statistics.summary import column_of, default_metric, grouped, is_error, summarise, varied
from mmbert.reporting.tables import notes

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class RunsReport:
    """A comparison of runs.

    Attributes:
        runs: a row a run, from ``collect``.
        metric: that decides.
        by: columns by which runs are grouped.
        summary: a row a group, from ``summarise``, with ``boot_low`` and ``boot_high``.
        baseline: the name of the group that the others are compared with; None = none.
        comparisons: of the others with it.
        sentences: what is shown, and what is not.
        notes: what a reader must know beside the table.
        contributions: of the modalities, where runs of all their subsets are there and they differ in nothing else.
        study: the config node ``study`` of the runs, if they agree on one.
        robustness: what runs have left when modalities are missing or damaged, where they measured it.
        sharing: what tasks gain in runs of several, where there are runs of each alone.
    """

    runs: pd.DataFrame
    metric: str
    by: tuple[str, ...]
    summary: pd.DataFrame
    baseline: str | None = None
    comparisons: list[Comparison] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    contributions: list[Contribution] = field(default_factory=list)
    study: dict[str, Any] = field(default_factory=dict)
    robustness: RobustnessResults = field(default_factory=RobustnessResults)
    sharing: list[SharingGain] = field(default_factory=list)


def make_report(
    runs: pd.DataFrame, metric: str | None = None, by: Sequence[str] = (), baseline: str | None = None
) -> RunsReport:
    """Groups, intervals and comparisons.

    Args:
        runs: from ``collect``.
        metric: None = what the study names, or the test counterpart of what checkpoints were chosen by.
        by: columns to group by; without any, those that the study names, or what varies.
        baseline: a group: ``concat`` or ``fusion=concat``, of several columns with commas; None = what the study names.

    Raises:
        ConfigError: no such metric, column or group; or no run has finished.
    """
    study = study_of(readable(runs))
    metric = metric or study.get("metric") or default_metric(runs)
    by = tuple(by) or tuple(known(study.get("axes") or (), runs))
    summary = summarise(runs, metric, by)
    all_finished = runs[runs["status"] == "finished"]
    finished = all_finished[all_finished[metric].notna()]
    keys = [column_of(name, runs) for name in by] or varied(finished)
    members = {name_of(values): group for values, group in grouped(finished, keys)}
    labels = [name_of(tuple(line[key.removeprefix("config.")] for key in keys)) for line in summary.to_dict("records")]
    intervals = [bootstrap_interval(members[name][metric].astype(float).tolist()) for name in labels]
    summary = summary.assign(
        group=labels, boot_low=[low for low, _ in intervals], boot_high=[high for _, high in intervals]
    )
    base = chosen_baseline(baseline, members, keys) if baseline else studys_baseline(study, members, keys)
    found = compare_groups(members, labels, metric, base)
    plain = [key.removeprefix("config.") for key in keys]
    return RunsReport(
        runs=runs,
        metric=metric,
        by=tuple(plain),
        summary=summary,
        baseline=base,
        comparisons=found,
        sentences=sentences(found, members, metric),
        notes=notes(runs, metric, plain),
        contributions=contributions(finished, metric) if keys == ["modalities"] else [],
        study=study,
        robustness=robustness_results({name: members[name] for name in labels}, metric, base, plain),
        sharing=sharing_gains({name_of(v): part for v, part in grouped(all_finished, keys)}, keys, metric),
    )


def study_of(runs: pd.DataFrame) -> dict[str, Any]:
    """The node ``study`` of the runs' configs, if all have the same one; else nothing."""
    study: dict[str, Any] = {"baseline": {}}
    for column in runs.columns:
        name = column.removeprefix("config.study.")
        values = runs[column].dropna()
        if name == column or not len(values) or len(values) < len(runs) or len(values.astype(str).unique()) > 1:
            continue
        option = name.removeprefix("baseline.")  # a dotted option may be a column by which runs are grouped
        (study if option == name else study["baseline"])[option] = values.iloc[0]
    return study if study.get("name") else {}


def known(axes: Sequence[str], runs: pd.DataFrame) -> list[str]:
    """Those of a study's axes in which runs differ, without the seed."""
    return [axis for axis in axes if axis != "seed" and (axis in runs.columns or f"config.{axis}" in runs.columns)]


def name_of(values: Sequence[Any]) -> str:
    """A group's name: the values of its keys."""
    return ", ".join(str(value) for value in values)


def chosen_baseline(
    wanted: str | Mapping[str, Any] | None, members: Mapping[str, pd.DataFrame], keys: Sequence[str]
) -> str | None:
    """The group that a baseline names.

    Raises:
        ConfigError: there is none, or several.
    """
    if not wanted:
        return None
    if isinstance(wanted, str):
        if wanted in members:
            return wanted
        wanted = dict(part.partition("=")[::2] for part in wanted.split(","))
    pairs = {name.strip().removeprefix("config."): str(value) for name, value in wanted.items()}
    if "" in pairs.values():
        raise ConfigError(f"There is no group '{next(iter(pairs))}'. {nearest(next(iter(pairs)), list(members))}")
    plain = [key.removeprefix("config.") for key in keys]
    for name in pairs:
        if name not in plain:
            raise ConfigError(f"--baseline {name}=…: runs are not grouped by it. {nearest(name, plain)}")
    fitting = [
        group
        for group, runs in members.items()
        if all(str(runs.iloc[0][keys[plain.index(name)]]) == value for name, value in pairs.items())
    ]
    if len(fitting) != 1:
        wanted_pairs = ", ".join(f"{name}={value}" for name, value in pairs.items())
        what = f"{len(fitting)} groups have" if fitting else "no group has"
        raise ConfigError(f"--baseline {wanted_pairs}: {what} it. Groups: {'; '.join(members)}.")
    return fitting[0]


def studys_baseline(study: Mapping[str, Any], members: Mapping[str, pd.DataFrame], keys: Sequence[str]) -> str | None:
    """The group that a study compares with; None where it has no finished run, or runs are grouped otherwise."""
    try:
        return chosen_baseline(study.get("baseline"), members, keys)
    except ConfigError:
        return None


def compare_groups(
    members: Mapping[str, pd.DataFrame], labels: Sequence[str], metric: str, base: str | None
) -> list[Comparison]:
    """Every other group against the baseline, in the order of the summary."""
    if base is None or len(members) < 2:
        return []
    values = {
        name: dict(zip(members[name]["seed"].astype(int), members[name][metric].astype(float), strict=True))
        for name in labels
        if members[name]["seed"].notna().all()
    }
    return compare(values, base, not is_error(metric)) if base in values else []


def sentences(found: Sequence[Comparison], members: Mapping[str, pd.DataFrame], metric: str) -> list[str]:
    """What each comparison shows: over seeds, or between two single runs over samples."""
    found_sentences = []
    for one in found:
        alone = len(members[one.group]) == 1 == len(members[one.baseline])
        over_samples = single_runs(members, one.group, one.baseline, metric) if alone else None
        found_sentences.append(over_samples or one.sentence())
    return found_sentences


def single_runs(members: Mapping[str, pd.DataFrame], name: str, base: str, metric: str) -> str | None:
    """A run against another, sample by sample; why not, where that cannot be done; None where metrics are no task's."""
    split, _, rest = metric.partition("/")
    task = rest.rpartition("/")[0]
    if not task:
        return None
    one, other = members[name].iloc[0], members[base].iloc[0]
    if one.get("splits_fingerprint") != other.get("splits_fingerprint"):
        return f"{name} and {base} were measured on other samples: they cannot be compared one by one."
    try:
        return compare_samples(Path(one["run"]), Path(other["run"]), split, task, (name, base))
    except DataError as error:
        return f"{name} and {base} cannot be compared sample by sample: {error}"
