"""The baseline of pretraining_gain: TF-IDF and logistic regression on the same draws of rows.

    python experiments/pretraining_gain/tfidf.py

Words and pairs of words in small letters, sublinear counts; scikit-learn's LogisticRegression with C = 1, as it is:
nothing is chosen. The vocabulary and its weights come from the labelled rows (``labelled``), or from all texts of train
(``all``), which is what masked language modelling has seen too. The most frequent class is beside them.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from run import SEEDS, SETS
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from mmbert.data.splits.splits import few_shot

HERE = Path(__file__).parent
COLUMNS = {"meld": ("text", "emotion"), "stamps": ("caption_fi", "topic")}


def measure(name: str) -> list[dict[str, object]]:
    """The scores on test of each method, number of labels and draw."""
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        data = instantiate(compose("train", list(SETS[name].words)).data)
    table, rows = data.table, data.rows
    text, label = COLUMNS[name]
    texts = {split: [str(cell) for cell in table.column(text, rows[split])] for split in ("train", "test")}
    labels = {split: np.array(table.column(label, rows[split])) for split in ("train", "test")}
    found: list[dict[str, object]] = []

    def add(method: str, per_class: int, seed: int, drawn: int, answers: np.ndarray) -> None:
        scores = {
            "accuracy": accuracy_score(labels["test"], answers),
            "f1": f1_score(labels["test"], answers, average="macro"),
            "f1_weighted": f1_score(labels["test"], answers, average="weighted"),
        }
        found.append({"set": name, "method": method, "per_class": per_class, "seed": seed, "rows": drawn} | scores)

    for per_class in SETS[name].per_class:
        for seed in SEEDS:
            chosen = np.isin(rows["train"], few_shot(table, rows["train"], label, per_class, seed, keep_rare=True))
            own = [text for text, taken in zip(texts["train"], chosen, strict=True) if taken]
            for method, known in (("labelled", own), ("all", texts["train"])):
                words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(known)
                head = LogisticRegression(max_iter=1000).fit(words.transform(own), labels["train"][chosen])
                add(method, per_class, seed, int(chosen.sum()), head.predict(words.transform(texts["test"])))
    commonest = Counter(labels["train"].tolist()).most_common(1)[0][0]
    add("most frequent", 0, 0, 0, np.full(len(labels["test"]), commonest))
    return found


def main() -> None:
    """Measures and writes tfidf.csv."""
    found = [row for name in SETS for row in measure(name)]
    with (HERE / "tfidf.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, found[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


if __name__ == "__main__":
    main()
