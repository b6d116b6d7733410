"""Baselines of one_voice_speech: what is said in the training recording that sounds most alike, and silence.

    python experiments/one_voice_speech/nearest.py multirun/one_voice_speech/prompts-seed0 ...

Recordings are compared by means and deviations of 40 log-mel bands, of the whole and of each third, and by duration,
all standardised. The rows and references are those that the run was measured on. Nothing is chosen.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jiwer
import numpy as np
import pandas as pd
import torch
from omegaconf import OmegaConf
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from mmbert.data.modalities.registry import modality_named
from mmbert.encoders.processors.audio import AudioProcessor
from mmbert.encoders.processors.log_mel import LogMel
from mmbert.tasks.speech.transcripts import TranscriptForm
from mmbert.training.build import build


def statistics(waveform: torch.Tensor, log_mel: LogMel) -> np.ndarray:
    """(161,) of a waveform (T,)."""
    frames = log_mel(waveform[None], torch.ones(1, len(waveform), dtype=torch.bool))[0][0].numpy()
    thirds = [part.mean(0) for part in np.array_split(frames, 3)]
    return np.concatenate([frames.mean(0), *thirds, frames.std(0), [len(frames)]])


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Word and character error rates on the test rows of a run."""
    cfg = OmegaConf.load(folder / "config.yaml")
    data = build(cfg).data
    asked = pd.read_parquet(folder / "predictions" / "test.parquet")
    skipped = pd.read_csv(folder / "skipped.csv")["row"] if (folder / "skipped.csv").exists() else []
    train = np.setdiff1d(data.rows["train"], skipped)
    processor, log_mel = AudioProcessor(16000, 6.0, 1200), LogMel(16000, 40, 0.025, 0.01)
    audio, place = modality_named("audio"), str(data.table.folder)
    column, text = cfg.data.columns.audio, cfg.tasks.said.column

    def described(rows: np.ndarray) -> np.ndarray:
        cells = data.table.column(column, rows)
        return np.stack([statistics(processor.prepare(audio.read(cell, place, 6.0)), log_mel) for cell in cells])

    train = np.array([row for row in train if data.table.column(column, [row])[0]])
    scaler = StandardScaler()
    known = NearestNeighbors(n_neighbors=1).fit(scaler.fit_transform(described(train)))
    near = known.kneighbors(scaler.transform(described(asked["row"].to_numpy())), return_distance=False)[:, 0]
    written = TranscriptForm().written
    said = [written(str(cell)) for cell in data.table.column(text, train[near])]
    meant = list(asked["said/target"])
    return {
        name: {"wer": round(jiwer.wer(meant, texts), 4), "cer": round(jiwer.cer(meant, texts), 4)}
        for name, texts in (("nearest", said), ("silence", [""] * len(meant)))
    }


def main() -> None:
    """Measures, and writes ``nearest.json`` beside this file."""
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    found = {Path(name).name.partition("-")[0]: measure(Path(name)) for name in sys.argv[1:]}
    Path(__file__).with_name("nearest.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
