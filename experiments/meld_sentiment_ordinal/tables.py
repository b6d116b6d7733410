"""The tables of experiments/meld_sentiment_ordinal: its runs beside TF-IDF and the majority class.

python experiments/meld_sentiment_ordinal/tables.py multirun/meld_sentiment_ordinal

Runs save calibrated probabilities p. Those before are proportional to p^T, T being the run's temperature. The
temperature of TF-IDF is fitted on validation in the same manner. Numbers are those of the test split.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy import stats
from sklearn.metrics import cohen_kappa_score, f1_score

from mmbert.core.calibration import reliability
from mmbert.core.risk_coverage import area_under_risk, risk_coverage
from mmbert.tasks.temperature import fit_temperature

LEVELS = ["negative", "neutral", "positive"]
ANSWERS = ("accuracy", "f1_weighted", "mae", "qwk")
PROBABILITIES = ("nll", "ece", "aurc", "accuracy at 50 %", "accuracy at 80 %")
#: Smallest probability of which a logarithm is taken.
TINY = 1e-38


def read(path: Path, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ranks (N,) of labels and of answers, and log-probabilities (N, 3), of a file of predictions."""
    table = pd.read_parquet(path)
    table = table[table["split"] == split] if "split" in table else table
    ranks = [table[f"sentiment/{name}"].map(LEVELS.index).to_numpy() for name in ("target", "prediction")]
    shares = pd.json_normalize(table["sentiment/probabilities"].tolist())[LEVELS].to_numpy()
    return ranks[0], ranks[1], np.log(np.maximum(shares, TINY))


def at_temperature(logs: np.ndarray, temperature: float) -> np.ndarray:
    """(N, C) logits -> probabilities."""
    shares = np.exp((logs - logs.max(1, keepdims=True)) / temperature)
    return np.asarray(shares / shares.sum(1, keepdims=True))


def measured(truth: np.ndarray, answer: np.ndarray, shares: np.ndarray) -> dict[str, float]:
    """Ranks (N,), ranks (N,), probabilities (N, 3) -> all numbers of the tables."""
    confidence, right = shares[np.arange(len(truth)), answer], answer == truth
    coverage, risk, _ = risk_coverage(confidence, right)
    return {
        "accuracy": float(right.mean()),
        "f1_weighted": float(f1_score(truth, answer, average="weighted", zero_division=0)),
        "mae": float(np.abs(answer - truth).mean()),
        "qwk": float(cohen_kappa_score(truth, answer, weights="quadratic", labels=[0, 1, 2])),
        "nll": float(-np.log(np.maximum(shares[np.arange(len(truth)), truth], TINY)).mean()),
        "ece": reliability(confidence, right.astype(int)).error,
        "aurc": area_under_risk(confidence, right),
        "accuracy at 50 %": 1 - float(risk[np.searchsorted(coverage, 0.5 - 1e-9)]),
        "accuracy at 80 %": 1 - float(risk[np.searchsorted(coverage, 0.8 - 1e-9)]),
    }


def spread(values: list[float]) -> str:
    """Mean ± sd over seeds; a plain number where there is one."""
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def interval(values: list[float]) -> str:
    """Student's 95 % interval of the mean over seeds."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values) - half:+.3f} … {np.mean(values) + half:+.3f}"


def print_table(found: dict[str, list[dict[str, float]]], columns: tuple[str, ...]) -> None:
    """One row for each model."""
    print("\n| | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))
    for name, values in found.items():
        print(f"| {name} | " + " | ".join(spread([value[column] for value in values]) for column in columns) + " |")


def main() -> None:
    """Prints the tables, the temperatures and the paired differences."""
    sweep = Path(sys.argv[1])
    before: dict[str, list[dict[str, float]]] = {}
    after: dict[str, list[dict[str, float]]] = {}
    warmth: dict[str, list[float]] = {}

    logs = {}
    truth = {}
    for split in ("val", "test"):
        truth[split], answer, logs[split] = read(sweep / "tfidf.parquet", split)
    whole = pd.read_csv(json.loads(min(sweep.glob("*/metrics.json")).read_text("utf-8"))["inputs"]["table"])
    counts = whole[whole["split"] == "train"]["sentiment"].value_counts()[LEVELS].to_numpy()
    common = np.full(len(truth["test"]), counts.argmax())
    before["majority"] = [measured(truth["test"], common, np.tile(counts / counts.sum(), (len(common), 1)))]
    warmth["TF-IDF"] = [fit_temperature(logs["val"], truth["val"])]
    before["TF-IDF"] = [measured(truth["test"], answer, at_temperature(logs["test"], 1.0))]
    after["TF-IDF"] = [measured(truth["test"], answer, at_temperature(logs["test"], warmth["TF-IDF"][0]))]

    runs: dict[str, list[Path]] = {"classification": [], "ordinal": []}
    for run in sorted(path.parent for path in sweep.glob("*-seed*/metrics.json")):
        target = yaml.safe_load((run / "config.yaml").read_text("utf-8"))["tasks"]["sentiment"]["_target_"]
        runs[target.split(".")[-2]].append(run)
    for name in ("classification", "ordinal"):
        for run in runs[name]:
            temperature = json.loads((run / "metrics.json").read_text("utf-8"))["tuned"]["sentiment"]["temperature"]
            own, answer, calibrated = read(run / "predictions" / "test.parquet", "test")
            warmth.setdefault(name, []).append(temperature)
            before.setdefault(name, []).append(measured(own, answer, at_temperature(calibrated, 1 / temperature)))
            after.setdefault(name, []).append(measured(own, answer, at_temperature(calibrated, 1.0)))

    print_table(before, ANSWERS)
    print("\nbefore calibration")
    print_table(before, PROBABILITIES)
    print("\nafter")
    print_table(after, PROBABILITIES)
    print("\ntemperatures: " + "; ".join(f"{name} {spread(values)}" for name, values in warmth.items()))
    print("\nordinal less classification, after calibration, paired over seeds:")
    for column in (*ANSWERS, *PROBABILITIES):
        pairs = zip(after["ordinal"], after["classification"], strict=True)
        differences = [one[column] - other[column] for one, other in pairs]
        p = stats.ttest_1samp(differences, 0).pvalue
        print(f"| {column} | {np.mean(differences):+.3f} | {interval(differences)} | {p:.2g} |")


if __name__ == "__main__":
    main()
