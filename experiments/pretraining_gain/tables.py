"""Prints the tables of pretraining_gain's page from results.csv and tfidf.csv.

mmbert-report multirun/pretraining_gain/meld --metric test/emotion/f1_weighted --out reports/meld
mmbert-report multirun/pretraining_gain/stamps --metric test/topic/accuracy --out reports/stamps
cp reports/meld/results.csv experiments/pretraining_gain/results_meld.csv  (and so for stamps)
python experiments/pretraining_gain/tables.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

HERE = Path(__file__).parent


def in_words(values: pd.Series, form: str = ".3f") -> tuple[str, str]:
    """Mean ± standard deviation, and Student's 95 % interval."""
    mean, std = values.mean(), values.std(ddof=1)
    half = stats.t.ppf(0.975, len(values) - 1) * std / np.sqrt(len(values))
    return f"{mean:{form}} ± {std:.3f}", f"{mean - half:{form}} … {mean + half:{form}}"


SETS = {"meld": ("emotion", ("f1_weighted", "f1")), "stamps": ("topic", ("accuracy", "f1"))}


def lines(name: str, metric: str) -> list[str]:
    """For each number of labels: MiniLM as given, after pre-training, the paired difference, TF-IDF twice."""
    task, _ = SETS[name]
    table, simple = pd.read_csv(HERE / f"results_{name}.csv"), pd.read_csv(HERE / "tfidf.csv")
    simple = simple[simple["set"] == name]
    pretrained = table["run"].str.contains("/mlm/")
    found = []
    for per_class, part in table.groupby("config.data.per_class"):
        given, after = (
            part[pretrained[part.index] == chosen].set_index("seed")[f"test/{task}/{metric}"]
            for chosen in (False, True)
        )
        p = stats.ttest_rel(after, given.loc[after.index]).pvalue
        mean, interval = in_words(after - given, "+.3f")
        cells = [str(per_class), f"{part['train_rows'].mean():,.0f}", *in_words(given), *in_words(after)]
        cells += [f"{mean} ({interval}), p = {p:.2g}"]
        groups = simple[simple["per_class"] == per_class].groupby("method")
        cells += [in_words(groups.get_group(way)[metric])[0] for way in ("labelled", "all")]
        found.append(f"| {' | '.join(cells)} |")
    return found


def main() -> None:
    """See the top of the file."""
    for name, (_, metrics) in SETS.items():
        for metric in metrics:
            print(name, metric, *lines(name, metric), sep="\n")


if __name__ == "__main__":
    main()
