"""Logistic regression on the same frozen features: what a stamp shows, from each subset of picture, caption, speech.

    mmbert-store export out=stamps.npz data=stamps data.caption=fi data.rows_without=skip audio=none
    python experiments/stamps_topic_and_kind/baseline.py stamps.npz baseline.csv

The rows are those of the study: stamps with a picture, a Finnish caption and French speech.

Pooled vectors of picture and caption are those that the runs' encoders give; a sound is the mean and the standard
deviation over time of 40 log-mel bands. Each modality is standardised by train. The penalty is the best of eight on
validation; nothing is fitted to validation. Intervals are of 10,000 draws of the test rows.
"""

import sys

import numpy as np
import pandas as pd
import torch
import torchaudio
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from mmbert.data.modalities.audio import AudioModality
from mmbert.data.sets.stamps import Stamps

RATE_HZ = 16000
PENALTIES = (0.00001, 0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
SUBSETS = (("image",), ("text",), ("audio",), ("text", "image"), ("text", "image", "audio"))
SPLITS = ("train", "val", "test")


def sound_statistics(data: Stamps) -> np.ndarray:
    """(n, 80) mean and deviation of each log-mel band of all rows; zeros where a row has no speech."""
    mel = torchaudio.transforms.MelSpectrogram(RATE_HZ, n_fft=512, win_length=400, hop_length=256, n_mels=40)
    found = np.zeros((len(data.table), 80), np.float32)
    for row, cell in enumerate(data.table.column("speech_fr", np.arange(len(data.table)))):
        if cell:
            samples, rate_hz = AudioModality().decode(data.path.parent / cell)
            wave = torchaudio.functional.resample(torch.as_tensor(samples), rate_hz, RATE_HZ)
            bands = (mel(wave) + 1e-6).log()  # (40, frames)
            found[row] = torch.cat([bands.mean(1), bands.std(1)]).numpy()
    return found


def fitted(features: dict[str, np.ndarray], labels: np.ndarray, split: np.ndarray) -> tuple[float, np.ndarray]:
    """The best penalty on validation, and the predictions for test."""
    x = np.concatenate(list(features.values()), 1)
    train = StandardScaler().fit(x[split == 0])
    x = train.transform(x).astype(np.float64)
    # The span of the train rows holds every penalised solution: in its axes there are fewer numbers, and the same fit.
    x = x @ np.linalg.svd(x[split == 0], full_matrices=False)[2].T
    model = LogisticRegression(max_iter=2000, warm_start=True)
    best: tuple[float, float, np.ndarray] | None = None
    for penalty in PENALTIES:
        model.set_params(C=penalty).fit(x[split == 0], labels[split == 0])
        score = float((model.predict(x[split == 1]) == labels[split == 1]).mean())
        if best is None or score > best[0]:
            best = (score, penalty, model.predict(x[split == 2]))
    assert best is not None
    return best[1], best[2]


def interval(right: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of the mean over draws of the rows."""
    draws = np.random.default_rng(0).integers(len(right), size=(10_000, len(right)))
    low, high = np.quantile(right[draws].mean(1), [0.025, 0.975])
    return float(low), float(high)


def main(features_file: str, out: str) -> None:
    """Writes a row for each label and subset."""
    exported = np.load(features_file)
    data = Stamps(caption="fi")
    order, split = exported["row"], exported["split"]
    everything = {
        "image": exported["image.pooled"],
        "text": exported["text.pooled"],
        "audio": sound_statistics(data)[order],
    }
    rows = []
    for task, column in (("topic", "topic"), ("kind", "kind_common")):
        labels = np.asarray(data.table.column(column, order))
        names, counts = np.unique(labels[split == 0], return_counts=True)
        truth = labels[split == 2]
        majority = truth == names[counts.argmax()]
        rows.append([task, "majority", "", majority.mean(), *interval(majority), 0.0, len(truth)])
        for subset in SUBSETS:
            penalty, predicted = fitted({name: everything[name] for name in subset}, labels, split)
            right = predicted == truth
            macro = f1_score(truth, predicted, average="macro", zero_division=0)
            rows.append([task, "+".join(subset), penalty, right.mean(), *interval(right), macro, len(truth)])
            print(task, subset, f"C={penalty}", f"{right.mean():.3f}", flush=True)
    columns = ["task", "modalities", "C", "accuracy", "low", "high", "f1_macro", "rows"]
    pd.DataFrame(rows, columns=columns).to_csv(out, index=False, float_format="%.4f")


if __name__ == "__main__":
    main(*sys.argv[1:])
