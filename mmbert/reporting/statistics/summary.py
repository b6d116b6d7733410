"""Runs -> groups: mean, spread and a 95 % interval over repetitions.

The interval is Student's: mean ± t(0.975, n - 1) · s / √n, s the standard deviation with n - 1. It is right for few
repetitions as long as their scatter is roughly normal; with three seeds t is 4.3, so it is honestly wide. A group of
one run has neither spread nor interval. Only runs that finished count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmbert.core.errors import ConfigError, nearest

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
#: what runs are grouped by if nothing else is asked for and it varies
USUAL_KEYS = ("data", "modalities", "fusion")
#: options in which repetitions may differ
NOT_VARIED = ("config.seed", "config.logger.")
#: facts that are averaged beside the metric
FACTS = ("wall_seconds", "peak_memory_mib")
#: last parts of the names of metrics of which less is better
SMALLER_IS_BETTER = (
    *("loss", "loss_sum", "mean_loss", "mae", "rmse", "mse", "wer", "cer", "perplexity"),
    *("nll", "brier", "ece", "aurc", "median_rank"),
)
#: Beginnings of names of which the same holds: wer_beam, cer_rescored, cut_answers.
SMALLER_IS_BETTER_OF = ("wer_", "cer_", "cut_")


def summarise(runs: pd.DataFrame, metric: str, by: Sequence[str] = ()) -> pd.DataFrame:
    """A row a group, best metric first.

    Args:
        runs: from ``collect``.
        metric: such as ``test/answer/accuracy``.
        by: columns to group by; a dotted option such as ``fusion.out_dim`` may leave out ``config.``. By default what
            varies of data, modalities and fusion, among the runs that have the metric.

    Returns:
        The columns of ``by``, then ``n``, ``seeds``, ``mean``, ``std``, ``low`` and ``high`` (the interval's ends),
        ``min``, ``max`` and the means of wall time and memory.

    Raises:
        ConfigError: no such metric or column, or no run has finished.
    """
    import pandas as pd

    finished = finished_runs(runs)
    if metric not in finished.columns:
        raise ConfigError(f"No run has the metric '{metric}'. {nearest(metric, metric_names(finished))}")
    measured = finished[finished[metric].notna()]
    keys = [column_of(name, runs) for name in by] or varied(measured)
    rows = []
    for values, group in grouped(measured, keys):
        row = {key.removeprefix("config."): value for key, value in zip(keys, values, strict=True)}
        row |= {"n": len(group), "seeds": " ".join(f"{seed:.0f}" for seed in sorted(group["seed"].dropna().unique()))}
        row |= statistics([float(value) for value in group[metric]])
        row |= {fact: group[fact].astype(float).mean() for fact in FACTS if fact in group}
        rows.append(row)
    return pd.DataFrame(rows).sort_values("mean", ascending=is_error(metric), kind="stable", ignore_index=True)


def finished_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Those that finished.

    Raises:
        ConfigError: none has; says why the first have not.
    """
    finished = runs[runs["status"] == "finished"]
    if finished.empty:
        reasons = "; ".join(f"{row.run}: {row.reason}" for row in runs.head(3).itertuples())
        raise ConfigError(f"None of {len(runs)} runs has finished. {reasons}")
    return finished


def statistics(values: Sequence[float]) -> dict[str, float]:
    """``mean``, ``std`` (n - 1), the interval's ``low`` and ``high``, ``min``, ``max``; NaN where undefined."""
    count = len(values)
    mean = math.fsum(values) / count
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1)) if count > 1 else math.nan
    half = t_quantile(count - 1) * spread / math.sqrt(count) if count > 1 else math.nan
    return {
        "mean": mean,
        "std": spread,
        "low": mean - half,
        "high": mean + half,
        "min": min(values),
        "max": max(values),
    }


def t_quantile(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.5 + CONFIDENCE / 2, freedom))


def varied(runs: pd.DataFrame) -> list[str]:
    """Which of the usual keys differ between the runs; the fusion if none does."""
    keys = [key for key in USUAL_KEYS if runs[key].nunique(dropna=False) > 1]
    return keys or ["fusion"]


def other_differences(runs: pd.DataFrame, by: Sequence[str] = ()) -> list[str]:
    """Options (and the commit) that differ within a group: such runs are no mere repetitions of one another."""
    keys = [column_of(name, runs) for name in by] or varied(runs)
    options = [column for column in runs.columns if column.startswith("config.") and not column.startswith(NOT_VARIED)]
    # what follows the seed, such as data.seed=${seed}, varies with it rightly
    options = [column for column in options if not runs[column].equals(runs["seed"])]
    columns = [column for column in ("commit", *options) if column not in keys]
    return [column.removeprefix("config.") for column in columns if differs_within(runs, keys, column)]


def repeated_seeds(runs: pd.DataFrame, by: Sequence[str] = ()) -> list[str]:
    """Groups in which a seed occurs twice: the same run measured again is no independent repetition."""
    keys = [column_of(name, runs) for name in by] or varied(runs)
    groups = grouped(runs, keys)
    return [", ".join(map(str, values)) for values, group in groups if group["seed"].dropna().duplicated().any()]


def differs_within(runs: pd.DataFrame, keys: Sequence[str], column: str) -> bool:
    """Whether a column takes more than one value inside any group."""
    return any(group[column].astype(str).nunique() > 1 for _, group in grouped(runs, keys))


def grouped(runs: pd.DataFrame, keys: Sequence[str]) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Groups in order of appearance; lists among the values are compared as text, an absent option is its own value."""
    labels = [tuple(label_value(value) for value in values) for values in runs[list(keys)].itertuples(index=False)]
    order = dict.fromkeys(labels)
    return [(label, runs[[other == label for other in labels]]) for label in order]


def label_value(value: Any) -> Any:
    """A config value as a group's label."""
    if isinstance(value, float) and math.isnan(value):
        return "–"
    return str(value) if value is None or isinstance(value, (list, dict)) else value


def metric_names(runs: pd.DataFrame) -> list[str]:
    """The metrics' columns."""
    return [column for column in runs.columns if "/" in column and not column.startswith("config.")]


def default_metric(runs: pd.DataFrame) -> str:
    """The test split's counterpart of what the checkpoints were chosen by.

    Raises:
        ConfigError: no run has finished, or they have no metric on test.
    """
    finished = finished_runs(runs)
    names = metric_names(finished)
    for monitor in finished["monitor"].dropna() if "monitor" in finished else ():
        name = str(monitor).replace("val/", "test/", 1)
        if name in names:
            return name
    for name in names:
        if name.startswith("test/") and not name.endswith("/loss"):
            return name
    raise ConfigError(f"None of {len(runs)} runs has a test metric. Name one: --metric. {nearest('test', names)}")


def is_error(metric: str) -> bool:
    """Whether smaller is better."""
    name = metric.rpartition("/")[2]
    of_a_direction = name.endswith("_median_rank")  # text_to_image_median_rank
    return name in SMALLER_IS_BETTER or name.startswith(SMALLER_IS_BETTER_OF) or of_a_direction


def column_of(name: str, runs: pd.DataFrame) -> str:
    """The column that a word of ``--by`` names.

    Raises:
        ConfigError: there is none.
    """
    for column in (name, f"config.{name}"):
        if column in runs.columns:
            return column
    known = [column.removeprefix("config.") for column in runs.columns if "/" not in column]
    raise ConfigError(f"Runs cannot be grouped by '{name}'. {nearest(name, known)}")
