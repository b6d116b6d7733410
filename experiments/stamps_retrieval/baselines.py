"""Baselines of stamps_retrieval: chance, ridge regression and CCA between frozen features, in six directions.

    python experiments/stamps_retrieval/baselines.py

Features: the study's frozen picture and text encoders, and of speech mean and spread over time of 40 log-mel bands.
Options (the ridge's penalty, the number of components) are chosen by the mean reciprocal rank on validation, for each
direction; test is measured once, by the ranks of mmbert's own retrieval metrics.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio
from hydra import compose, initialize_config_module
from sklearn.cross_decomposition import CCA
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from mmbert.data.datamodule import MultimodalData
from mmbert.tasks.retrieval_metrics import SCORES, ranks_of
from mmbert.training.build import build
from mmbert.training.use_store import read_from_store

HERE = Path(__file__).parent
NAMES = ("text", "image", "audio")
PENALTIES = [1.0, 10.0, 100.0, 1e3, 1e4]
COMPONENTS = [4, 8, 16, 32]
#: What CCA reads: more dimensions than this fit 692 samples by heart.
PCA_DIMENSIONS = 64
BANDS, RATE_HZ, SECONDS = 40, 16_000, 10


def main() -> None:
    """Measures and writes baselines.csv."""
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", ["experiment=stamps_retrieval", "logger=none"])
    parts = build(cfg)
    read_from_store(parts.data, parts.model, cfg.store, cfg.trainer)
    parts.model.eval()
    splits = {split: features(parts.data, parts.model, split) for split in ("train", "val", "test")}
    rows = []
    for a, query in enumerate(NAMES):
        for b, gallery in enumerate(NAMES):
            if a != b:
                for name, fit, options in (("ridge", ridge, PENALTIES), ("cca", cca, COMPONENTS)):
                    best = max(options, key=lambda option: measured(fit, option, splits, "val", a, b)["mrr"])
                    found = measured(fit, best, splits, "test", a, b)
                    rows.append({"method": name, "direction": f"{query}_to_{gallery}", "option": best, **found})
                rows.append({"method": "chance", "direction": f"{query}_to_{gallery}", **chance(splits, a, b)})
                print(rows[-3:])
    with (HERE / "baselines.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["method", "direction", "option", *SCORES], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def features(data: MultimodalData, model: torch.nn.Module, split: str) -> dict[str, np.ndarray]:
    """By modality (N, D), ``present`` (N, 3) and ``cells`` (N, 4) of a split."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*NAMES, "present", "cells")}
    speech = data.column_of("audio")
    for batch in data.plain_loader(split):
        with torch.no_grad():
            for name in ("text", "image"):
                found[name].append(model.encoders[name](batch.inputs[name]).pooled.numpy())
        cells = data.table.column(speech, batch.rows.numpy())
        found["audio"].append(np.stack([mel_statistics(data.table.folder, cell) for cell in cells]))
        found["present"].append(np.stack([batch.inputs[name]["mask"].any(1).numpy() for name in NAMES], 1))
        found["cells"].append(batch.targets["pairs"]["cells"].numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def mel_statistics(folder: Path, cell: str | None) -> np.ndarray:
    """Mean and spread over time of 40 log-mel bands; zeros without a sound."""
    if cell is None:
        return np.zeros(2 * BANDS, np.float32)
    sound, rate = soundfile.read(folder / cell, dtype="float32", always_2d=True)
    mono = torchaudio.functional.resample(torch.from_numpy(sound.mean(1)), rate, RATE_HZ)[: SECONDS * RATE_HZ]
    mel = torchaudio.transforms.MelSpectrogram(RATE_HZ, n_fft=400, hop_length=160, n_mels=BANDS)(mono)
    logs = (mel + 1e-6).log()
    return torch.cat([logs.mean(1), logs.std(1)]).numpy()


def ridge(x: np.ndarray, y: np.ndarray, penalty: float):
    """x -> the space of y, standardised."""
    into, out = StandardScaler().fit(x), StandardScaler().fit(y)
    model = Ridge(alpha=penalty).fit(into.transform(x), out.transform(y))
    return (lambda query: model.predict(into.transform(query))), out.transform


def cca(x: np.ndarray, y: np.ndarray, components: int):
    """Both -> the space of the canonical components of their principal ones."""
    scalers = [StandardScaler().fit(z) for z in (x, y)]
    reduce = [
        PCA(min(PCA_DIMENSIONS, z.shape[1]), random_state=0).fit(s.transform(z))
        for z, s in zip((x, y), scalers, strict=True)
    ]
    both = [p.transform(s.transform(z)) for z, s, p in zip((x, y), scalers, reduce, strict=True)]
    model = CCA(components, max_iter=2000).fit(*both)
    first = model.transform(both[0])
    assert first.shape[1] == components

    def of_query(query: np.ndarray) -> np.ndarray:
        return model.transform(reduce[0].transform(scalers[0].transform(query)))

    def of_gallery(gallery: np.ndarray) -> np.ndarray:
        reduced = reduce[1].transform(scalers[1].transform(gallery))
        dummy = np.zeros((len(reduced), both[0].shape[1]))
        return model.transform(dummy, reduced)[1]

    return of_query, of_gallery


def measured(fit, option: float, splits: dict, split: str, a: int, b: int) -> dict[str, float]:
    """The scores of a fit on the training split's pairs."""
    train, other = splits["train"], splits[split]
    both = train["present"][:, a] & train["present"][:, b]
    of_query, of_gallery = fit(train[NAMES[a]][both], train[NAMES[b]][both], option)
    pair = [of_query(other[NAMES[a]]), of_gallery(other[NAMES[b]])]
    vectors = np.stack([z / np.linalg.norm(z, axis=1, keepdims=True).clip(1e-9) for z in pair], 1)
    columns = [a, b, *(m for m in range(other["cells"].shape[1]) if m not in (a, b))]
    tensors = (torch.from_numpy(np.ascontiguousarray(x)) for x in (vectors, other["present"][:, [a, b]]))
    ranks = ranks_of(*tensors, torch.from_numpy(other["cells"][:, columns]), (0, 1))
    return {name: round(float(score(ranks)), 4) for name, score in SCORES.items()}


def chance(splits: dict, a: int, b: int) -> dict[str, float]:
    """The mean scores of 200 orders by chance."""
    random, other, scores = np.random.default_rng(0), splits["test"], []
    for _ in range(200):
        vectors = random.normal(size=(len(other["cells"]), 2, 16))
        # a picture is the same point in all of its rows
        for m, number in enumerate((a, b)):
            _, first, inverse = np.unique(other["cells"][:, number], return_index=True, return_inverse=True)
            vectors[:, m] = vectors[first, m][inverse]
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        columns = [a, b, *(m for m in range(other["cells"].shape[1]) if m not in (a, b))]
        present = torch.from_numpy(other["present"][:, [a, b]])
        ranks = ranks_of(torch.from_numpy(vectors), present, torch.from_numpy(other["cells"][:, columns]), (0, 1))
        scores.append([float(score(ranks)) for score in SCORES.values()])
    return dict(zip(SCORES, np.mean(scores, 0).round(4).tolist(), strict=True))


if __name__ == "__main__":
    main()
