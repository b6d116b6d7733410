"""Tables of what tasks gain by sharing, for the terminal, report.md and the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmbert.reporting.outputs.robustness_tables import TextTable
from mmbert.reporting.statistics.compare import p_value_text
from mmbert.reporting.statistics.sharing import SharingGain, TaskGain
from mmbert.reporting.statistics.summary import is_error, statistics

NOTE = (
    "Runs of several tasks minus runs of the task alone, seed by seed; the interval and p are those of the paired t "
    "test, p after Holm over the tasks. The last line is the mean of the tasks' relative gains in percent, positive "
    "where sharing helps (Δm of Maninis et al. 2019), of each seed."
)


def sharing_tables(found: Sequence[SharingGain]) -> list[TextTable]:
    """One for each group of runs with several tasks: a row a task, and Δ_m."""
    head = ["task", "metric", "seeds", "alone", "together", "difference", "95 % interval", "p (Holm)"]
    return [
        TextTable(
            f"Gain by sharing: {one.group}",
            head,
            [*(task_row(task) for task in one.tasks), overall_row(one)],
            NOTE,
        )
        for one in found
    ]


def task_row(one: TaskGain) -> list[str]:
    """Means, their difference, and whether it is shown."""
    seeds = sorted(set(one.alone) & set(one.together))
    alone, together = (statistics([values[seed] for seed in seeds]) for values in (one.alone, one.together))
    name = one.metric.rpartition("/")[2] + (", less is better" if is_error(one.metric) else "")
    interval = "–" if math.isnan(one.low) else f"{one.low:+.4f} … {one.high:+.4f}"
    p = "–" if math.isnan(one.p_holm) else p_value_text(one.p_holm)
    means = [f"{part['mean']:.4f}{spread(part['std'], '.4f')}" for part in (alone, together)]
    return [one.task, name, str(len(seeds)), *means, f"{one.difference:+.4f}", interval, p]


def overall_row(one: SharingGain) -> list[str]:
    """Δ_m with its interval."""
    values = list(one.overall.values())
    if not values or any(map(math.isnan, values)):
        return ["all", "Δm, %", str(len(values)), "", "", "–", "–", ""]
    of_seeds = statistics(values)
    interval = "–" if math.isnan(of_seeds["low"]) else f"{of_seeds['low']:+.2f} … {of_seeds['high']:+.2f}"
    mean = f"{of_seeds['mean']:+.2f}{spread(of_seeds['std'], '.2f')}"
    return ["all", "Δm, %", str(len(values)), "", "", mean, interval, ""]


def spread(std: float, form: str) -> str:
    """``± std`` where there is one."""
    return "" if math.isnan(std) else f" ± {std:{form}}"
