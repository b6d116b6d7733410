"""Writes what an attack found into a folder: a summary (JSON), a line a training sample, and a line a score (CSV)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mmbert.analysis.membership.audit import Attacked, AttackOptions
from mmbert.analysis.membership.roc import Roc, SortedScores
from mmbert.core.whole_files import whole_file
from mmbert.runs.environment import environment
from mmbert.runs.files import timestamp, write_json
from mmbert.runs.folder import RunFolder

#: Points of a curve in the summary, evenly over the logarithm of the false positive rate.
CURVE_POINTS = 200
#: The false positive rate at which ``found`` of a sample counts.
FOUND_AT = 0.01


def write_attack(
    found: Mapping[str, Attacked], facts: Mapping[str, Any], options: AttackOptions, run: RunFolder
) -> dict[str, Any]:
    """Writes the three files, and returns what the summary holds. No sample is quoted: rows have numbers.

    Args:
        found: by task.
        facts: about run and data, for the summary.
        options: of the attack.
        run: the folder.
    """
    content = {
        **facts,
        "shadows": options.shadows,
        "attack": "offline" if options.offline else "online",
        "variance": options.used_variance,
        "bootstraps": options.bootstraps,
        "seed": options.seed,
        "tasks": {name: task_summary(one) for name, one in found.items()},
        "finished": timestamp(),
        "environment": environment(),
    }
    with whole_file(run.membership_rows) as temporary:
        exposure_table(found).to_csv(temporary, index=False)
    with whole_file(run.membership_scores) as temporary:
        score_table(found).to_csv(temporary, index=False)
    write_json(run.membership, content)
    return content


def task_summary(one: Attacked) -> dict[str, Any]:
    """One task's numbers and curves."""
    seen = one.observed
    return {
        "samples": len(seen.rows),
        "member_pairs": int(seen.member.sum()),
        "non_member_pairs": int((~seen.member).sum()),
        "accuracy": {
            "members": mean_where(seen.right, seen.member),
            "non_members": mean_where(seen.right, ~seen.member),
        },
        "attacks": one.measures,
        "curves": {
            name: curve_points(SortedScores(scores, seen.member).roc())
            for name, scores in {"lira": one.scores, "threshold": seen.statistics}.items()
            if name in one.measures
        },
    }


def mean_where(values: np.ndarray, chosen: np.ndarray) -> float | None:
    """The mean of some of the values; None where there are none."""
    kept = values[chosen]
    return None if np.isnan(kept).any() else float(kept.mean())


def curve_points(roc: Roc) -> dict[str, list[float]]:
    """The curve as a page draws it: at each of some false positive rates, the true one with at most that rate."""
    least = max(float(roc.fpr[roc.fpr > 0].min()), 1e-6)
    levels = np.geomspace(least, 1, CURVE_POINTS)
    places = np.searchsorted(roc.fpr, levels * (1 + 1e-9), side="right") - 1
    return {"fpr": levels.tolist(), "tpr": roc.tpr[places].tolist()}


def exposure_table(found: Mapping[str, Attacked]) -> pd.DataFrame:
    """A line a training sample, those of the most exposed first.

    ``row``; for each task ``TASK/statistic_in`` and ``_out``, the means over the models that were trained on it and
    over the others, and ``TASK/found``, the share of the former in which the attack finds it at 1 % false positives.
    """
    table = pd.DataFrame({"row": np.unique(np.concatenate([one.observed.rows for one in found.values()]))})
    for name, one in found.items():
        seen = one.observed
        limit = threshold_at(one, FOUND_AT)
        columns = {
            "row": seen.rows,
            f"{name}/statistic_in": np.where(seen.member, seen.statistics, 0).sum(0) / seen.member.sum(0),
            f"{name}/statistic_out": np.where(seen.member, 0, seen.statistics).sum(0) / (~seen.member).sum(0),
            f"{name}/found": ((one.scores >= limit) & seen.member).sum(0) / seen.member.sum(0),
        }
        table = table.merge(pd.DataFrame(columns), on="row", how="left")
    exposed = table[[f"{name}/found" for name in found]].max(axis=1)
    return table.iloc[np.argsort(-exposed.to_numpy(), kind="stable")]


def threshold_at(one: Attacked, level: float) -> float:
    """The least score at which at most ``level`` of the non-members lie at or above it."""
    others = np.sort(one.scores[~one.observed.member])[::-1]
    allowed = int(level * len(others) * (1 + 1e-9))
    return float(np.nextafter(others[allowed], np.inf)) if allowed < len(others) else -np.inf


def score_table(found: Mapping[str, Attacked]) -> pd.DataFrame:
    """A line for each task, model and sample: ``task``, ``model``, ``row``, ``member``, ``statistic``, ``score``."""
    tables = []
    for name, one in found.items():
        models, samples = one.scores.shape
        columns = {
            "task": name,
            "model": np.repeat(np.arange(models), samples),
            "row": np.tile(one.observed.rows, models),
            "member": one.observed.member.ravel().astype(int),
            "statistic": one.observed.statistics.ravel().round(6),
            "score": one.scores.ravel().round(6),
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables)
