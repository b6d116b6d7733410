"""The baseline of pretraining_gain: TF-IDF and logistic regression on the same draws of rows.

    python experiments/pretraining_gain/tfidf.py

Words and pairs of words in small letters, sublinear counts; scikit-learn's LogisticRegression with C = 1, as it is:
nothing is chosen. The vocabulary and its weights come from the labelled rows (``labelled``), or from all texts of train
(``all``), which is what masked language modelling has seen too. The most frequent class is beside them.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from mmbert.data.splits.splits import few_shot

HERE = Path(__file__).parent
PER_CLASS = (14, 71, 285)
SEEDS = range(5)


def main() -> None:
    """Measures and writes tfidf.csv."""
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        data = instantiate(compose("train", ["data=meld_text"]).data)
    table, rows = data.table, data.rows
    texts = {split: [str(cell) for cell in table.column("text", rows[split])] for split in ("train", "test")}
    labels = {split: np.array(table.column("emotion", rows[split])) for split in ("train", "test")}
    found = []

    def add(method: str, per_class: int, seed: int, drawn: int, answers: np.ndarray) -> None:
        scores = {
            "accuracy": accuracy_score(labels["test"], answers),
            "f1": f1_score(labels["test"], answers, average="macro"),
            "f1_weighted": f1_score(labels["test"], answers, average="weighted"),
        }
        found.append({"method": method, "per_class": per_class, "seed": seed, "train_rows": drawn} | scores)

    for per_class in PER_CLASS:
        for seed in SEEDS:
            chosen = np.isin(rows["train"], few_shot(table, rows["train"], "emotion", per_class, seed, keep_rare=True))
            own = [text for text, taken in zip(texts["train"], chosen, strict=True) if taken]
            for method, known in (("labelled", own), ("all", texts["train"])):
                words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(known)
                head = LogisticRegression(max_iter=1000).fit(words.transform(own), labels["train"][chosen])
                add(method, per_class, seed, int(chosen.sum()), head.predict(words.transform(texts["test"])))
    add("most frequent", 0, 0, 0, np.full(len(labels["test"]), "neutral"))
    with (HERE / "tfidf.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, found[0])
        writer.writeheader()
        writer.writerows(found)


if __name__ == "__main__":
    main()
