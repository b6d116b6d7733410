"""A classifier of whole recordings beside speech recognition: logistic regression on log-mel statistics, and a guess.

    python experiments/fsdd_speech/baseline.py [FILE OR FOLDER OF THE DATA]

Every recording is one word, so the share of wrong digits is the word error rate. The strength of the regularisation is
chosen on the validation speaker.
"""

import json
import sys
from pathlib import Path

import jiwer
import numpy as np
import torch
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmbert.data.modalities.registry import modality_named
from mmbert.data.sets.fsdd import DIGIT_WORDS, FreeSpokenDigits
from mmbert.encoders.processors.audio import AudioProcessor
from mmbert.encoders.processors.log_mel import LogMel

STRENGTHS = (0.001, 0.01, 0.1, 1.0)


def statistics(waveform: torch.Tensor, log_mel: LogMel) -> np.ndarray:
    """Mean, deviation, and the means of the first, second and last third, of 40 log-mel bands, and the duration."""
    frames = log_mel(waveform[None], torch.ones(1, len(waveform), dtype=torch.bool))[0][0].numpy()
    thirds = [part.mean(0) for part in np.array_split(frames, 3)]
    return np.concatenate([frames.mean(0), frames.std(0), *thirds, [len(frames)]])


def main() -> None:
    """Fits, measures, and writes ``baseline.json`` beside this file."""
    data = FreeSpokenDigits(source=sys.argv[1] if len(sys.argv) > 1 else None)
    processor, log_mel = AudioProcessor(16000, 10.0, 1200), LogMel(16000, 40, 0.025, 0.01)
    audio, folder = modality_named("audio"), str(data.table.folder)
    features, labels = {}, {}
    for split, rows in data.rows.items():
        cells = zip(data.table.column("audio", rows), data.table.column("digit", rows), strict=True)
        pairs = [(processor.prepare(audio.read(cell, folder, 10.0)), int(digit)) for cell, digit in cells]
        features[split] = np.stack([statistics(waveform, log_mel) for waveform, _ in pairs])
        labels[split] = np.array([digit for _, digit in pairs])
    fitted = {}
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        fitted[strength] = model.fit(features["train"], labels["train"])
    validation = {strength: model.score(features["val"], labels["val"]) for strength, model in fitted.items()}
    best = max(validation, key=validation.get)
    guess = DummyClassifier(strategy="prior").fit(features["train"], labels["train"])
    found = {"C": best, "val": {str(strength): round(1 - score, 4) for strength, score in validation.items()}}
    for name, model in (("logistic regression", fitted[best]), ("most frequent", guess)):
        said = [DIGIT_WORDS[digit] for digit in model.predict(features["test"])]
        meant = [DIGIT_WORDS[digit] for digit in labels["test"]]
        found[name] = {"wer": round(jiwer.wer(meant, said), 4), "cer": round(jiwer.cer(meant, said), 4)}
    Path(__file__).with_name("baseline.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
