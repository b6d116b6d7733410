"""Writes what an explanation found into a folder: a summary (JSON), and a line for each sample (CSV)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mmbert.analysis.cooperative_game import interactions_of_subsets, shapley_of_subsets, shares_of_values
from mmbert.analysis.explanation import Explanation, explanation_summary
from mmbert.core.whole_files import whole_file
from mmbert.runs.environment import environment
from mmbert.runs.files import timestamp, write_json
from mmbert.runs.folder import RunFolder


def write_explanation(found: Explanation, facts: Mapping[str, Any], run: RunFolder) -> dict[str, Any]:
    """Writes both files, and returns what the summary holds.

    Args:
        found: what was measured.
        facts: about model and data, for the summary.
        run: the folder.
    """
    content = {**facts, **explanation_summary(found), "finished": timestamp(), "environment": environment()}
    with whole_file(run.explained_samples) as temporary:
        explained_samples(found).to_csv(temporary, index=False)
    write_json(run.explanation, content)
    return content


def explained_samples(found: Explanation) -> pd.DataFrame:
    """A line a sample.

    ``row``; for each task ``TASK/output`` with all modalities and ``TASK/output_without_any``, ``TASK/value/MODALITY``
    (Shapley values, whose sum is the difference of the two), ``TASK/share/MODALITY``, ``TASK/interaction/ONE+OTHER``.
    Values of a modality that the sample lacks are empty.
    """
    columns: dict[str, np.ndarray] = {"row": found.rows}
    for task, game in found.games.items():
        values, joint = shapley_of_subsets(game.worth), interactions_of_subsets(game.worth)
        shares = shares_of_values(values, game.worth)
        columns |= {f"{task}/output": game.worth[:, -1], f"{task}/output_without_any": game.worth[:, 0]}
        for i, name in enumerate(found.modalities):
            columns[f"{task}/value/{name}"] = np.where(found.present[:, i], values[:, i], np.nan)
        for i, name in enumerate(found.modalities):
            columns[f"{task}/share/{name}"] = np.where(found.present[:, i], shares[:, i], np.nan)
        for i, j in itertools.combinations(range(len(found.modalities)), 2):
            both = found.present[:, i] & found.present[:, j]
            name = f"{found.modalities[i]}+{found.modalities[j]}"
            columns[f"{task}/interaction/{name}"] = np.where(both, joint[:, i, j], np.nan)
    return pd.DataFrame(columns)
