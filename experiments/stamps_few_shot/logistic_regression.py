"""The baseline of stamps_few_shot: logistic regression on the frozen encoders' vectors, on the same draws of rows.

    python experiments/stamps_few_shot/logistic_regression.py

scikit-learn's LogisticRegression with C = 1 on standardised vectors, caption and picture side by side; nothing is
chosen.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_module
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from mmbert.data.splits.splits import few_shot
from mmbert.training.build import build
from mmbert.training.use_store import read_from_store

HERE = Path(__file__).parent
COLUMN = "topic"


def main() -> None:
    """Measures and writes logistic_regression.csv."""
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", ["experiment=stamps_few_shot", "data.per_class=null", "logger=none"])
    parts = build(cfg)
    data, model = parts.data, parts.model.eval()
    read_from_store(data, model, cfg.store, cfg.trainer)
    vectors, labels, rows = {}, {}, {}
    for split in ("train", "test"):
        batches = list(data.plain_loader(split))
        with torch.no_grad():
            encoded = [[model.encoders[name](batch.inputs[name]) for name in model.encoders] for batch in batches]
        vectors[split] = np.concatenate([np.hstack([x.pooled.numpy() for x in parts]) for parts in encoded])
        rows[split] = np.concatenate([batch.rows.numpy() for batch in batches])
        labels[split] = np.array(data.table.column(COLUMN, rows[split]))
    found = []
    for per_class in (1, 2, 4, 8):
        for seed in range(10):
            drawn = few_shot(data.table, data.rows["train"], COLUMN, per_class, seed, keep_rare=True)
            chosen = np.isin(rows["train"], drawn)
            scaler = StandardScaler().fit(vectors["train"][chosen])
            head = LogisticRegression(max_iter=1000)
            head.fit(scaler.transform(vectors["train"][chosen]), labels["train"][chosen])
            answers = head.predict(scaler.transform(vectors["test"]))
            scores = (answers == labels["test"]).mean(), f1_score(labels["test"], answers, average="macro")
            found.append([per_class, seed, int(chosen.sum()), *(round(float(score), 4) for score in scores)])
    with (HERE / "logistic_regression.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([["per_class", "seed", "rows", "accuracy", "f1"], *found])
    for per_class in (1, 2, 4, 8):
        accuracy = [row[3] for row in found if row[0] == per_class]
        print(per_class, f"{np.mean(accuracy):.3f} ± {np.std(accuracy, ddof=1):.3f}")


if __name__ == "__main__":
    main()
