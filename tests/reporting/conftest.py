"""Run folders as ``mmbert-train`` leaves them, with what a report reads and nothing else."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

CLASSES = ("calm", "glad", "sad <b>")
HOSTILE = '<script>document.title = "taken over"</script> & "quotes"'


@pytest.fixture(scope="session")
def illustrated(tmp_path_factory):
    """A study of two strategies and three seeds: predictions, curves, and a table of texts, pictures and sounds."""
    folder = tmp_path_factory.mktemp("illustrated")
    random = np.random.default_rng(0)
    table = []
    for row in range(30):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{row}.png")
        soundfile.write(folder / f"{row}.wav", 0.2 * random.standard_normal(8_000), 16_000)
        text = HOSTILE if row == 29 else f"sentence {row}"
        table.append({"said": text, "image": f"{row}.png", "audio": f"{row}.wav" if row % 3 else None})
    pd.DataFrame(table).to_csv(folder / "table.csv", index=False)
    for fusion, skill in (("concat", 4.0), ("mean", 3.0)):
        for seed in range(3):
            write_run(folder, fusion, seed, skill, np.random.default_rng(10 * seed + len(fusion)))
    return folder


def write_run(folder, fusion, seed, skill, random):
    run = folder / "runs" / f"{fusion}-{seed}"
    (run / "predictions").mkdir(parents=True)
    truth = np.arange(30) % 3
    logits = random.standard_normal((30, 3))
    logits[np.arange(29), truth[:29]] += skill
    logits[29, truth[29]] -= 9  # nobody gets the last one right
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    predictions = {
        "row": range(30),
        "mood/target": [CLASSES[t] for t in truth],
        "mood/prediction": [CLASSES[n] for n in shares.argmax(1)],
        "mood/probabilities": [dict(zip(CLASSES, map(float, row), strict=True)) for row in shares],
    }
    pd.DataFrame(predictions).to_parquet(run / "predictions" / "test.parquet")
    accuracy = float((shares.argmax(1) == truth).mean())
    config = f"fusion: {{_target_: mmbert.fusion.{fusion}.X}}\nseed: {seed}\ntasks: {{mood: {{}}}}\n"
    study = "study: {name: my_study, axes: [fusion], baseline: {fusion: concat}, metric: test/mood/accuracy}\n"
    (run / "config.yaml").write_text(config + study)
    (run / "environment.json").write_text(json.dumps({"started": "2026-11-24", "python": "3.11", "packages": {}}))
    encoders = {name: {"column": column, "kind": name} for name, column in (("image", "image"), ("audio", "audio"))}
    encoders["text"] = {"column": "said", "kind": "text"}
    facts = {
        "seed": seed,
        "fit_seconds": 10.0 * skill + seed,
        "peak_memory_mib": 900 - 100 * skill,
        "wall_seconds": 60.0,
    }
    facts |= {
        "data_fingerprint": hashlib.sha256((folder / "table.csv").read_bytes()).hexdigest()[:16],
        "inputs": {"table": str(folder / "table.csv"), "encoders": encoders},
        "splits_fingerprint": "s",
        "epochs": 4,
        "wall_seconds": 60,
    }
    shares = {"modalities": ["text", "image", "audio"], "mean": [0.5, 0.3, None], "std": [0.1, 0.1, None]}
    by_epoch = [{"epoch": e, "gate": {**shares, "mean": [0.1 * e, 0.01 * seed, None]}} for e in range(4)]
    (run / "diagnostics.json").write_text(json.dumps({"test": {"gate": shares}, "val_by_epoch": by_epoch}))
    checkpoint = {"path": "checkpoints/best.ckpt", "monitor": "val/mood/accuracy"}
    (run / "metrics.json").write_text(json.dumps({"test/mood/accuracy": accuracy, **facts, "checkpoint": checkpoint}))
    lines = [
        f"{e},{9 * e},{0.3 + 0.1 * e + 0.01 * seed},{2 - 0.2 * e}" for e in range(5)
    ]  # the last is of the checkpoint
    (run / "history.csv").write_text("\n".join(["epoch,step,val/mood/accuracy,val/loss", *lines]) + "\n")
