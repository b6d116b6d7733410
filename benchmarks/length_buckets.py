"""Training with and without length buckets, on texts and sounds of very different lengths.

Lengths are log-normal (sigma 1), as those of utterances and reviews are; a small transformer reads the texts, a small
convolutional network the sounds, and both learn. Epochs of the two alternate; throughput is samples a second of whole
epochs, without the first.

Run: python benchmarks/length_buckets.py [--rows 1024] [--rounds 3]
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import soundfile
import torch
from hydra import compose, initialize_config_module

from mmbert.runs.environment import environment
from mmbert.store.use_store import StoreOptions, use_store
from mmbert.training.build import Parts, build

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def make_table(folder: Path, rows: int) -> Path:
    """Texts of 3 to 120 words and sounds of 0.3 to 10 s, long ones together as in speech."""
    random = np.random.default_rng(0)
    scale = random.lognormal(0, 1, rows)
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "audio", "label", "split"])
        for row in range(rows):
            words = int(np.clip(12 * scale[row] * random.lognormal(0, 0.2), 3, 120))
            seconds = float(np.clip(1.2 * scale[row] * random.lognormal(0, 0.2), 0.3, 10))
            soundfile.write(folder / f"{row}.flac", 0.1 * random.standard_normal(int(16_000 * seconds)), 16_000)
            split = "val" if row % 64 == 0 else "test" if row % 64 == 1 else "train"
            writer.writerow([" ".join(random.choice(WORDS, words)), f"{row}.flac", "ab"[row % 2], split])
    return folder / "table.csv"


def parts_of(table: Path, bucketed: bool, batch: int) -> Parts:
    """Data and model, prepared inputs from a store, so that decoding is not what is measured."""
    words = [
        *("data=manifest", f"data.path={table}", "image=none", "text=minilm", "encoders.text.frozen=false"),
        *("encoders.text.config={num_hidden_layers: 3}", "audio=melspec_cnn", "fusion=cross_attention"),
        *(f"data.bucket_by_length={bucketed}".lower(), f"data.batch_size={batch}", "data.num_workers=1"),
    ]
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", overrides=words)
    pl.seed_everything(0, verbose=False)
    parts = build(cfg)
    use_store(parts.data, parts.model, StoreOptions(dir=str(table.parent / "store")))
    return parts


def epoch(parts: Parts, optimizer: torch.optim.Optimizer, loader: Any) -> tuple[float, float]:
    """One epoch of training -> samples a second, and the share of text and sound positions that are padding."""
    parts.model.train()
    samples, real, all_positions = 0, 0, 0
    began = time.perf_counter()
    for batch in loader:
        outputs = parts.model(batch.inputs).outputs
        loss = sum(
            task.loss(outputs[name], batch.targets[name]).mean for name, task in parts.model.named_tasks().items()
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
        samples += len(batch)
        for part in batch.inputs.values():
            real += int(part["mask"].sum())
            all_positions += part["mask"].numel()
    return samples / (time.perf_counter() - began), 1 - real / all_positions


def main() -> None:
    """Prints the ratio and writes it beside the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "length_buckets.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = make_table(Path(folder), args.rows)
        sides = {}
        for name in ("shuffled", "bucketed"):
            parts = parts_of(table, name == "bucketed", args.batch)
            learnt = [p for p in parts.model.parameters() if p.requires_grad]
            sides[name] = (parts, torch.optim.AdamW(learnt, lr=1e-4), parts.data.train_dataloader())
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for number in range(args.rounds + 1):
            for name, side in sides.items():
                found = epoch(*side)
                if number:
                    measured[name].append(found)
    ratios = [b[0] / s[0] for b, s in zip(measured["bucketed"], measured["shuffled"], strict=True)]
    result = {
        "what": "training throughput with length buckets / without, on log-normal lengths",
        "ratio_median": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "samples_per_second": {n: round(statistics.median(v for v, _ in m), 1) for n, m in measured.items()},
        "padding": {name: round(statistics.median(p for _, p in m), 3) for name, m in measured.items()},
        "rows": args.rows,
        "batch_size": args.batch,
        "environment": environment(),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print({name: value for name, value in result.items() if name != "environment"})


if __name__ == "__main__":
    main()
