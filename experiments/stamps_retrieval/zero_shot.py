"""The topic of the test split's pictures by prompts alone, for every run of stamps_retrieval: zero_shot.csv.

    python experiments/stamps_retrieval/zero_shot.py multirun/stamps_retrieval

What mmbert-zero-shot does, with vectors of pictures from the store: classes are the 16 topics as they stand in the
table, the prompts are the command's own. Topics are in no training sample; captions are.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import torch
from hydra import compose, initialize_config_module

from mmbert.model import MultimodalModel
from mmbert.search.embedder import Embedder
from mmbert.search.zero_shot import class_vectors
from mmbert.training.build import build
from mmbert.training.use_store import read_from_store

HERE = Path(__file__).parent
PROMPTS = ["a picture of {}.", "{}"]
COLUMN = "topic"


def main(runs: Path) -> None:
    """Measures each run and writes."""
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", ["experiment=stamps_retrieval", "logger=none"])
    parts = build(cfg)
    read_from_store(parts.data, parts.model, cfg.store, cfg.trainer)
    batches = list(parts.data.plain_loader("test"))
    labels = np.array(parts.data.table.column(COLUMN, np.concatenate([batch.rows.numpy() for batch in batches])))
    classes = sorted(set(parts.data.table.column(COLUMN)))
    frequent = np.unique(labels, return_counts=True)[1].max() / len(labels)
    found = []
    for folder in sorted(runs.glob("*-seed*")):
        model = MultimodalModel.from_pretrained(folder / "model")
        embedder = Embedder(model)
        with torch.inference_mode():
            encoded = [model.encoders["image"](batch.inputs["image"]) for batch in batches]
            vectors = np.concatenate([embedder.task.embed("image", x).numpy() for x in encoded])
        answers = np.array(classes)[(vectors @ class_vectors(embedder, classes, PROMPTS).T).argmax(1)]
        hits = answers == labels
        balanced = np.mean([hits[labels == name].mean() for name in np.unique(labels)])
        loss, seed = folder.name.split("-seed")
        found.append([loss, seed, round(float(hits.mean()), 4), round(float(balanced), 4)])
        print(*found[-1])
    print(f"most frequent topic: {frequent:.4f}")
    with (HERE / "zero_shot.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["loss", "seed", "accuracy", "balanced_accuracy"], *found])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
