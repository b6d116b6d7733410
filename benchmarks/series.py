"""Series a second of one core: files as runs read them, beside the shortest code that gives the same numbers.

Files of accelerometers are made in a temporary folder: 60 seconds at 100 rows a second, uneven times, six channels, and
one cell in a hundred empty. In one process of one thread, as a loader's worker is, by its own processor time, in turns:

- bare: pandas parses the file, and NumPy interpolates each channel at the moments of the grid.
- a run's: the file is recognised and checked, gaps are masked, channels are interpolated and standardised.

Run: python benchmarks/series.py [--files 40] [--rounds 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mmbert.data.modalities.registry import modality_of
from mmbert.encoders.series import SeriesEncoder
from mmbert.runs.environment import environment

CHANNELS, SECONDS, RATE = ["ax", "ay", "az", "gx", "gy", "gz"], 60, 100.0


def make_frame(seed: int) -> pd.DataFrame:
    """One file's rows."""
    random = np.random.default_rng(seed)
    count = int(SECONDS * RATE)
    times = np.cumsum(random.uniform(0.5, 1.5, count)) / RATE
    values = random.standard_normal((count, len(CHANNELS))).cumsum(0)
    values[random.random(values.shape) < 0.01] = np.nan
    return pd.DataFrame({"time": times, **dict(zip(CHANNELS, values.T, strict=True))})


def bare(path: Path, rate: float, steps: int) -> np.ndarray:
    """(L, C): the file on the grid, gaps or not."""
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    times = frame["time"].to_numpy()
    moments = times[0] + np.arange(min(steps, int((times[-1] - times[0]) * rate) + 1)) / rate
    columns = []
    for name in CHANNELS:
        values = frame[name].to_numpy()
        there = np.isfinite(values)
        columns.append(np.interp(moments, times[there], values[there]))
    return np.stack(columns, 1).astype(np.float32)


def seconds_of(function: Callable[[Path], object], paths: list[Path]) -> float:
    """How long the files take the processor."""
    began = time.process_time()
    for path in paths:
        function(path)
    return time.process_time() - began


def main() -> None:
    """Measures, prints a table and keeps the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "series.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    known = {name: {"mean": 0.0, "std": 1.0} for name in CHANNELS}
    steps = int(2 * SECONDS * args.rate)
    processor = SeriesEncoder(statistics=known, rate=args.rate, max_steps=steps).processor
    modality = modality_of(processor)
    rates: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for ending in ("csv", "parquet"):
            paths = [folder / f"{number}.{ending}" for number in range(args.files)]
            for number, path in enumerate(paths):
                frame = make_frame(number)
                frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path, index=False)
            ways: dict[str, Callable[[Path], object]] = {
                "bare": lambda path: bare(path, args.rate, steps),
                # from the bytes, for what was read last is kept
                "a run's": lambda path: processor.prepare(modality.read({"bytes": path.read_bytes()}, folder)),
            }
            found: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(args.rounds):
                for way, function in ways.items():
                    found[way].append(args.files / seconds_of(function, paths))
            rates[ending] = found
    ratios = {
        ending: statistics.median(found["a run's"]) / statistics.median(found["bare"])
        for ending, found in rates.items()
    }
    for ending, found in rates.items():
        for way, each in found.items():
            print(f"{ending:<8} {way:<8} {statistics.median(each):>8.1f} files a second")
        print(f"{ending:<8} beside bare: {ratios[ending]:.2f}")
    result = {"arguments": {k: v for k, v in vars(args).items() if k != "out"}, "rates": rates, "ratios": ratios}
    args.out.write_text(json.dumps({**result, "environment": environment()}, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
