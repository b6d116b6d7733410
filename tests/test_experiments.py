"""The tables of the experiments' pages, and of the README, say what the results beside them say."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

ROOT = Path(__file__).parents[1]
METRIC = "test/answer/accuracy"


def results(name: str) -> pd.DataFrame:
    return pd.read_csv(ROOT / "experiments" / name / "results.csv")


def expected() -> dict[str, np.ndarray]:
    """The metric of each seed, by the name of a row."""
    fusion, ablation = results("fusion_comparison"), results("modality_ablation")
    rows = {name: part.sort_values("seed") for name, part in fusion.groupby("fusion")}
    rows |= {name.replace("+", " + "): part for name, part in ablation.groupby("modalities")}
    rows["text + image + audio"] = rows["cross_attention"]
    return {name: part[METRIC].to_numpy() for name, part in rows.items()}


def told(page: str) -> dict[str, tuple[str, str]]:
    """What a page says of each row that it has: mean and spread, and the interval."""
    found: dict[str, tuple[str, str]] = {}
    row = r"\| ([a-z_+ ]+?) \|(?: \d \|)? (\d\.\d{3} ± \d\.\d{3})(?: \|)? \(?(\d\.\d{3} … \d\.\d{3})"
    for name, mean, interval in re.findall(row, (ROOT / page).read_text("utf-8")):
        found.setdefault(name, (mean, interval))
    return found


@pytest.mark.parametrize(
    ("page", "rows"),
    [("README.md", 10), ("experiments/fusion_comparison/README.md", 4), ("experiments/modality_ablation/README.md", 7)],
)
def test_published_means_are_those_of_the_results(page: str, rows: int) -> None:
    known, shown = expected(), told(page)
    assert len(shown) == rows
    for name, (said, interval) in shown.items():
        values = known[name]
        mean, std = values.mean(), values.std(ddof=1)
        assert said == f"{mean:.3f} ± {std:.3f}", name
        half = stats.t.ppf(0.975, len(values) - 1) * std / np.sqrt(len(values))
        assert interval == f"{mean - half:.3f} … {mean + half:.3f}", name


@pytest.mark.parametrize("name", ["fusion_comparison", "modality_ablation"])
def test_results_come_from_one_clean_commit(name: str) -> None:
    table = results(name)
    assert set(table["status"]) == {"finished"}
    assert table["commit"].nunique() == 1 and not table["dirty"].any()
    commit = table["commit"].iloc[0]
    assert f"`{commit[:7]}`" in (ROOT / "experiments" / name / "README.md").read_text("utf-8")
