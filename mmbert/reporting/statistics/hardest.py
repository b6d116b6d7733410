"""The samples that most runs have wrong, with what they are made of and what each group answered."""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.core.errors import DataError, MmbertError
from mmbert.core.file_names import named_file
from mmbert.core.privacy import Privacy
from mmbert.data.tables.cells import cell_excerpt, is_empty, shown_pair
from mmbert.data.tables.formats import FORMATS, read_cells
from mmbert.reporting.statistics.embedded_media import embedded_picture, embedded_sound
from mmbert.reporting.statistics.samples import per_sample
from mmbert.runs.folder import RunFolder
from mmbert.runs.own_privacy import read_privacy
from mmbert.runs.predictions_file import read_predictions

if TYPE_CHECKING:
    import pandas as pd

#: Bytes of a picture or sound that is put into the page; a larger one is named only.
MOST = 400_000


@dataclass(frozen=True)
class HardSample:
    """One sample.

    Attributes:
        row: its number in the table, the first being 1.
        truth: the label.
        right: share of the runs that have it right, or mean score.
        answers: the most frequent answer of each group.
        parts: ``(encoder, shown_as, value)``: a text, or a data: URI of a picture or sound, or why there is none.
    """

    row: int
    truth: str
    right: float
    answers: dict[str, str]
    parts: list[tuple[str, str, str]]


def hardest(groups: Mapping[str, Sequence[Path]], split: str, task: str, count: int) -> list[HardSample]:
    """The samples with the lowest mean score over all runs of all groups; of equal ones the first in the table.

    They are shown as far as all of the runs allow (the config's ``privacy``).

    Args:
        groups: runs' folders by group.
        split: of the predictions.
        task: whose answers count.
        count: how many.
    """
    import pandas as pd

    scores = []
    for run in (run for runs in groups.values() for run in runs):
        try:
            scores.append(per_sample(run, split, task).set_index("row")["score"])
        except DataError:
            continue
    if not scores:
        return []
    means = pd.concat(scores, axis=1).mean(axis=1)
    chosen = means.sort_index().sort_values(kind="stable").head(count)
    answers_by_group = {group: answers_of(runs, split, task, list(chosen.index)) for group, runs in groups.items()}
    truth = truths(groups, split, task)
    every = [run for runs in groups.values() for run in runs]
    privacy = Privacy.strictest([read_privacy(RunFolder(run)) for run in every])
    parts = sample_inputs(every[0], [int(row) for row in chosen.index], privacy)
    return [
        HardSample(
            int(row) + 1,
            privacy.masked(str(truth.get(row))),
            float(score),
            {group: privacy.masked(answers.get(row, "–")) for group, answers in answers_by_group.items()},
            parts.get(int(row), []),
        )
        for row, score in chosen.items()
    ]


def answers_of(runs: Sequence[Path], split: str, task: str, rows: list[Any]) -> dict[Any, str]:
    """The most frequent answer of some runs to each row, with how many gave it where they disagree."""
    counts: dict[Any, Counter[str]] = {row: Counter() for row in rows}
    for run in runs:
        table = predictions_of_run(run, split)
        if table is None or f"{task}/prediction" not in table:
            continue
        for row, answer in zip(table["row"], table[f"{task}/prediction"], strict=True):
            if row in counts:
                counts[row][answer_text(answer)] += 1
    found = {}
    for row, given in counts.items():
        if given:
            (answer, times), total = given.most_common(1)[0], given.total()
            found[row] = answer if times == total else f"{answer} ({times} of {total})"
    return found


def truths(groups: Mapping[str, Sequence[Path]], split: str, task: str) -> dict[Any, str]:
    """The label of each row, from the first run that has predictions."""
    for run in (run for runs in groups.values() for run in runs):
        table = predictions_of_run(run, split)
        if table is not None and f"{task}/target" in table:
            return {row: answer_text(value) for row, value in zip(table["row"], table[f"{task}/target"], strict=True)}
    return {}


def predictions_of_run(run: Path, split: str) -> pd.DataFrame | None:
    """A run's predictions of a split."""
    path = RunFolder(run).predictions_of(split)
    return read_predictions(path) if path.is_file() else None


def answer_text(value: Any) -> str:
    """An answer as it is shown; a dash where a model abstains."""
    if value is None or isinstance(value, float) and math.isnan(value):
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if hasattr(value, "__len__") and not isinstance(value, str) else str(value)


def sample_inputs(run: Path, rows: list[int], privacy: Privacy | None = None) -> dict[int, list[tuple[str, str, str]]]:
    """What rows are made of, as far as ``privacy`` allows: read from the run's table; nothing if that is gone.

    Of a table with another fingerprint than the run's nothing is shown: it has changed, or somebody has named a table
    that no run of theirs has seen.
    """
    privacy = Privacy() if privacy is None else privacy
    if not privacy.samples:
        return {row: [("samples", "none", "not shown (privacy.samples=false)")] for row in rows}
    metrics = RunFolder(run).read_metrics() or {}
    described = metrics.get("inputs") or {}
    path = Path(str(described.get("table", "")))
    if not path.is_file() or path.suffix.lower() not in FORMATS:
        return {}
    if not is_table_of(path, metrics.get("data_fingerprint")):
        changed = ("samples", "none", f"not shown, {path.name} is not the table that the run was trained on")
        return {row: [changed] for row in rows}
    try:
        parts = described.get("encoders", {}).values()
        wanted = [part[key] for part in parts for key in ("before", "column") if key in part]
        wanted += [column for part in parts for column in part.get("columns", ())]
        table = read_cells(path, rows, wanted)
    except MmbertError as error:  # the format's extra is not installed here
        return {row: [("samples", "none", f"not shown, {error}")] for row in rows}
    return {
        row: [
            (name, shown_as(part), masked_cell(cell_of(part, cells), part, path.parent, privacy))
            for name, part in described["encoders"].items()
        ]
        for row, cells in table.items()
    }


def masked_cell(cell: Any, part: Mapping[str, str], folder: Path, privacy: Privacy) -> str:
    """See ``shown_cell``; texts are masked, the content of pictures and sounds is as it is."""
    shown = shown_cell(cell, part["kind"], shown_as(part), folder)
    return shown if shown.startswith("data:") and shown_as(part) != "text" else privacy.masked(shown)


def cell_of(part: Mapping[str, Any], cells: Mapping[str, Any]) -> Any:
    """An encoder's cell among those of a row; of two that it reads together the one text after the other.

    Of a record's cells those that are filled, with their columns.
    """
    if "columns" in part:
        filled = [f"{name}: {cells[name]}" for name in part["columns"] if not is_empty(cells.get(name))]
        return "\n".join(filled) or None
    cell = cells.get(part["column"])
    if "before" not in part or is_empty(cell):
        return cell
    before = cells.get(part["before"])
    return cell if is_empty(before) else shown_pair(before, cell)


def is_table_of(path: Path, fingerprint: Any) -> bool:
    """Whether a file has the bytes of which a run's ``data_fingerprint`` is the beginning of a hash."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return isinstance(fingerprint, str) and len(fingerprint) >= 16 and digest.startswith(fingerprint)


def shown_as(part: Mapping[str, str]) -> str:
    """``text``, ``image``, ``audio`` or ``none``; runs from before this was written down are shown by their kind."""
    return part.get("shown_as") or (part["kind"] if part["kind"] in ("text", "image", "audio") else "none")


def shown_cell(cell: Any, kind: str, how: str, folder: Path) -> str:
    """A cell as the page shows it: the text, a data: URI, or a word on what is there instead."""
    if is_empty(cell):
        return "missing"
    if how == "text":
        return cell_excerpt(cell) if isinstance(cell, (bytes, dict)) else str(cell)
    if how not in ("image", "audio"):
        return f"{kind}, not shown"
    try:
        content = content_of(cell, folder)
        return embedded_picture(content) if how == "image" else embedded_sound(content)
    except (OSError, ValueError) as error:
        return f"not shown, {getattr(error, 'strerror', None) or error}: {name_in(cell)}"


def name_in(cell: Any) -> str:
    """What a cell names; empty for one that holds its bytes alone."""
    if isinstance(cell, bytes):
        return ""
    return str((cell.get("path") or "") if isinstance(cell, dict) else cell)


def content_of(cell: Any, folder: Path) -> bytes:
    """The bytes that a cell holds, or those of the file that it names, which must lie below the table's folder.

    Raises:
        OSError: the file cannot be read.
        ValueError: it lies elsewhere, is too large, or is no file.
    """
    if isinstance(cell, bytes):
        content = cell
    elif isinstance(cell, dict) and cell.get("bytes") is not None:
        content = bytes(cell["bytes"])
    else:
        place = Path(os.path.realpath(named_file(folder, name_in(cell))))
        if Path(os.path.realpath(folder)) not in place.parents:
            raise ValueError("it lies outside the table's folder")
        if not stat.S_ISREG(place.stat().st_mode):
            raise ValueError("it is no file")
        if place.stat().st_size > MOST:
            raise ValueError(f"{place.stat().st_size / 2**20:.1f} MiB")
        content = place.read_bytes()
    if len(content) > MOST:
        raise ValueError(f"{len(content) / 2**20:.1f} MiB")
    return content
