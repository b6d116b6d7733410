"""The tables of experiments/meld_emotion: runs of experiment=meld_emotion beside TF-IDF and the majority class.

python experiments/meld_emotion/tables.py multirun/meld_emotion
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score

RESAMPLES = 1000
COLUMN = "emotion"


def weighted(truth: np.ndarray, answers: np.ndarray) -> float:
    """Weighted F1; 0 for a class that is never answered."""
    return float(f1_score(truth, answers, average="weighted", zero_division=0))


def spread(values: list[float]) -> str:
    """Mean ± sd | Student's 95 % interval over seeds; a plain number where there is one."""
    mean = np.mean(values)
    if len(values) == 1:
        return f"{mean:.3f} | "
    sd = np.std(values, ddof=1)
    half = stats.t.ppf(0.975, len(values) - 1) * sd / np.sqrt(len(values))
    return f"{mean:.3f} ± {sd:.3f} | {mean - half:.3f} … {mean + half:.3f}"


def answers_of(table: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """The answers to these rows, in their order."""
    return table.set_index("row")[f"{COLUMN}/prediction"].loc[rows].to_numpy()


def main() -> None:
    """Prints what validation chooses, the table of the test split, the paired tests and F1 by emotion."""
    sweep = Path(sys.argv[1])
    runs = sorted(path.parent for path in sweep.glob("*-seed*/metrics.json"))
    facts = {run: json.loads((run / "metrics.json").read_text(encoding="utf-8")) for run in runs}
    kinds = {kind: [run for run in runs if run.name.startswith(f"weights-{kind}-")] for kind in ("None", "balanced")}
    metric = f"{COLUMN}/f1_weighted"
    for kind, members in kinds.items():
        print(f"class_weights={kind}: val f1_weighted {spread([facts[run][f'val/{metric}'] for run in members])}")
    chosen = max(kinds, key=lambda kind: np.mean([facts[run][f"val/{metric}"] for run in kinds[kind]]))
    print(f"chosen by validation: class_weights={chosen}\n")

    whole = pd.read_csv(facts[runs[0]]["inputs"]["table"], keep_default_na=False)
    test = whole[whole["split"] == "test"]
    truth, rows = test[COLUMN].to_numpy(), test.index.to_numpy()
    linear = answers_of(pd.read_parquet(sweep / "tfidf.parquet").query("split == 'test'"), rows)
    majority = np.full(len(rows), whole[whole["split"] == "train"][COLUMN].mode()[0])
    given = {
        kind: [answers_of(pd.read_parquet(run / "predictions" / "test.parquet"), rows) for run in members]
        for kind, members in kinds.items()
    }
    print("| | f1_weighted | 95 % | f1 | 95 % | accuracy | 95 % |\n|---|---|---|---|---|---|---|")
    for name, several in {"majority": [majority], "TF-IDF": [linear], **given}.items():
        macro = [float(f1_score(truth, one, average="macro", zero_division=0)) for one in several]
        right = [float(accuracy_score(truth, one)) for one in several]
        print(f"| {name} | {spread([weighted(truth, one) for one in several])} | {spread(macro)} | {spread(right)} |")

    models = given[chosen]
    random = np.random.default_rng(0)
    dialogues = [np.flatnonzero(test["dialogue"] == name) for name in test["dialogue"].unique()]
    differences = []
    for _ in range(RESAMPLES):
        take = np.concatenate([dialogues[i] for i in random.integers(0, len(dialogues), len(dialogues))])
        base = weighted(truth[take], linear[take])
        differences.append(np.mean([weighted(truth[take], one[take]) for one in models]) - base)
    low, high = np.quantile(differences, [0.025, 0.975])
    point = np.mean([weighted(truth, one) for one in models]) - weighted(truth, linear)
    print(f"\nless TF-IDF: {point:+.3f}, {RESAMPLES} resamples of {len(dialogues)} dialogues: {low:+.3f} … {high:+.3f}")
    for run, one in zip(kinds[chosen], models, strict=True):
        ours, theirs = int(((one == truth) & (linear != truth)).sum()), int(((one != truth) & (linear == truth)).sum())
        p = stats.binomtest(ours, ours + theirs).pvalue
        print(f"{run.name}: only the model right {ours}, only TF-IDF right {theirs}, McNemar (exact) p = {p:.2g}")

    names = test[COLUMN].value_counts().index.tolist()
    by_class = {
        kind: np.mean([f1_score(truth, one, average=None, labels=names, zero_division=0) for one in several], axis=0)
        for kind, several in {"TF-IDF": [linear], **given}.items()
    }
    print("\n| emotion | samples | " + " | ".join(by_class) + " |\n|---|---|---|---|---|")
    for i, name in enumerate(names):
        print(f"| {name} | {(truth == name).sum():,} | " + " | ".join(f"{f[i]:.3f}" for f in by_class.values()) + " |")


if __name__ == "__main__":
    main()
