"""The results of a finished run, and how they are written and logged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.distributed import is_rank_zero
from mmbert.core.file_names import named_file
from mmbert.core.privacy import Privacy
from mmbert.core.types import InputFile
from mmbert.core.whole_files import write_whole_bytes
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.base import bytes_and_name
from mmbert.data.modalities.registry import modality_of
from mmbert.data.modalities.text_pair import is_pair_cell
from mmbert.data.tables.cells import shown_pair
from mmbert.runs.contents import METRIC_NOTES
from mmbert.runs.folder import RunFolder
from mmbert.runs.predictions import PredictionTable
from mmbert.training.build import Parts
from mmbert.training.loggers.group import RunLoggers
from mmbert.training.model_card import model_card
from mmbert.training.plots import run_plots as plots
from mmbert.training.plots.modality_weights import write_modality_weights


@dataclass
class Results:
    """Numbers and predictions, all of them with the weights of one checkpoint.

    Attributes:
        test_splits: those that choose nothing.
        checkpoint: which weights: path, epoch, step, and the monitored value that chose them.
        checkpoints: with ``checkpoint.per_task=true`` the same by task, for those measured with another one.
        metrics: ``SPLIT/TASK/METRIC``.
        notes: how a metric was computed, by its name, where its name alone does not say it.
        predictions: by split.
        facts: seed, times, memory.
        diagnostics: what ``diagnostics.json`` holds; empty where the fusion reports none.
        shares: what it is made of, by split and name (N, M).
        hidden: ``TASK/METRIC`` that tables and curves for people leave out.
    """

    test_splits: list[str]
    checkpoint: dict[str, Any]
    checkpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    predictions: dict[str, PredictionTable] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)
    shares: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)

    @property
    def score(self) -> float:
        """The monitored value of the chosen checkpoint."""
        value = self.checkpoint["value"]
        return math.nan if value is None else float(value)


def write_results(
    results: Results, parts: Parts, loggers: RunLoggers, run: RunFolder, config: Mapping[str, Any]
) -> None:
    """Metrics, predictions, model and plots into the run's folder, and the same to the loggers."""
    if results.checkpoints:
        results.facts["checkpoints"] = results.checkpoints
    noted = {METRIC_NOTES: results.notes} if results.notes else {}
    run.write_metrics(results.metrics, results.checkpoint, {**results.facts, **noted})
    if not is_rank_zero():
        return
    if results.diagnostics:
        run.write_diagnostics(results.diagnostics)
    privacy = Privacy.of(config.get("privacy"))
    tables = {split: table.private(privacy) for split, table in results.predictions.items()}
    for split, table in tables.items():
        table.write(run.predictions_of(split))
    loggers.show_summary({**results.metrics, **results.facts})
    drawn = config.get("plots", True)
    figures = plots.write_learning_curves(run, results.hidden) if drawn else {}
    by_epoch = results.diagnostics.get("val_by_epoch") or []
    figures |= write_modality_weights(by_epoch, run.plots) if drawn else {}
    loggers.show_modality_weights(by_epoch)
    for split in results.test_splits[:1]:  # the others have their numbers and predictions: a page of plots is enough
        table = tables[split]
        figures |= plots.write_plots(table, split, run.plots) if drawn else {}
        loggers.show_charts(table, split)
        if loggers.num_samples and privacy.samples:
            rows = shown_samples(table, parts.data, loggers.num_samples, run.samples, privacy)
            loggers.show_samples(rows, split)
    loggers.show_figures(figures)
    known = {**results.facts, "checkpoint": results.checkpoint}
    parts.model.card = model_card(parts.model, config, results.metrics, known, results.test_splits)
    # last: a run that has its numbers and its model is finished, and nothing must be missing then
    saved = parts.model.save_pretrained(run.model)
    run.sign_model()
    loggers.show_model(saved)


def shown_samples(
    table: PredictionTable, data: MultimodalData, limit: int, folder: Path, privacy: Privacy | None = None
) -> list[dict[str, Any]]:
    """The first predictions with what they were made from: text, masked as ``privacy`` says, or an ``InputFile``.

    Pictures and sounds that lie in the table itself are written to ``folder``, for loggers take files; and so are
    copies of those whose path would have to be masked.
    """
    privacy = Privacy() if privacy is None else privacy
    samples = []
    for record in table.records(limit):
        shown: dict[str, Any] = {}
        for name, processor in data.processors.items():
            cell = data.table.cell(record["row"], data.column_of(name))
            modality = modality_of(processor)
            content, name_in_cell = bytes_and_name(cell)
            if content is not None:
                path = str(write_cell(content, name_in_cell, folder / f"{record['row']}_{name}"))
                shown[name] = InputFile(path, modality.shown_as)
            elif cell is not None and (file := modality.file_name(cell)) is not None:
                path = named_file(data.table.folder, file)
                if privacy.masked(path) != path:
                    path = unnamed_copy(Path(path), folder / f"{record['row']}_{name}", privacy)
                shown[name] = InputFile(path, modality.shown_as)
            else:
                shown[name] = privacy.masked_value(shown_pair(**cell) if is_pair_cell(cell) else cell)
        samples.append({"row": record["row"], **shown, **record})
    return samples


def unnamed_copy(file: Path, target: Path, privacy: Privacy) -> str:
    """The path of a copy of a file under another name; of a file that is not there its path, masked."""
    return str(write_cell(file.read_bytes(), file.name, target)) if file.is_file() else privacy.masked(str(file))


def write_cell(content: bytes, name: str | None, target: Path) -> Path:
    """A picture or sound as the file that it was, its ending that of its own name."""
    path = target.with_suffix(Path(name or "").suffix)
    write_whole_bytes(path, content)
    return path
