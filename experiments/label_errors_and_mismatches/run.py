"""Are planted label errors, exchanged pictures and copies found, and does it matter that models never saw the rows?

    python experiments/label_errors_and_mismatches/run.py

Writes copies of ``data=stamps`` with planted faults below ``multirun/label_errors_and_mismatches``, asks of each what
``mmbert-check-data model=RUN`` asks, once by cross-validation and once of a model that was trained on the very rows,
and writes ``results.csv`` beside this file.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hydra import compose, initialize_config_module
from PIL import Image, ImageOps

from mmbert.analysis.data_quality.contradictions import auroc
from mmbert.analysis.data_quality.folds import VALIDATION_SHARE, Fold, make_folds
from mmbert.analysis.data_quality.likeness import alike_groups
from mmbert.analysis.data_quality.out_of_sample import OutOfSample, predict_out_of_sample
from mmbert.analysis.data_quality.scored import all_contradictions, all_label_errors
from mmbert.data.modalities.image import ImageModality
from mmbert.data.modalities.text import TextModality
from mmbert.data.sets.stamps import Stamps
from mmbert.runs.environment import package_git
from mmbert.training.build import build
from mmbert.training.callbacks.console import quiet
from mmbert.training.cross_fit import fit_on_rows

FOLDER = Path("multirun/label_errors_and_mismatches")
SEEDS = (0, 1, 2)
FOLDS = 5
WRONG_LABELS, EXCHANGED, COPIES = 0.1, 0.05, 50
WORDS = ("data=manifest", "data.columns.text=caption_en", "image=efficientnet_lite0_frozen", "audio=none")
WORDS += ("data.num_workers=0", "fusion=concat", "trainer=cpu", "logger=none", "plots=false")
WORDS += ("+task@tasks.topic=classification", "tasks.topic.column=topic", "+task@tasks.pairs=retrieval")


def stamps_table() -> pd.DataFrame:
    """The rows of stamps, their pictures by whole paths."""
    stamps = Stamps()
    table = pd.read_csv(stamps.path, dtype=str, keep_default_na=False)
    table["image"] = [str((stamps.path.parent / name).resolve()) for name in table["image"]]
    return table[["image", "caption_en", "topic", "repeats", "split"]]


def with_wrong_labels(table: pd.DataFrame, draws: np.random.Generator) -> pd.DataFrame:
    """A tenth of the topics replaced by another, each of the others as likely; ``planted`` says where."""
    made, topics = table.assign(planted="none"), sorted(table["topic"].unique())
    for row in draws.choice(len(table), round(WRONG_LABELS * len(table)), replace=False):
        others = [topic for topic in topics if topic != table.at[row, "topic"]]
        made.loc[row, ["topic", "planted"]] = [str(draws.choice(others)), "wrong label"]
    return made


def with_exchanged_pictures(table: pd.DataFrame, draws: np.random.Generator) -> pd.DataFrame:
    """Pairs of rows whose pictures changed places: a twentieth of the rows of two topics, another of one topic.

    Rows that share a caption or a picture are no pair.
    """
    made = table.assign(planted="none")
    free = draws.permutation(len(table)).tolist()
    for kind in ("other class", "same class"):
        for _ in range(round(EXCHANGED * len(table) / 2)):
            one = free.pop()
            other = next(row for row in free if can_exchange(table, one, row, kind == "same class"))
            free.remove(other)
            made.loc[[one, other], "image"] = table.loc[[other, one], "image"].to_numpy()
            made.loc[[one, other], "planted"] = kind
    return made


def can_exchange(table: pd.DataFrame, one: int, other: int, same: bool) -> bool:
    """Whether two rows are of one topic, or of two, and no copies of each other."""
    equal = table.loc[one] == table.loc[other]
    return bool(equal["topic"] == same and not equal["repeats"])


def predictions(table: pd.DataFrame, name: str, seed: int) -> Iterator[tuple[str, OutOfSample]]:
    """What models say of all rows: cross-validated ones, and one that was trained on the same rows."""
    path = (FOLDER / f"{name}-{seed}.csv").resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    classes = ",".join(sorted(table["topic"].unique()))
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        words = [*WORDS, f"data.path={path}", f"seed={seed}", f"tasks.topic.classes=[{classes}]"]
        cfg = compose("train", overrides=words)
    model = build(cfg).model
    rows, strata = np.arange(len(table)), pd.factorize(table["topic"])[0]
    folds = list(make_folds(rows, strata, pd.factorize(table["repeats"])[0], FOLDS, seed))
    chosen = np.random.default_rng(seed).choice(rows, round(VALIDATION_SHARE * len(rows)), replace=False)
    for method, parts in (("cross-validated", folds), ("in-sample", [Fold(rows, np.sort(chosen), rows)])):
        asked = partial(predict_out_of_sample, parts, partial(fit_on_rows, cfg), model.named_tasks())
        yield method, asked(list(model.fusion.dims), torch.device("cpu"))


def found_labels(found: OutOfSample, planted: np.ndarray, seed: int) -> Iterator[dict[str, Any]]:
    """How well wrong labels are found by ``quality``, and what share of the rows that are named is planted."""
    errors, task = all_label_errors(found)["topic"], found.tasks["topic"]
    wrong = planted == "wrong label"
    first = np.argsort(np.where(np.isnan(errors.quality), np.inf, errors.quality))[: errors.estimate]
    yield {
        "partners": "wrong label",
        "score": "quality",
        "planted": int(wrong.sum()),
        "auroc": auroc(-errors.quality, wrong),
        "agreement": float((task.predicted.argmax(1) == task.labels).mean()),
        "estimate": errors.estimate,
        "precision_at_estimate": float(wrong[first].mean()) if len(first) else None,
        "flagged": int(errors.flagged.sum()),
        "precision_of_flagged": float(wrong[errors.flagged].mean()) if errors.flagged.any() else None,
        "recall_of_flagged": float(errors.flagged[wrong].mean()),
    }


def found_pictures(found: OutOfSample, planted: np.ndarray, seed: int) -> Iterator[dict[str, Any]]:
    """How well exchanged pictures are found, by either score, and what the command says of its own plants."""
    for name, of in all_contradictions(found, seed).items():
        for kind in ("other class", "same class"):
            compared = np.isin(planted, ["none", kind])
            claims = [e for e in of.planted if e["modality"] == "image" and e["partners"] in (kind, "any")]
            yield {
                "partners": kind,
                "score": {"topic": "unimodal heads", "pairs": "retrieval"}[name],
                "planted": int((planted == kind).sum()),
                "auroc": auroc(np.where(compared, of.scores, np.nan), planted == kind),
                "auroc_told": claims[0]["auroc"],
            }


def found_copies(table: pd.DataFrame, seed: int, draws: np.random.Generator) -> Iterator[dict[str, Any]]:
    """How many changed copies are found, and how many pairs of rows besides that ``repeats`` does not know."""
    picked, folder = draws.choice(len(table), COPIES, replace=False), FOLDER / f"copies-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    ways = {
        "image": ("smaller", "compressed", "mirrored"),
        "text": ("capitals and points", "one word more"),
    }
    for name, column in (("image", "image"), ("text", "caption_en")):
        modality = ImageModality() if name == "image" else TextModality()
        for way in ways[name]:
            copies = [changed(str(table.at[row, column]), way, folder / f"{way}-{row}.jpg") for row in picked]
            groups = alike_groups([*table[column], *copies], Path("/"), modality)
            own, copied = groups[: len(table)], groups[len(table) :]
            yield {
                "partners": way,
                "score": f"copies of {name}",
                "planted": COPIES,
                "recall": float((copied == own[picked]).mean()),
                "other_pairs": strangers(own, table["repeats"].to_numpy()),
            }


def changed(cell: str, way: str, target: Path) -> str:
    """A copy of a picture or a caption."""
    if way == "capitals and points":
        return f"{cell.upper().rstrip('.')} !"
    if way == "one word more":
        return f"{cell.rstrip('.')} here."
    picture = Image.open(cell).convert("RGBA")
    white = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    if way == "smaller":
        white = white.resize([max(8, round(0.6 * side)) for side in white.size])
    if way == "mirrored":
        white = ImageOps.mirror(white)
    white.save(target, quality=40 if way == "compressed" else 95)
    return str(target.resolve())


def strangers(groups: np.ndarray, repeats: Sequence[str]) -> int:
    """Pairs of rows in one group that share neither caption nor picture, as the data set knows it."""
    frame = pd.DataFrame({"group": groups, "repeats": repeats})[groups >= 0]
    pairs = frame.groupby("group").size().pipe(lambda n: (n * (n - 1) / 2).sum())
    known = frame.groupby(["group", "repeats"]).size().pipe(lambda n: (n * (n - 1) / 2).sum())
    return int(pairs - known)


def main() -> None:
    """See the top of the file."""
    quiet()
    source = package_git() or {"commit": None, "dirty": None}
    lines: list[dict[str, Any]] = []

    def keep(plant: str, seed: int, method: str, made: Iterator[dict[str, Any]]) -> None:
        facts = {"commit": source["commit"], "dirty": source["dirty"], "plant": plant, "seed": seed, "method": method}
        lines.extend({**facts, **line} for line in made)
        print(f"{time.strftime('%H:%M:%S')} {plant} {seed} {method} {lines[-1].get('auroc')}", flush=True)

    clean = stamps_table()
    for seed in SEEDS:
        keep("copies", seed, "no model", found_copies(clean, seed, np.random.default_rng([seed, 2])))
        for number, (plant, make, measure) in enumerate(
            (("labels", with_wrong_labels, found_labels), ("pictures", with_exchanged_pictures, found_pictures))
        ):
            table = make(clean, np.random.default_rng([seed, number]))
            for method, found in predictions(table, plant, seed):
                keep(plant, seed, method, measure(found, table["planted"].to_numpy(), seed))
    columns = list(dict.fromkeys(key for line in lines for key in line))
    with Path(__file__).with_name("results.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
