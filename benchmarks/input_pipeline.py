"""How fast samples reach the model, against bare decoding of the same files, and against the same work by hand.

Bare decoding is what nobody can do without: ``PIL.Image.open(...).convert("RGB")`` and ``soundfile.read(...)`` of the
same files, in as many processes as mmbert has workers, the results thrown away where they are made. mmbert's side is
the loader as a run uses it: cells looked up, files decoded and checked, pictures scaled and normalised, sounds
resampled and cut, texts tokenised, all of it collated and sent to the main process. By hand is the shortest code that
gives a network the same: PIL and torchvision's transforms, soundfile and torchaudio's resampler, the same tokenizer,
padding and a stack, no checks, no missing modalities, no labels. Stored is mmbert's loader as every run of mmbert-train
has it from its second epoch on, and a run on data that were seen before from the first: what preprocessing, and the
frozen text encoder, give is read from the store. Rounds of the four take turns.

Three kinds of data: ``demo`` (talking_digits, files of a few kilobytes), ``photos`` (JPEG 640 x 480, speech-like FLAC
of 5 s at 16 kHz) and ``large`` (JPEG 2048 x 1536, FLAC of 10 s at 44.1 kHz).

Run: python benchmarks/input_pipeline.py [--workers 2] [--rounds 5]
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
import soundfile
import torch
import torchaudio
from hydra import compose, initialize_config_module
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from mmbert.data.datamodule import MultimodalData
from mmbert.runs.environment import environment
from mmbert.store.use_store import StoreOptions, use_store
from mmbert.training.build import build

#: pixels (width, height), seconds, hertz, rows
KINDS = {"photos": ((640, 480), 5.0, 16_000, 600), "large": ((2048, 1536), 10.0, 44_100, 120)}
ENCODERS = {
    "demo": ["text=minilm", "image=resnet_mini", "audio=melspec_cnn"],
    "photos": ["text=minilm", "image=efficientnet_lite0", "audio=melspec_cnn"],
    "large": ["text=minilm", "image=efficientnet_lite0", "audio=melspec_cnn"],
}


class Bare(Dataset[int]):
    """Decodes a row's files and gives their number."""

    def __init__(self, files: list[tuple[str | None, str | None]]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> int:
        picture, sound = self.files[index]
        if picture:
            with Image.open(picture) as image:
                image.convert("RGB")
        if sound:
            soundfile.read(sound, dtype="float32")
        return index


class ByHand(Dataset[tuple[list[int], torch.Tensor, torch.Tensor]]):
    """What a researcher would write for this one table."""

    def __init__(self, rows: list[tuple[str, str, str]], data: MultimodalData) -> None:
        self.rows = rows
        image, self.audio, text = (data.processors[name] for name in ("image", "audio", "text"))
        self.transform = transforms.Compose(
            [
                transforms.Resize(min(image.size), transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(image.size),
                transforms.ToTensor(),
                transforms.Normalize(image.mean.flatten().tolist(), image.std.flatten().tolist()),
            ]
        )
        self.tokenizer, self.max_tokens = text.tokenizer, text.max_tokens
        self.resamplers: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[list[int], torch.Tensor, torch.Tensor]:
        text, picture, sound = self.rows[index]
        with Image.open(picture) as image:
            pixels = self.transform(image.convert("RGB"))
        samples, rate = soundfile.read(sound, dtype="float32")
        wave, wanted = torch.from_numpy(samples), self.audio.sample_rate_hz
        if rate != wanted:
            resampler = self.resamplers.setdefault(rate, torchaudio.transforms.Resample(rate, wanted))
            wave = resampler(wave)
        wave = wave[: int(self.audio.max_seconds * wanted)]
        ids = self.tokenizer(text, truncation=True, max_length=self.max_tokens)["input_ids"]
        return ids, pixels, wave

    @staticmethod
    def collate(samples: list[tuple[list[int], torch.Tensor, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Padded ids and sounds, stacked pictures."""
        pad = torch.nn.utils.rnn.pad_sequence
        ids, pixels, waves = zip(*samples, strict=True)
        return {
            "ids": pad([torch.tensor(i) for i in ids], batch_first=True),
            "pixels": torch.stack(pixels),
            "waves": pad(list(waves), batch_first=True),
        }


def make_files(folder: Path, size: tuple[int, int], seconds: float, rate: int, rows: int) -> Path:
    """Photographs (crops of scikit-learn's two), sounds with a falling spectrum, and a table that names them."""
    random = np.random.default_rng(0)
    folder.mkdir()
    photos = [Image.fromarray(image) for image in load_sample_images().images]
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "image", "audio", "split", "label"])
        for row in range(rows):
            photo = photos[row % 2]
            left, top = (int(random.integers(0, side // 3)) for side in photo.size)
            photo.crop((left, top, *photo.size)).resize(size).save(folder / f"{row}.jpg", quality=90)
            noise = np.cumsum(random.standard_normal(int(seconds * rate)))
            sound = noise - np.convolve(noise, np.ones(400) / 400, "same")
            soundfile.write(folder / f"{row}.flac", 0.3 * sound / np.abs(sound).max(), rate)
            split = "train" if row < rows - 2 else "val" if row < rows - 1 else "test"
            writer.writerow(
                [f"a photograph, number {row}, and a sound", f"{row}.jpg", f"{row}.flac", split, "ab"[row % 2]]
            )
    return folder / "table.csv"


def connected(kind: str, scratch: Path, workers: int) -> tuple[MultimodalData, MultimodalData]:
    """The data of one kind, connected to the preprocessing of its encoders: without the store, and with it."""
    words = ENCODERS[kind]
    if kind != "demo":
        words = ["data=manifest", f"data.path={make_files(scratch / kind, *KINDS[kind])}", *words]
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", overrides=[*words, f"data.num_workers={workers}", "data.batch_size=32"])
    fresh, stored = build(cfg), build(cfg)
    use_store(stored.data, stored.model, StoreOptions(dir=str(scratch / "store")))
    return fresh.data, stored.data


def seconds_for_all(loader: Any) -> float:
    """One pass from the second batch on: the workers have started by then."""
    batches = iter(loader)
    next(batches)
    began = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - began


def measure(data: MultimodalData, stored: MultimodalData, workers: int, rounds: int) -> dict[str, Any]:
    """Samples a second of all sides, round by round."""
    folder, rows = data.path.parent, data.rows["train"].tolist()
    texts, *names = ([data.table.cell(row, name) for row in rows] for name in ("text", "image", "audio"))
    files = [tuple(str(folder / name) for name in pair) for pair in zip(*names, strict=True)]
    counted = len(rows) - 32
    speeds: dict[str, list[float]] = {"bare": [], "by_hand": [], "mmbert": [], "stored": []}
    hand = ByHand([(text, *pair) for text, pair in zip(texts, files, strict=True)], data)  # type: ignore[misc]
    for number in range(rounds + 1):
        loaders = {
            "bare": DataLoader(Bare(files), batch_size=32, num_workers=workers),  # type: ignore[arg-type]
            "by_hand": DataLoader(hand, 32, shuffle=True, num_workers=workers, collate_fn=hand.collate),
            "mmbert": data.train_dataloader(),
            "stored": stored.train_dataloader(),
        }
        names_in_turn = list(loaders)[number % 4 :] + list(loaders)[: number % 4]
        for name in names_in_turn:
            seconds = seconds_for_all(loaders[name])
            if number:  # the first warms the file cache
                speeds[name].append(counted / seconds)
    result: dict[str, Any] = {"rows": counted}
    for one, other in (("mmbert", "bare"), ("mmbert", "by_hand"), ("stored", "bare")):
        ratios = [a / b for a, b in zip(speeds[one], speeds[other], strict=True)]
        result[f"{one}_to_{other}"] = round(statistics.median(ratios), 3)
        result[f"{one}_to_{other}_by_round"] = [round(ratio, 3) for ratio in ratios]
    return {**result, "samples_per_second": {k: round(statistics.median(v), 1) for k, v in speeds.items()}}


def main() -> None:
    """Prints the ratios and writes them beside the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "input_pipeline.json")
    args = parser.parse_args()
    measured = {}
    with tempfile.TemporaryDirectory() as scratch:
        for kind in ENCODERS:
            measured[kind] = measure(*connected(kind, Path(scratch), args.workers), args.workers, args.rounds)
            print(kind, measured[kind], flush=True)
    result = {
        "what": "samples a second of the input pipeline; ratio: mmbert / the other (1 = equally fast)",
        "workers": args.workers,
        "kinds": measured,
        "environment": environment(),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
