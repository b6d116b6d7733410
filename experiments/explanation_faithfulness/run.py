"""Do explanations of parts find a planted shortcut, and do they stand the usual tests?

    python experiments/explanation_faithfulness/run.py

Builds below ``multirun/explanation_faithfulness`` copies of talking_digits whose label is the kind of a word, of a
watermark or of a beep, which stand at random places; trains three seeds on each, explains test samples, and writes
``results.csv`` beside this file.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from hydra import compose, initialize_config_module
from PIL import Image

from mmbert.analysis.parts.answers import TaskAnswers
from mmbert.analysis.parts.differentiable import ReadFunction, differentiable
from mmbert.analysis.parts.faithfulness import (
    STAGES,
    curve,
    localisation,
    numbered_parts,
    rank_correlation,
    scores_of_parts,
    shuffled_model,
)
from mmbert.analysis.parts.integrated_gradients import integrated_gradients
from mmbert.analysis.parts.words import word_spans
from mmbert.data.talking_digits import TalkingDigits
from mmbert.model import MultimodalModel

FOLDER = Path("multirun/explanation_faithfulness")
PLANTS = {"word": "text", "watermark": "image", "beep": "audio"}
SEEDS = (0, 1, 2)
SIZES = {"train": 600, "val": 100, "test": 100}
WORDS = ("amber", "cobalt")
SIDE, CELL, SLICE = 8, 4, 2  # pixels of the watermark and of a cell, frames of a moment
TONES_HZ, BEEP_SECONDS = (700, 2800), 0.15
EXPLAINED, CURVED, ORDERS = 24, 12, 10


def planted_table(plant: str) -> Path:
    """A copy of some rows of talking_digits with the shortcut in them and its place beside them."""
    folder = FOLDER / f"data-{plant}"
    table = folder / "table.csv"
    if table.is_file():
        return table
    source = TalkingDigits(
        sizes={"train": 900, "val": 100, "test": 100, "test_missing": 10}, only=["train", "val", "test"]
    )
    lines = list(csv.DictReader(source.path.open(encoding="utf-8")))
    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(list(PLANTS).index(plant))
    rows: list[dict[str, Any]] = []
    for line in lines:
        if line["split"] not in SIZES:
            continue
        kind = int(draws.integers(2))
        text, place = planted_word(line["text"], kind, draws) if plant == "word" else (line["text"], "")
        row = {"text": text, "split": line["split"], "label": ("first", "second")[kind], "place": place}
        for name in ("image", "audio"):
            file = source.path.parent / line[name]
            row[name] = str(file.resolve())
            if PLANTS[plant] == name:
                target = folder / f"{len(rows)}{file.suffix}"
                make = planted_watermark if name == "image" else planted_beep
                row["place"] = make(file, target, kind, draws)
                row[name] = str(target.resolve())
        rows.append(row)
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return table


def planted_word(text: str, kind: int, draws: np.random.Generator) -> tuple[str, str]:
    """The text with a word at a random place between its words, and where it begins and ends."""
    words = text.split(" ")
    at = int(draws.integers(len(words) + 1))
    first = len(" ".join(words[:at])) + (at > 0)
    return " ".join([*words[:at], WORDS[kind], *words[at:]]), json.dumps([first, first + len(WORDS[kind])])


def planted_watermark(file: Path, target: Path, kind: int, draws: np.random.Generator) -> str:
    """The picture with bars that lie or stand, and the box: top, left, side."""
    pixels = np.asarray(Image.open(file).convert("RGB")).copy()
    top, left = (int(draws.integers(pixels.shape[axis] - SIDE + 1)) for axis in (0, 1))
    bars = np.repeat(np.tile([0, 0, 255, 255], SIDE // 4)[:, None], SIDE, 1).astype(np.uint8)
    pixels[top : top + SIDE, left : left + SIDE] = (bars if kind else bars.T)[..., None]
    Image.fromarray(pixels).save(target)
    return json.dumps([top, left, *pixels.shape[:2]])


def planted_beep(file: Path, target: Path, kind: int, draws: np.random.Generator) -> str:
    """The sound with a low or a high tone, and when it begins and ends in seconds."""
    sound, rate_hz = soundfile.read(file)
    length = int(BEEP_SECONDS * rate_hz)
    first = int(draws.integers(max(1, len(sound) - length)))
    tone = 0.3 * np.sin(2 * np.pi * TONES_HZ[kind] * np.arange(length) / rate_hz)
    sound[first : first + length] += tone[: len(sound[first : first + length])]
    soundfile.write(target, sound.clip(-1, 1), rate_hz)
    return json.dumps([first / rate_hz, (first + length) / rate_hz])


def trained(table: Path, plant: str, seed: int) -> tuple[Path, float]:
    """The folder of a run, and its accuracy on the test split."""
    from mmbert.training.run import run

    folder = FOLDER / f"{plant}-seed{seed}"
    if not (folder / "metrics.json").is_file():
        words = ["data=manifest", f"data.path={table}", "+task@tasks.label=classification", f"seed={seed}"]
        words += ["text=tiny", "image=tiny", "audio=tiny", "encoders.image.image_size=[40,56]", "trainer=cpu"]
        words += [
            "encoders.image.fit=stretch",
            "fusion.out_dim=32",
            "trainer.max_epochs=6",
            "logger=none",
            "plots=false",
        ]
        words += ["trainer.enable_progress_bar=false", "store.enabled=false", "data.batch_size=32"]
        words += ["data.num_workers=0", "tasks.label.column=label"]
        with initialize_config_module("mmbert.conf", version_base="1.3"):
            cfg = compose("train", overrides=words)
        run(cfg, folder)
    return folder, json.loads((folder / "metrics.json").read_text())["test/label/accuracy"]


def parts_of_sample(function: ReadFunction, row: int, text: str, offsets: np.ndarray) -> dict[str, torch.Tensor]:
    """Words, cells of pixels and moments of frames of one sample."""
    spans = word_spans(text)
    starts = np.array([first for first, _, _ in spans])
    length = function.read["text"].numbers.shape[1]
    words = torch.full((length, 1), -1)
    for token, (first, last) in enumerate(offsets.tolist()):
        if last > first:
            words[token] = max(0, int(np.searchsorted(starts, last - 1, side="right")) - 1)
    height, width = function.read["image"].numbers.shape[-2:]
    cells = torch.arange(height)[:, None] // CELL * (-(-width // CELL)) + torch.arange(width) // CELL
    moments = torch.arange(function.read["audio"].numbers.shape[1])[:, None] // SLICE
    return {"text": words, "image": cells, "audio": moments}


def planted_mask(plant: str, place: list[Any], batch: Any, row: int, shape: tuple[int, ...], step: float) -> np.ndarray:
    """Where the shortcut is: (L,) of word pieces, (height, width) of pixels, (L, bands) of frames."""
    if plant == "word":
        offsets = np.asarray(batch.alignments["text"][row]["offsets"])
        return (offsets[:, 0] < place[1]) & (offsets[:, 1] > place[0])
    mask = np.zeros(shape, bool)
    if plant == "watermark":
        top, left = (round(place[axis] * size / place[2 + axis]) for axis, size in enumerate(shape))
        mask[top : top + SIDE, left : left + SIDE] = True
    else:
        begins = np.arange(shape[0]) * step  # of each frame's window, which lasts 25 ms
        mask[(begins < place[1]) & (begins + 0.025 > place[0])] = True
    return mask


def sums_of_words(values: np.ndarray, mask: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a text's pieces (L,), their mask and words (L,), -1 = none: the same of its words, as a page shows them."""
    named = words >= 0
    sums = np.bincount(words[named], values[named])
    planted = np.bincount(words[named & mask], minlength=len(sums)) > 0
    return sums, planted


def measured(plant: str, seed: int) -> dict[str, Any]:
    """One run's line of the table."""
    from mmbert.cli.explain_parts import batches_of, chosen_places, data_from_files

    table = planted_table(plant)
    folder, accuracy = trained(table, plant, seed)
    model = MultimodalModel.from_pretrained(folder / "model")
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", overrides=["data=manifest", f"data.path={table}", "data.num_workers=0"])
    data = data_from_files(model, cfg, "test")
    lines = list(csv.DictReader(table.open(encoding="utf-8")))
    name, draws = PLANTS[plant], np.random.default_rng(seed)
    found: dict[str, list[float]] = {}
    curves: dict[str, list[float]] = {}
    shuffled = {stage: shuffled_model(model, stage, seed) for stage in STAGES}
    for batch in batches_of(data, "test", chosen_places(data, "test", [], EXPLAINED, 0)):
        with differentiable(model):
            function = ReadFunction(TaskAnswers(model, "label"), batch.inputs)
            size = len(batch.rows)
            rows = torch.arange(size)
            with torch.no_grad():
                answers = function.all_numbers({n: r.numbers for n, r in function.read.items()}, rows).argmax(1)
            made = integrated_gradients(function, rows, answers, 64, 512, 0.01)
        others = {}
        for stage, other in shuffled.items():
            with differentiable(other):
                moved = ReadFunction(TaskAnswers(other, "label"), batch.inputs)
                others[stage] = integrated_gradients(moved, rows, answers, 64, 64, 1.0).parts[name]
        for row in range(size):
            line = lines[int(batch.rows[row])]
            read = function.read[name]
            real = read.inputs["mask"][row] if name != "image" else slice(None)
            axis = {"text": -1, "image": 0}.get(name)
            values, *shuffles = (
                (each[row] if axis is None else each[row].sum(axis))[real].numpy()
                for each in (made.parts[name], *others.values())
            )
            mask = planted_mask(plant, json.loads(line["place"]), batch, row, values.shape, 0.02)
            offsets = np.asarray(batch.alignments["text"][row]["offsets"])
            own = parts_of_sample(function, row, line["text"], offsets)
            shown = (values, mask) if name != "text" else sums_of_words(values, mask, own["text"][real, 0].numpy())
            one, random = localisation(*shown), localisation(draws.standard_normal(shown[0].shape), shown[1])
            sums = {each: abs(float(part[row].sum())) for each, part in made.parts.items()}
            facts = {
                "gap": float(made.gap[row]),
                "share": one.share,
                "area": one.area,
                "hit": float(one.hit),
                "random_share": random.share,
                "random_hit": float(random.hit),
                "modality_share": sums[name] / sum(sums.values()),
            }
            for stage, each in zip(STAGES, shuffles, strict=True):
                facts[f"rank/{stage}"] = rank_correlation(values, each)
                facts[f"rank_of_sizes/{stage}"] = rank_correlation(np.abs(values), np.abs(each))
            for key, value in facts.items():
                found.setdefault(key, []).append(value)
            if len(curves.get("deletion", ())) < CURVED:
                parts, count = numbered_parts(function, row, own)
                scores = scores_of_parts({n: part[row] for n, part in made.parts.items()}, parts, count)
                with differentiable(model):
                    for kind in ("deletion", "insertion"):
                        drawn = curve(function, (row, int(answers[row])), parts, scores, kind == "insertion", ORDERS)
                        curves.setdefault(kind, []).append(drawn.area)
                        curves.setdefault(f"{kind}_random", []).append(float(drawn.random_areas.mean()))
    git = json.loads((folder / "environment.json").read_text())["git"]
    source = git.get("package") or git["folder"]
    result: dict[str, Any] = {"plant": plant, "seed": seed, "commit": source["commit"], "dirty": source["dirty"]}
    result["accuracy"] = accuracy
    result |= {key: float(np.nanmean(values)) for key, values in {**found, **curves}.items()}
    result["largest_gap"] = max(found["gap"])
    for kind, sign in (("deletion", -1), ("insertion", 1)):
        gains = sign * (np.array(curves[kind]) - np.array(curves[f"{kind}_random"]))
        drawn_means = np.random.default_rng(0).choice(gains, (1000, len(gains))).mean(1)
        low, high = np.quantile(drawn_means, (0.025, 0.975))
        result |= {f"{kind}_gain": float(gains.mean()), f"{kind}_gain_low": low, f"{kind}_gain_high": high}
    return result


def main() -> None:
    """See the top of the file; each line in a process of its own."""
    if len(sys.argv) == 3:
        print(json.dumps(measured(sys.argv[1], int(sys.argv[2]))))
        return
    lines = []
    for plant in PLANTS:
        for seed in SEEDS:
            words = [sys.executable, __file__, plant, str(seed)]
            told = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
            lines.append(json.loads(told.strip().splitlines()[-1]))
            print(lines[-1], file=sys.stderr)
    with Path(__file__).with_name("results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
