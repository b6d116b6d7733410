"""Clips a second of one core: pictures and sound as runs read them, beside the shortest code that decodes the same.

Clips of H.264 and AAC are made in a temporary folder, moving noise over a gradient, so that decoding is real work.
In one process of one thread, as a loader's worker is, by its own processor time, and in turns:

- bare pictures: PyAV decodes a clip to its end; the wanted pictures become arrays, and are thrown away.
- pictures: the same pictures as a run reads them: upright, scaled, cropped and normalised for the network.
- bare sound: PyAV decodes the track and resamples it to 16 kHz, one channel.
- sound: the same as a run reads it, checks included.
- a first epoch: the loader of training reads both from each clip and collates them.
- a stored epoch: the frozen encoders' outputs come from the store instead.

Run: python benchmarks/clips.py [--clips 24] [--seconds 10] [--rounds 3]
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_named
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.video import VideoEncoder
from mmbert.fusion.concat import ConcatFusion
from mmbert.model import MultimodalModel
from mmbert.runs.environment import environment
from mmbert.store.use_store import StoreOptions, use_store
from mmbert.tasks.classification import Classification

RATE, WIDTH, HEIGHT, FRAMES, HERTZ = 25, 640, 360, 8, 16_000


def make_clip(path: Path, seconds: int, seed: int) -> None:
    """A clip of H.264 and AAC: blocks of noise that move over a gradient, and noise to hear."""
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    slope = np.linspace(0, 1, WIDTH)[None, :, None]
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=RATE)
        pictures.width, pictures.height, pictures.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=44_100, layout="mono")
        for number in range(seconds * RATE):
            image = (np.roll(blocks, 3 * number, 1) * slope).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        samples = (0.1 * random.standard_normal(seconds * 44_100)).astype(np.float32)
        for start in range(0, len(samples), 1024):
            part = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], format="fltp", layout="mono")
            part.rate, part.pts = 44_100, start
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))


def bare_pictures(path: Path, seconds: int) -> None:
    """Decodes to the end; the middles of eight stretches become arrays."""
    wanted = {int((place + 0.5) * seconds * RATE / FRAMES) for place in range(FRAMES)}
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        found = [
            frame.to_ndarray(format="rgb24")
            for number, frame in enumerate(container.decode(video=0))
            if number in wanted
        ]
    assert len(found) == FRAMES


def bare_sound(path: Path) -> None:
    """Decodes and resamples the track."""
    resampler = av.AudioResampler("flt", "mono", HERTZ)
    with av.open(str(path)) as container:
        parts = [part.to_ndarray() for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    np.concatenate(parts, 1)


def data_of(table: Path, workers: int) -> tuple[MultimodalData, MultimodalModel]:
    """Frozen encoders over both tracks of the clips, and the data bound to them."""
    encoders = {
        "video": VideoEncoder("efficientnet_lite0", pretrained=False, frames=FRAMES, frozen=True),
        "audio": MelspecCNN(frozen=True),
    }
    fusion = ConcatFusion({name: encoder.out_dim for name, encoder in encoders.items()}, 32)
    tasks = {"label": Classification(fusion.out_dim, "label", ["a", "b"])}
    model = MultimodalModel(encoders, fusion, tasks)
    data = MultimodalData(table, {"video": "clip", "audio": "clip"}, batch_size=8, num_workers=workers)
    data.bind(
        {name: encoder.processor for name, encoder in encoders.items()},
        {name: task.without_weights() for name, task in tasks.items()},
    )
    return data, model


def seconds_of(function: Callable[[], Any]) -> float:
    """How long a call takes the processor."""
    began = time.process_time()
    function()
    return time.process_time() - began


def read_track(name: str, processor: Any, paths: list[Path]) -> None:
    """Each clip's track as a run prepares it."""
    modality = modality_named(name)
    for path in paths:
        processor.prepare(modality.read(path.name, path.parent))


def main() -> None:
    """Measures, prints a table and keeps the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "clips.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{number}.mp4" for number in range(args.clips)]
        for number, path in enumerate(paths):
            make_clip(path, args.seconds, number)
        with (folder / "table.csv").open("w", newline="") as file:
            rows = [(path.name, "ab"[n % 2], ["train", "train", "val", "test"][n % 4]) for n, path in enumerate(paths)]
            csv.writer(file).writerows([("clip", "label", "split"), *rows])
        fresh, _ = data_of(folder / "table.csv", 0)
        stored, model = data_of(folder / "table.csv", 0)
        use_store(stored, model, StoreOptions(dir=str(folder / "store")))
        share = args.clips / len(fresh.rows["train"])

        def epoch(data: MultimodalData) -> None:
            for _ in data.loader("train"):
                pass

        def each(function: Callable[[Path], None]) -> None:
            for path in paths:
                function(path)

        ways: dict[str, tuple[Callable[[], Any], float]] = {
            "bare pictures": (lambda: each(lambda path: bare_pictures(path, args.seconds)), 1),
            "pictures": (lambda: read_track("video", fresh.processors["video"], paths), 1),
            "bare sound": (lambda: each(bare_sound), 1),
            "sound": (lambda: read_track("audio", fresh.processors["audio"], paths), 1),
            "a first epoch": (lambda: epoch(fresh), share),
            "a stored epoch": (lambda: epoch(stored), share),
        }
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(args.rounds):
            for way, (function, scale) in ways.items():
                rates[way].append(args.clips / (scale * seconds_of(function)))
    medians = {way: statistics.median(found) for way, found in rates.items()}
    for way, found in rates.items():
        print(f"{way:<16}{medians[way]:>10.1f} clips a second ({min(found):.1f} … {max(found):.1f})")
    both = 1 / (1 / medians["bare pictures"] + 1 / medians["bare sound"])
    ratios = {
        "pictures": medians["pictures"] / medians["bare pictures"],
        "sound": medians["sound"] / medians["bare sound"],
        "a first epoch": medians["a first epoch"] / both,
        "a stored epoch": medians["a stored epoch"] / both,
    }
    for way, ratio in ratios.items():
        print(f"{way} beside bare decoding: {ratio:.2f}")
    result = {"arguments": {k: v for k, v in vars(args).items() if k != "out"}, "rates": rates, "ratios": ratios}
    args.out.write_text(json.dumps({**result, "environment": environment()}, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
