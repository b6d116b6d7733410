"""Does memory grow with the table? Peak memory of the same run on 1,000 and on 200,000 rows.

Two processes train the same small model for the same number of steps: one on a table of 1,000 training rows, one on
200,000. Validation and test have 500 rows in both, for what a model said of each sample is kept until it is written.
The peak is what ``metrics.json`` says, resident memory of the whole job. Tables are CSV with texts that are all
different, pictures and sounds (files that many rows share) and a label.

Run: python benchmarks/memory.py [--rows 1000 200000] [--workers 2]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from mmbert.runs.environment import environment

FILES = 50
EVALUATED = 500


def make_table(folder: Path, rows: int) -> Path:
    """A table of ``rows`` training rows, and the files that it names."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for number in range(FILES):
        Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        soundfile.write(folder / f"{number}.wav", random.uniform(-0.1, 0.1, 4000), 16_000)
    path = folder / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "image", "audio", "split", "label"])
        for split, count in (("train", rows), ("val", EVALUATED), ("test", EVALUATED)):
            for row in range(count):
                text = f"the {split} sample number {row}, about as long as a sentence that somebody would write"
                writer.writerow([text, f"{row % FILES}.png", f"{row * 7 % FILES}.wav", split, "ab"[row % 2]])
    return path


def peak_mib(table: Path, folder: Path, workers: int) -> float:
    """Peak resident memory of one run in a process of its own, in MiB."""
    options = ["data=manifest", f"data.path={table}", f"data.num_workers={workers}", "data.batch_size=32"]
    options += ["text=tiny", "image=tiny", "audio=tiny", "logger=none", "trainer=cpu", "trainer.max_epochs=1"]
    options += ["+trainer.limit_train_batches=30", f"hydra.run.dir={folder}"]
    command = [sys.executable, "-m", "mmbert.cli.train", *options]
    quiet = {**os.environ, "HF_DATASETS_CACHE": str(folder.parent / "cache")}
    subprocess.run(command, check=True, env=quiet, stdout=subprocess.DEVNULL)
    return float(json.loads((folder / "metrics.json").read_text())["peak_memory_mib"])


def main() -> None:
    """Prints both peaks and writes them beside the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs=2, default=[1_000, 200_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "memory.json")
    args = parser.parse_args()
    peaks: dict[int, list[float]] = {rows: [] for rows in args.rows}
    with tempfile.TemporaryDirectory() as scratch:
        tables = {rows: make_table(Path(scratch) / str(rows), rows) for rows in args.rows}
        for repeat in range(args.repeats + 1):
            for rows, table in tables.items():
                peak = peak_mib(table, Path(scratch) / f"run-{rows}-{repeat}", args.workers)
                if repeat:  # the first reads the table into the cache, once in a table's life
                    peaks[rows].append(peak)
                print(f"{rows:>8} rows: {peak:.1f} MiB{'' if repeat else ' (first reading)'}", flush=True)
    few, many = (max(peaks[rows]) for rows in args.rows)
    result = {
        "what": "peak resident memory of a run by training rows, MiB; the largest of the repeats",
        "rows": args.rows,
        "peak_mib": peaks,
        "difference_mib": round(many - few, 1),
        "workers": args.workers,
        "environment": environment(),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{args.rows[1]} rows take {result['difference_mib']} MiB more than {args.rows[0]}")


if __name__ == "__main__":
    main()
