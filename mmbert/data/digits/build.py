"""Builds the demo set talking_digits: a folder with a CSV, images and sounds; equal options give equal files."""

from __future__ import annotations

import csv
import functools
import importlib.metadata
import io
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import DataError
from mmbert.core.whole_files import building, whole_folder
from mmbert.data.digits import pictures, sentences, speech
from mmbert.data.digits.options import TALKING_DIGITS_VERSION, TalkingDigitsOptions

MANIFEST = "manifest.csv"
DIGITS_CARD = "card.json"
LACKS = (("text",), ("image",), ("audio",), ("text", "image"), ("text", "audio"), ("image", "audio"))
SHARES = {"train": 6, "val": 1, "test": 1, "test_missing": 1}  # of the scans
CHUNK = 250
BANK = "bank.npz"
MAKERS = ("numpy", "scipy", "scikit-learn", "pillow", "soundfile", "espeakng-loader")  # the same give the same bytes


def build_talking_digits(folder: Path, options: TalkingDigitsOptions) -> Path:
    """The demo set in ``folder``, built unless it is already there; returns its manifest.

    It is built beside the folder and renamed when it is whole, so a manifest that exists is complete.

    Raises:
        DataError: the folder holds something else, or nothing can be written there.
    """
    manifest = folder / MANIFEST
    if manifest.is_file():
        return manifest
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise DataError(
            f"{folder} is there but has no {MANIFEST}. Delete it, or name another place with data.folder=DIR."
        )
    try:
        with building(folder):
            if not manifest.is_file():  # else another process was quicker: what it has built is the same
                with whole_folder(folder) as scratch:
                    write_all(scratch, options)
    except OSError as error:
        raise DataError(
            f"The demo set cannot be written to {folder} ({error.strerror or error}). It takes about 200 MB; name "
            "another place with data.folder=DIR or the environment variable MMBERT_HOME."
        ) from error
    return manifest


def write_all(folder: Path, options: TalkingDigitsOptions) -> None:
    """Writes images, sounds, the CSV, and a card that describes the data set."""
    for name in ("images", "audio"):
        (folder / name).mkdir()
    tasks = chunks(options)
    known = speech.voices(options.train_voices, False, options.seed)
    fresh = speech.voices(options.test_voices, True, options.seed)
    total = len(known) + len(fresh) + sum(len(task[1]) for task in tasks)
    with spawned_processes() as pool, BuildProgress(total) as progress:
        said = list(progress.count(pool.map(speech.speak_all, [*known, *fresh], chunksize=4)))
        np.savez(folder / BANK, **{f"{i}-{n}": w for i, words in enumerate(said) for n, w in enumerate(words)})
        made = [pool.submit(write_rows, folder, options, split, indexes) for split, indexes in tasks]
        rows: list[dict[str, Any]] = []
        for future in made:
            rows += future.result()
            progress.advance(len(future.result()))
    (folder / BANK).unlink()
    with (folder / MANIFEST).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / DIGITS_CARD).write_text(json.dumps(dataset_card(options), indent=2) + "\n", encoding="utf-8")


@contextmanager
def spawned_processes() -> Iterator[ProcessPoolExecutor]:
    """A process for each core, at most 4: fresh interpreters and no forks, for the parent may hold torch's threads.

    A fresh interpreter would first run the parent's main script again, which fails in scripts without the guard
    ``if __name__ == "__main__"`` and on standard input; all that is needed lies in this package, so it is hidden.
    """
    main = sys.modules["__main__"].__dict__
    hidden: dict[str, Any] = {name: main[name] for name in ("__spec__", "__file__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with ProcessPoolExecutor(min(4, cores), multiprocessing.get_context("spawn")) as pool:
            yield pool
    finally:
        main.update(hidden)


def chunks(options: TalkingDigitsOptions) -> list[tuple[str, range]]:
    """(split, indexes within it), a few hundred rows each."""
    return [
        (split, range(start, min(start + CHUNK, size)))
        for split, size in options.sizes.items()
        for start in range(0, size, CHUNK)
    ]


def write_rows(folder: Path, options: TalkingDigitsOptions, split: str, indexes: range) -> list[dict[str, Any]]:
    """Writes the files of some rows of a split and returns the rows. Runs in a process of its own."""
    scans, spoken, voices = material(folder, options)
    known, fresh = options.train_voices, options.test_voices
    rows = []
    for index in indexes:
        rng = np.random.default_rng([options.seed, 3, list(SHARES).index(split), index])
        unseen = split.startswith("test") and rng.random() < options.unseen_share
        who = int(known + rng.integers(fresh) if unseen else rng.integers(known))
        rows.append(write_row(folder, options, split, index, rng, scans[split], spoken, who, voices[who]))
    return rows


@functools.lru_cache(maxsize=1)
def material(folder: Path, options: TalkingDigitsOptions) -> tuple[dict[str, Any], dict[str, np.ndarray], list[str]]:
    """Scans by split, utterances by ``VOICE-NUMBER``, and the voices' names; read once in a process."""
    with np.load(folder / BANK) as file:
        spoken = {key: file[key] for key in file.files}
    known = speech.voices(options.train_voices, False, options.seed)
    fresh = speech.voices(options.test_voices, True, options.seed)
    return pictures.scans_by_split(SHARES, options.seed), spoken, [voice.name for voice in [*known, *fresh]]


def write_row(
    folder: Path,
    options: TalkingDigitsOptions,
    split: str,
    index: int,
    rng: np.random.Generator,
    scans: dict[int, np.ndarray],
    spoken: dict[str, np.ndarray],
    who: int,
    voice: str,
) -> dict[str, Any]:
    """One sample: its files and its row."""
    import soundfile

    name = f"{split}-{index:05d}"
    seen, heard = (int(n) for n in rng.integers(len(sentences.NUMBERS), size=2))
    operation = str(rng.choice(sentences.OPERATIONS))
    unseen_share = options.unseen_share if split.startswith("test") else 0.0
    sentence = sentences.write_sentence(operation, seen, heard, rng, options.repeat_share, unseen_share)
    picture = pictures.draw_number(seen, scans, rng, options.picture)
    babble = [spoken[f"{who}-{n}"] for n in range(len(sentences.NUMBERS))]
    sound, snr = speech.hear(spoken[f"{who}-{heard}"], babble, rng, options.sound)
    lacks = LACKS[index % len(LACKS)] if split == "test_missing" else ()
    paths = {"image": f"images/{name}.png", "audio": f"audio/{name}.wav"}
    if "image" not in lacks:
        picture.save(folder / paths["image"])
    if "audio" not in lacks:
        encoded = io.BytesIO()  # by its own hand soundfile would wait for the disk after each file
        soundfile.write(encoded, sound, speech.RATE_HZ, subtype="PCM_16", format="WAV")
        (folder / paths["audio"]).write_bytes(encoded.getvalue())
    answer = sentences.answer_to(operation, seen, heard)
    has_text, has_audio = "text" not in lacks, "audio" not in lacks
    has_span = has_text and sentence.repeated != ""
    return {
        "id": name,
        "split": split,
        "text": sentence.text if has_text else "",
        "image": "" if "image" in lacks else paths["image"],
        "audio": "" if "audio" in lacks else paths["audio"],
        "answer": answer,
        "seen": seen,
        "heard": heard,
        "operation": operation,
        "properties": "|".join(sentences.properties_of(answer)),
        "value": float(answer),
        "tags": sentence.tags if has_text else "",
        "span_start": sentence.start if has_span else "",
        "span_end": sentence.end if has_span else "",
        "statement": sentences.statement(operation, seen, heard),
        "wording": sentence.wording if has_text else "",
        "repeated": sentence.repeated if has_text else "",
        "voice": voice if has_audio else "",
        "snr_db": round(snr, 2) if has_audio else "",
    }


def dataset_card(options: TalkingDigitsOptions) -> dict[str, Any]:
    """What is in the folder, from where, under which terms."""
    return {
        "name": "talking_digits",
        "version": TALKING_DIGITS_VERSION,
        "fingerprint": options.fingerprint(),
        "options": asdict(options),
        "made_with": {name: importlib.metadata.version(name) for name in MAKERS},
        "sources": {
            "image": "scikit-learn's load_digits: UCI optical recognition of handwritten digits "
            "(Alpaydin & Kaynak 1998), CC BY 4.0",
            "audio": "synthesised with espeak-ng (the program is GPL-3.0-or-later) through the package espeakng-loader",
            "text": "templates of mmbert, Apache-2.0",
        },
        "span": "span_start and span_end: characters of text at which the sentence says one of the numbers in words",
        "tags": "JSON: words, and a BIO tag for each: OP = words that name the operation, NUM = a number in words",
    }


class BuildProgress:
    """A bar on a terminal, two plain lines elsewhere."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.shown: Any = None

    def __enter__(self) -> BuildProgress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar

            self.shown = Bar(console=Console(stderr=True), transient=True)
            self.shown.start()
            self.task = self.shown.add_task("building talking_digits", total=self.total)
        else:
            print("building the demo set talking_digits (once, about half a minute) ...", file=sys.stderr, flush=True)
        return self

    def __exit__(self, *error: object) -> None:
        if self.shown is not None:
            self.shown.stop()

    def advance(self, steps: int) -> None:
        """So many more are done."""
        if self.shown is not None:
            self.shown.advance(self.task, steps)

    def count(self, items: Iterator[Any]) -> Iterator[Any]:
        """The items themselves, counted as they pass."""
        for item in items:
            self.advance(1)
            yield item
