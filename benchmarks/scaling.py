"""What a sample, a process and a megabyte of gradients cost, for docs/scaling.md: measured here, multiplied there.

- order: seconds and bytes that an epoch's order takes in each process, of samples in any order (``SeededSampler``) and
  block after block (``BlockOrder``), for growing numbers of samples.
- index: a Parquet set of a text, a label and a picture, streamed: seconds to index it, bytes of the index on the disk,
  seconds to open it again, and the memory of a process that holds it with its labels checked, for growing numbers of
  rows. The pictures are never read.
- exchange: seconds in which processes add up gradients of some megabytes, by gloo over loopback on the cores that
  are there: the floor of what CPUs do on one machine, not what a network or NCCL does.

Each size runs in a process of its own, whose peak is measured.

Run: python benchmarks/scaling.py [--samples 8] [--rows 6]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results" / "scaling.json"
#: Samples of a block, as of a shard or a row group.
BLOCK = 1000
PROCESSES = (2, 4)
MEGABYTES = (1, 10, 100)


def peak_mib() -> float:
    """Of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_order(kind: str, samples: int) -> dict[str, float]:
    """One epoch's order, made and gone through to its first sample."""
    from mmbert.data.loading.block_order import BlockOrder
    from mmbert.data.loading.samplers import SeededSampler

    places = range(samples)
    blocks = np.arange(samples, dtype=np.int64) // BLOCK
    sampler = SeededSampler(places, 0) if kind == "any" else BlockOrder(places, 0, blocks, 10_000)
    before, began = peak_mib(), time.perf_counter()
    next(iter(sampler))
    return {"seconds": round(time.perf_counter() - began, 3), "mib": round(peak_mib() - before, 1)}


def write_set(folder: Path, rows: int) -> None:
    """A Parquet set of so many rows, in files of 100,000."""
    import pyarrow as pa
    from pyarrow import parquet

    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for number, start in enumerate(range(0, rows, 100_000)):
        count = min(100_000, rows - start)
        table = pa.table(
            {
                "text": [f"the caption of sample {start + row}, some fifty letters long" for row in range(count)],
                "label": [f"class {(start + row) % 10}" for row in range(count)],
                "image": pa.array(
                    [{"bytes": b"picture", "path": f"{start + row}.jpg"} for row in range(count)], picture
                ),
            }
        )
        parquet.write_table(table, folder / f"train-{number:05d}.parquet", row_group_size=BLOCK)


def measure_index(folder: Path) -> dict[str, float]:
    """Opens a streamed set for a task, with the home that the environment names."""
    from mmbert.data.huggingface import HuggingFaceData
    from mmbert.encoders.text import TextEncoder  # noqa: F401 - imports belong to every run, and to no row
    from mmbert.tasks.classification import Classification

    class Words:
        kind = "text"

    before, began = peak_mib(), time.perf_counter()
    data = HuggingFaceData(folder, streaming=True, batch_size=8, num_workers=0, split={"val": 0.01, "test": 0.01})
    opened = time.perf_counter() - began
    data.bind(
        {"text": Words()}, {"label": Classification(4, "label", [f"class {n}" for n in range(10)]).without_weights()}
    )
    return {
        "open_seconds": round(opened, 2),
        "bind_seconds": round(time.perf_counter() - began - opened, 2),
        "mib": round(peak_mib() - before, 1),
    }


def measure_exchange(megabytes: int, rank: int, world: int, address: str) -> dict[str, float]:
    """Median seconds of adding up so many megabytes over all processes."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=world)
    gradients, seconds = torch.ones(megabytes * 2**18), []
    for _ in range(12):
        dist.barrier()
        began = time.perf_counter()
        dist.all_reduce(gradients)
        seconds.append(time.perf_counter() - began)
    dist.destroy_process_group()
    return {"seconds": round(float(np.median(seconds[2:])), 5)}


def in_own_process(*words: str, **environment: str) -> dict[str, float]:
    """What this file prints when it is run with such words."""
    done = subprocess.run(
        [sys.executable, __file__, *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def index_costs(rows: int) -> dict[str, Any]:
    """A set of so many rows: indexed, then opened again."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, home = Path(scratch) / "set", Path(scratch) / "home"
        folder.mkdir()
        write_set(folder, rows)
        first = in_own_process("--index", str(folder), MMBERT_HOME=str(home))
        again = in_own_process("--index", str(folder), MMBERT_HOME=str(home))
        size = sum(path.stat().st_size for path in (home / "parquet").rglob("*") if path.is_file())
        return {
            "index_seconds": round(first["open_seconds"] - again["open_seconds"], 2),
            "index_bytes_a_row": round(size / rows, 1),
            **again,
        }


def exchange_costs(megabytes: int, world: int) -> float:
    """Seconds, the longest of all processes."""
    with tempfile.TemporaryDirectory() as scratch:
        words = [str(megabytes), str(world), f"file://{scratch}/meet"]
        running = [
            subprocess.Popen(
                [sys.executable, __file__, "--exchange", *words, str(rank)], stdout=subprocess.PIPE, text=True
            )
            for rank in range(world)
        ]
        return max(json.loads(process.communicate()[0].strip().splitlines()[-1])["seconds"] for process in running)


def main() -> None:
    """Measures, prints, and writes results/scaling.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=8, help="the largest order is of 10 to this power")
    parser.add_argument("--rows", type=int, default=6, help="the largest index is of 10 to this power")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--order", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--index", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--exchange", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.order:
        print(json.dumps(measure_order(args.order[0], int(args.order[1]))))
    elif args.index:
        print(json.dumps(measure_index(args.index)))
    elif args.exchange:
        megabytes, world, address, rank = args.exchange
        print(json.dumps(measure_exchange(int(megabytes), int(rank), int(world), address)))
    else:
        measure_all(args.samples, args.rows, args.out)


def measure_all(samples: int, rows: int, out: Path) -> None:
    """Every part, written down."""
    from mmbert.runs.environment import environment

    results: dict[str, Any] = {
        "order": {
            kind: {f"1e{power}": in_own_process("--order", kind, str(10**power)) for power in range(5, samples + 1)}
            for kind in ("any", "blocks")
        },
        "index": {f"1e{power}": index_costs(10**power) for power in range(4, rows + 1)},
        "exchange_seconds": {
            str(world): {str(megabytes): exchange_costs(megabytes, world) for megabytes in MEGABYTES}
            for world in PROCESSES
        },
    }
    print(json.dumps(results, indent=2))
    out.write_text(json.dumps({**results, "environment": environment()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
