"""A study from stored features, against the same study without the store, and against its floor.

Four strategies x three seeds x ten epochs over three frozen encoders (minilm, vit_small, wav2vec2_base; the last two
with random weights, which take as long as trained ones), as one multirun of ``mmbert-train`` in one process.

    with the store      the whole study, from an empty store, measured
    without             one run of one epoch over ``--slice`` rows with ``store.enabled=false``, measured; scaled to all
                        rows, epochs and the final measuring of all runs by the samples that pass through the encoders
    floor               one encoding pass over all samples by hand, and for each strategy a hand-written loop training
                        fusion and heads from arrays in memory: ``--floor-epochs`` epochs, scaled to ten and three seeds

Besides: seconds of an additional run by part, and reading the store against a bare read of the same mapped bytes.

Run: python benchmarks/encode_once.py [--train 1200] [--epochs 10]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_module
from torch.nn.utils.rnn import pad_sequence

from mmbert.core.types import Encoded, State
from mmbert.encoders.audio import build_speech_network, find_bundle
from mmbert.runs.environment import environment
from mmbert.store.use_store import StoreOptions, use_store
from mmbert.training.build import Parts, build

STRATEGIES = ("concat", "mean", "product", "cross_attention")
BATCH = 64


def write_weights(folder: Path) -> dict[str, Path]:
    """Random weights as files, so that every seed and process reads the same."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    networks = {
        "image": timm.create_model("vit_small_patch16_224", num_classes=0),
        "audio": build_speech_network("wav2vec2_base", find_bundle("wav2vec2_base"), {}),
    }
    files = {}
    for name, network in networks.items():
        files[name] = folder / f"{name}.safetensors"
        save_file({key: tensor.contiguous() for key, tensor in network.state_dict().items()}, files[name])
    return files


def words(args: argparse.Namespace, scratch: Path, weights: dict[str, Path]) -> list[str]:
    """StoreOptions of ``mmbert-train`` that all sides share."""
    return [
        *("text=minilm", "image=vit_small", "audio=wav2vec2_base", "encoders.text.remember_mib=0"),
        *(f"encoders.{name}.frozen=true" for name in ("text", "image", "audio")),
        *(f"encoders.{name}.checkpoint={path}" for name, path in weights.items()),
        *sized(sizes(args.train)),
        *("data.splits.test_missing=null", f"store.dir={scratch / 'store'}", "store.max_gib=100"),
        *("logger=csv", "trainer=cpu", f"data.batch_size={BATCH}", f"trainer.max_epochs={args.epochs}"),
        *("callbacks.early_stopping=null", "plots=false"),
    ]


def sizes(train: int) -> dict[str, int]:
    """Rows by split."""
    return {"train": train, "val": train // 8, "test": train // 8, "test_missing": 8}


def sized(counts: dict[str, int]) -> list[str]:
    """The words for so many rows of each split."""
    return [f"data.sizes.{name}={count}" for name, count in counts.items()]


def timed_study(options: list[str], folder: Path) -> tuple[float, list[dict[str, Any]]]:
    """Runs a sweep in one new process -> seconds, and each run's metrics.json."""
    command = [sys.executable, "-m", "mmbert.cli.train", "-m", *options, f"hydra.sweep.dir={folder}"]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    found = sorted(folder.glob("*/metrics.json"), key=lambda path: int(path.parent.name))
    return seconds, [{**json.loads(path.read_text()), "ended": path.stat().st_mtime} for path in found]


def by_part(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of an additional run, medians over all but the first, which imports and fills."""
    later = runs[1:]
    gaps = [b["ended"] - a["ended"] for a, b in zip(runs, later, strict=False)]
    parts = {
        "building": statistics.median(run["build_seconds"] for run in later),
        "finding in the store": statistics.median(run["store_seconds"] for run in later),
        "training": statistics.median(run["fit_seconds"] for run in later),
        "measuring val and test": statistics.median(
            run["wall_seconds"] - run["build_seconds"] - run["store_seconds"] - run["fit_seconds"] for run in later
        ),
        "composing, writing, all else": statistics.median(
            gap - run["wall_seconds"] for gap, run in zip(gaps, later, strict=True)
        ),
        "all": statistics.median(gaps),
    }
    return {name: round(seconds, 2) for name, seconds in parts.items()}


def parts_of(options: list[str]) -> Parts:
    """Data and model of a run, in this process."""
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", overrides=options)
    pl.seed_everything(0, verbose=False)
    return build(cfg)


def encode_by_hand(parts: Parts) -> tuple[float, dict[str, dict[int, tuple[torch.Tensor, torch.Tensor]]]]:
    """One pass of all encoders over all samples, kept in memory -> seconds, {encoder: {row: (tokens, vector)}}."""
    parts.model.eval()
    kept: dict[str, dict[int, tuple[torch.Tensor, torch.Tensor]]] = {name: {} for name in parts.model.encoders}
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    began = time.perf_counter()
    rows = np.concatenate(list(parts.data.rows.values()))
    dataset = {split: parts.data.dataset(split) for split in parts.data.rows}
    samples = [dataset[split][place] for split, numbers in parts.data.rows.items() for place in range(len(numbers))]
    for name, encoder in parts.model.named_encoders().items():
        order = sorted(range(len(rows)), key=lambda n: -size_of(samples[n].prepared[name]))
        if name == "text":  # equal sentences once, as anybody would
            first = {samples[n].prepared[name]: n for n in order if samples[n].prepared[name] is not None}
            order = list(first.values())
        for start in range(0, len(order), BATCH):
            chosen = [n for n in order[start : start + BATCH] if samples[n].prepared[name] is not None]
            with torch.no_grad():
                given = encoder(encoder.processor.collate([samples[n].prepared[name] for n in chosen]))
            for place, n in enumerate(chosen):
                value = given.tokens[place][given.mask[place]].clone(), given.pooled[place].clone()
                kept[name][samples[n].row] = value
                if name == "text":
                    seen[samples[n].prepared[name]] = value
        if name == "text":
            kept[name] |= {s.row: seen[s.prepared[name]] for s in samples if s.prepared[name] is not None}
    return time.perf_counter() - began, kept


def size_of(prepared: Any) -> int:
    """Length of a prepared text or sound; pictures are alike."""
    return 0 if prepared is None else len(prepared)


def train_by_hand(parts: Parts, kept: dict[str, Any], epochs: int) -> float:
    """Seconds of a bare loop over features in memory: fusion and heads, no framework, no validation."""
    model = parts.model.train()
    learnt = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learnt, lr=1e-3)
    rows = parts.data.rows["train"]
    dataset = parts.data.dataset("train")
    labels = {
        int(row): sample.targets for row, sample in zip(rows, map(dataset.__getitem__, range(len(rows))), strict=True)
    }
    began = time.perf_counter()
    for _ in range(epochs):
        for chosen in np.array_split(np.random.permutation(rows), max(1, len(rows) // BATCH)):
            encoded = {
                name: together(kept[name], chosen, model.encoders[name].out_dim, model.reads_tokens) for name in kept
            }
            state = State(model.fusion(encoded), encoded)
            total = torch.zeros(())
            for name, task in model.named_tasks().items():
                total = total + task.loss(task(state), task.collate([labels[int(row)][name] for row in chosen])).mean
            optimizer.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(learnt, 1.0)
            optimizer.step()
    return time.perf_counter() - began


def together(kept: dict[int, Any], rows: np.ndarray, width: int, tokens: bool) -> Encoded:
    """A batch of one modality from memory."""
    nothing = torch.zeros(0, width), torch.zeros(width)
    values = [kept.get(int(row), nothing) for row in rows]
    pooled = torch.stack([vector for _, vector in values])
    if not tokens:
        present = torch.tensor([[len(sequence) > 0] for sequence, _ in values])
        return Encoded(pooled.unsqueeze(1), present, pooled)
    lengths = torch.tensor([len(sequence) for sequence, _ in values])
    padded = pad_sequence([sequence for sequence, _ in values], batch_first=True)
    return Encoded(padded, torch.arange(padded.shape[1]) < lengths[:, None], pooled)


def reading(parts: Parts, options: StoreOptions) -> dict[str, float]:
    """Samples a second through the store, checksums included, against copying the same mapped bytes."""
    use_store(parts.data, parts.model, options)
    result = {}
    for name, source in parts.data.sources.items():
        rows = [int(row) for row in parts.data.rows["train"] if source.row(int(row)) is not None]  # type: ignore[attr-defined]
        ratios = []
        for _ in range(5):
            began = time.perf_counter()
            for row in rows:
                value = source.row(row)
                value.tokens.copy(), value.pooled.copy()
            ours = time.perf_counter() - began
            places = [int(source.places[row]) for row in rows]  # type: ignore[attr-defined]
            slices = []
            for place in places:
                segment, number = source.array_store.segments[place >> 32], place & (2**32 - 1)  # type: ignore[attr-defined]
                record = segment.records[number]
                slices.append((segment._maps["long"], int(record["offset"]) // 4, int(record["length"])))
            began = time.perf_counter()
            for mapped, start, length in slices:
                mapped[start : start + length].copy()
            ratios.append((time.perf_counter() - began) / ours)
        result[name] = round(statistics.median(ratios), 3)
        result[f"{name}_samples_per_second"] = round(len(rows) / ours)
    return result


def main() -> None:
    """Measures all sides, prints the ratios and writes them beside the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=1200)
    parser.add_argument("--slice", type=int, default=200, help="training rows of the run without the store")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--floor-epochs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "encode_once.json")
    args = parser.parse_args()
    runs = len(STRATEGIES) * args.seeds
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        shared = words(args, scratch, write_weights(scratch))
        parts_of(shared)  # builds the demo set, outside all timings
        sweep = [f"fusion={','.join(STRATEGIES)}", f"seed={','.join(map(str, range(args.seeds)))}"]
        seconds, metrics = timed_study([*shared, *sweep], scratch / "with")
        print(f"with the store: {seconds:.0f} s", by_part(metrics), flush=True)
        read = reading(
            parts_of([*shared, "fusion=cross_attention"]), StoreOptions(dir=str(scratch / "store"), max_gib=100)
        )
        print("reading", read, flush=True)
        rest = [word for word in shared if not word.startswith(("trainer.max_epochs", "data.sizes."))]
        few, counts = sizes(args.slice), sizes(args.train)
        rest += [*sized(few), "store.enabled=false", "trainer.max_epochs=1", "fusion=concat", "seed=0"]
        parts_of(rest)  # as above
        _, (one,) = timed_study(rest, scratch / "without")
        each = one["fit_seconds"] / (few["train"] + few["val"])
        passed = args.epochs * (counts["train"] + counts["val"]) + counts["val"] + counts["test"]
        without = runs * passed * each
        print(f"without: one epoch {one['fit_seconds']:.0f} s, all runs {without:.0f} s", flush=True)
        encoding, kept = encode_by_hand(parts_of([*shared, "store.enabled=false"]))
        training = {}
        for strategy in STRATEGIES:
            parts = parts_of([*shared, f"fusion={strategy}"])
            training[strategy] = train_by_hand(parts, kept, args.floor_epochs) / args.floor_epochs
        floor = encoding + args.seeds * args.epochs * sum(training.values())
    result = {
        "what": "a study of 4 strategies x 3 seeds x 10 epochs: with the store, without (scaled), and its floor",
        "seconds_with_store": round(seconds, 1),
        "seconds_without_scaled": round(without, 1),
        "seconds_without_one_epoch": round(one["fit_seconds"], 1),
        "seconds_floor": round(floor, 1),
        "seconds_floor_encoding": round(encoding, 1),
        "seconds_floor_epoch": {name: round(value, 2) for name, value in training.items()},
        "ratio_without_to_with": round(without / seconds, 2),
        "ratio_with_to_floor": round(seconds / floor, 3),
        "encoding_seconds_in_first_run": metrics[0]["store_seconds"],
        "additional_run_seconds": by_part(metrics),
        "reading_to_bare_copy": read,
        "rows": counts,
        "rows_without": few,
        "runs": runs,
        "epochs": args.epochs,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "environment": environment(),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{result['ratio_without_to_with']} times faster than without; {result['ratio_with_to_floor']} x the floor")


if __name__ == "__main__":
    main()
