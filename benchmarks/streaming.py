"""Packed shards against loose files, streamed features against a bare read, and memory against the number of samples.

All reading begins with a cold cache: the files are written to the disk and thrown out of the page cache by
``posix_fadvise``. What is read goes through the loaders that training has. Rounds take turns; medians are compared.

- loose / packed: sequences of vectors (.npy files), one epoch of train by ``data=manifest`` and by ``data=webdataset``.
- parquet, parquet again: the same in Parquet, row groups of 256 samples, by ``data=huggingface data.streaming=true``:
  an epoch that unpacks row groups, and one that finds them unpacked.
- bare: the same shards read by ``read`` calls of 8 MiB, and nothing made of them.
- memory: the peak of a process that reads 200 batches of a set of 1,000 samples, and of one whose index has 10^6 (its
  locators point into the same shard).

Run: python benchmarks/streaming.py [--mib 512] [--lengths 16 128 512] [--rounds 3] [--workers 1] [--folder DIR]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pyarrow import parquet

from mmbert.data.datamodule import MultimodalData
from mmbert.data.huggingface import HuggingFaceData
from mmbert.data.modalities.features import as_sequence
from mmbert.data.modalities.registry import modality_named
from mmbert.data.streaming.description import DESCRIPTION, INDEX, ShardDescription
from mmbert.data.streaming.locators import BLOCK_COLUMN, KEY_COLUMN
from mmbert.data.streaming.packing import pack_shards
from mmbert.data.webdataset import WebDatasetData
from mmbert.runs.environment import environment
from mmbert.tasks.classification import Classification

WIDTH = 256
BATCHES_OF_MEMORY = 200


class Vectors:
    """Takes sequences as they are: the benchmark is of reading."""

    kind = "features"

    def prepare(self, raw: Any) -> torch.Tensor:
        """Arrays of a file -> (L, D)."""
        return torch.from_numpy(as_sequence(raw))

    def collate(self, prepared: list[Any]) -> dict[str, torch.Tensor]:
        """Sequences of one length -> (B, L, D)."""
        tokens = torch.stack(prepared)
        return {"tokens": tokens, "mask": torch.ones(tokens.shape[:2], dtype=torch.bool)}


def make_loose(folder: Path, samples: int, length: int) -> Path:
    """A table of so many sequences (length, WIDTH) float32, each in a file."""
    random = np.random.default_rng(0)
    (folder / "vectors").mkdir(parents=True)
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["vectors", "label", "split"])
        for number in range(samples):
            name = f"vectors/{number:07}.npy"
            np.save(folder / name, random.standard_normal((length, WIDTH), np.float32))
            split = "train" if number < samples - 20 else ("val", "test")[number % 2]
            writer.writerow([name, "ab"[number % 2], split])
    return folder / "table.csv"


def make_parquet(table: Path, folder: Path) -> None:
    """The same samples in a Parquet file a split, the files' bytes in their cells."""
    folder.mkdir()
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for split in ("train", "val", "test"):
        own = [row for row in rows if row["split"] == split]
        schema = pa.schema([("vectors", kind), ("label", pa.string())])
        with parquet.ParquetWriter(folder / f"{split}.parquet", schema, compression="none") as writer:
            for start in range(0, len(own), 256):
                part = own[start : start + 256]
                cells = [
                    {"bytes": (table.parent / row["vectors"]).read_bytes(), "path": row["vectors"]} for row in part
                ]
                labels = pa.array([row["label"] for row in part])
                writer.write_table(pa.table([pa.array(cells, kind), labels], schema=schema))


def opened(kind: Callable[..., MultimodalData], path: Path, workers: int) -> MultimodalData:
    """The data, ready to be read."""
    data = kind(path, batch_size=64, num_workers=workers, check_files=False)
    task = Classification(4, "label", ["a", "b"]).without_weights()
    data.bind({"vectors": Vectors()}, {"label": task})
    return data


def chill(folder: Path) -> None:
    """Throws the files of a folder out of the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def seconds_of_epoch(data: MultimodalData) -> float:
    """From the first request to the last batch of train."""
    begin = time.perf_counter()
    seen = sum(int((batch.rows >= 0).sum()) for batch in data.train_dataloader())
    taken = time.perf_counter() - begin
    if seen != len(data.rows["train"]):
        raise SystemExit(f"{seen} samples of {len(data.rows['train'])} were read")
    return taken


def seconds_of_bare_read(folder: Path) -> float:
    """Of all shards of train, and nothing made of them."""
    begin = time.perf_counter()
    for path in sorted(folder.glob("train-*.tar")):
        with path.open("rb", buffering=0) as file:
            while file.read(8 * 2**20):
                pass
    return time.perf_counter() - begin


def compared(folder: Path, samples: int, length: int, args: argparse.Namespace) -> dict[str, Any]:
    """One set, as files and as shards, read in turns."""
    table, shards = make_loose(folder / "loose", samples, length), folder / "shards"
    pack_shards(MultimodalData(table, num_workers=0), {"vectors": modality_named("features")}, shards, 64 * 2**20)
    make_parquet(table, folder / "parquet")
    names = ("loose", "packed", "parquet", "parquet again", "bare")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(args.rounds):
        for name, kind, path in (("loose", MultimodalData, table), ("packed", WebDatasetData, shards)):
            data = opened(kind, path, args.workers)
            chill(path if path.is_dir() else path.parent)
            seconds[name].append(seconds_of_epoch(data))
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            splits = {"train": "train", "val": "validation", "test": "test"}  # the library calls them so
            data = opened(
                partial(HuggingFaceData, streaming=True, cache_dir=cache, splits=splits),
                folder / "parquet",
                args.workers,
            )
            for name in ("parquet", "parquet again"):
                chill(folder / "parquet")
                chill(Path(cache))
                seconds[name].append(seconds_of_epoch(data))
        chill(shards)
        seconds["bare"].append(seconds_of_bare_read(shards))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "samples": samples,
        "bytes_a_sample": length * WIDTH * 4,
        "seconds": {name: [round(each, 3) for each in times] for name, times in seconds.items()},
        "packed_over_loose": round(medians["loose"] / medians["packed"], 3),
        "packed_over_bare_read": round(medians["bare"] / medians["packed"], 3),
        "parquet_over_loose": round(medians["loose"] / medians["parquet"], 3),
        "parquet_again_over_loose": round(medians["loose"] / medians["parquet again"], 3),
    }


def simulated(shards: Path, folder: Path, rows: int) -> Path:
    """An index of so many rows whose locators point into existing shards."""
    folder.mkdir()
    for path in shards.glob("*.tar"):
        (folder / path.name).symlink_to(path)
    index = parquet.read_table(shards / INDEX)
    train = index.filter(pc.equal(index.column("split"), "train"))
    rest = index.filter(pc.not_equal(index.column("split"), "train"))
    taken = train.take(pa.array(np.sort(np.arange(rows) % len(train))))
    made = pa.concat_tables([taken, rest])
    made = made.set_column(0, KEY_COLUMN, pa.array([f"{n:09}" for n in range(len(made))]))
    assert made.column_names[1] == BLOCK_COLUMN
    parquet.write_table(made, folder / INDEX)
    described = ShardDescription.of((shards / DESCRIPTION).read_bytes(), "")
    (folder / DESCRIPTION).write_text(described.text().replace(described.fingerprint, f"{rows:016}"))
    return folder


def peak_mib(folder: Path) -> float:
    """Peak resident memory of a process of its own that reads some batches."""
    command = [sys.executable, __file__, "--memory-of", str(folder)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def print_peak(folder: Path) -> None:
    """What ``peak_mib`` asks for."""
    for number, _ in enumerate(opened(WebDatasetData, folder, 0).train_dataloader()):
        if number == BATCHES_OF_MEMORY:
            break
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Measures, prints, and writes results/streaming.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=512, help="of vectors in each set")
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 128, 512], help="vectors a sample, 1 KiB each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rows", type=int, nargs=2, default=[1000, 1_000_000], help="of the indexes for memory")
    parser.add_argument(
        "--folder", type=Path, help="on the disk that is measured; default: the one for temporary files"
    )
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        print_peak(args.memory_of)
        return
    by_length: dict[int, dict[str, Any]] = {}
    peaks: dict[int, float] = {}
    for length in args.lengths:
        with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
            folder = Path(scratch)
            os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
            by_length[length] = compared(folder, args.mib * 1024 // length, length, args)
            if not peaks:
                for rows in args.rows:
                    peaks[rows] = peak_mib(simulated(folder / "shards", folder / f"rows-{rows}", rows))
    few, most = args.rows
    result = {
        "workers": args.workers,
        "vectors_a_sample": by_length,
        "peak_mib_by_rows": peaks,
        "bytes_of_memory_a_row": round((peaks[most] - peaks[few]) * 2**20 / (most - few)),
        "environment": environment(),
    }
    print(json.dumps(result, indent=1, default=str))
    out = Path(__file__).parent / "results" / "streaming.json"
    out.write_text(json.dumps(result, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
