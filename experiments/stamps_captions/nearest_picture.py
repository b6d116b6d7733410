"""Baselines of captions for the stamps: the caption of the nearest picture of the train split, and the commonest one.

    python experiments/stamps_captions/nearest_picture.py

Pictures are compared by the cosine of the study's frozen EfficientNet-Lite0's vectors, on the rows that the study uses.
Whether the train split's mean is taken off first is chosen by chrF on validation; test is measured once.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_module

from mmbert.data.datamodule import MultimodalData
from mmbert.tasks.text_metrics.scores import text_scores
from mmbert.training.build import build
from mmbert.training.use_store import read_from_store

SCORES = ["bleu", "chrf", "rouge", "cider", "distinct", "exact_match"]


def main() -> None:
    """Prints the scores on validation and test."""
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", ["experiment=stamps_captions", "logger=none"])
    parts = build(cfg)
    read_from_store(parts.data, parts.model, cfg.store, cfg.trainer)
    parts.model.eval()
    splits = {split: pictures_and_captions(parts.data, parts.model, split) for split in ("train", "val", "test")}
    centred = max((False, True), key=lambda option: scores(nearest(splits, "val", option), splits["val"][1])["chrf"])
    commonest = Counter(splits["train"][1]).most_common(1)[0][0]
    for split in ("val", "test"):
        truth = splits[split][1]
        for name, given in (
            (f"nearest picture, mean taken off: {centred}", nearest(splits, split, centred)),
            (f"commonest '{commonest}'", [commonest] * len(truth)),
        ):
            found = ", ".join(f"{key} {value:.3f}" for key, value in scores(given, truth).items())
            print(f"{split} {name} ({len(truth)} rows): {found}")


def pictures_and_captions(data: MultimodalData, model: Any, split: str) -> tuple[np.ndarray, list[str]]:
    """The pictures' vectors (N, D) and their captions."""
    vectors, captions = [], []
    for batch in data.plain_loader(split):
        with torch.no_grad():
            vectors.append(model.encoders["image"](batch.inputs["image"]).pooled.numpy())
        captions += model.tasks["caption"].decode(batch.targets["caption"])
    return np.concatenate(vectors), captions


def nearest(splits: dict[str, tuple[np.ndarray, list[str]]], split: str, centred: bool) -> list[str]:
    """For each picture of a split the caption of the train split's nearest."""
    known, captions = splits["train"]
    middle = known.mean(0) if centred else 0.0
    first, second = (
        part / np.linalg.norm(part, axis=1, keepdims=True) for part in (splits[split][0] - middle, known - middle)
    )
    return [captions[place] for place in (first @ second.T).argmax(1)]


def scores(given: list[str], truth: list[str]) -> dict[str, float]:
    """The study's scores, as the task computes them: capitals count, words are cut as ``13a`` cuts them."""
    made = text_scores(SCORES, "ascii", "13a", lowercase=False)
    for metric in made.values():
        metric.update(given, [[text] for text in truth])
    return {name: float(metric.compute()) for name, metric in made.items()}


if __name__ == "__main__":
    main()
