"""A saved model's answers for every row of a table, written as they come: memory does not grow with the table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.folder_lock import folder_lock
from mmbert.core.privacy import Privacy
from mmbert.core.types import Batch
from mmbert.core.whole_files import naming, sync
from mmbert.data.datamodule import MultimodalData
from mmbert.data.splits.splits import ALL
from mmbert.model import MultimodalModel
from mmbert.runs.predictions import arrow_array
from mmbert.training.callbacks.skipped_rows import write_skipped

#: A sample's answers: ``{task: {"prediction": label, "probabilities": ...}}``.
Answers = Mapping[str, Mapping[str, Any]]


class Writer(Protocol):
    """One kind of file that answers go into; built with its path and each task's kind."""

    def write(self, rows: Sequence[int], answers: Sequence[Answers]) -> None:
        """Adds rows, numbered from 0, with their answers."""
        ...

    def close(self) -> None:
        """Ends the file; it can be read from here on."""
        ...


class JsonLinesWriter:
    """One object a line: ``{"row": 0, "answer": {"prediction": "12", "probabilities": {"12": 0.9}}}``."""

    def __init__(self, path: Path, kinds: Mapping[str, str]) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, rows: Sequence[int], answers: Sequence[Answers]) -> None:
        """Adds lines, and hands them to the system at once."""
        for row, answer in zip(rows, answers, strict=True):
            self._file.write(json.dumps({"row": row, **answer}, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


class ParquetWriter:
    """Columns ``row``, ``TASK/prediction`` and ``TASK/probabilities`` (a struct by class)."""

    def __init__(self, path: Path, kinds: Mapping[str, str]) -> None:
        self._path = path
        self._kinds = kinds
        self._writer: Any = None

    def write(self, rows: Sequence[int], answers: Sequence[Answers]) -> None:
        """Adds one row group."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not rows:
            return
        columns: dict[str, Any] = {"row": pa.array(rows, pa.int64())}
        for task in answers[0]:
            for key in answers[0][task]:
                cells = [answer[task][key] for answer in answers]
                # the type must not depend on the batch: lists are of text even where all are empty
                plain = pa.array(cells) if key == "probabilities" else arrow_array(cells, self._kinds[task])
                columns[f"{task}/{key}"] = plain
        part = pa.table(columns)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, part.schema)
        self._writer.write_table(part.cast(self._writer.schema))

    def close(self) -> None:
        """Ends the file, if there were any rows."""
        if self._writer is not None:
            self._writer.close()


WRITERS: dict[str, type[JsonLinesWriter] | type[ParquetWriter]] = {
    ".jsonl": JsonLinesWriter,
    ".ndjson": JsonLinesWriter,
    ".parquet": ParquetWriter,
}


@dataclass(frozen=True)
class Answered:
    """What was done.

    Attributes:
        rows: so many have answers.
        skipped: so many could not be used.
        absent: modalities of the model for which the table has no column.
        notes: what was guessed as the table was read.
    """

    rows: int
    skipped: int
    absent: list[str]
    notes: list[str]


def predict_table(
    model: MultimodalModel,
    table: Path,
    out: Path,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    batch_size: int = 32,
    num_workers: int | None = None,
    device: str = "auto",
    on_error: Any = "raise",
    trusted: bool = True,
    progress: bool = False,
    na_values: Any = (),
    privacy: Privacy | None = None,
) -> Answered:
    """Writes the model's answers for every row of a table. Labels are not needed.

    Args:
        model: a loaded model.
        table: CSV, TSV, JSONL, Parquet or Excel; file names in it are relative to its folder.
        out: .jsonl or .parquet. Until all is done the file has ``.partial`` in its name; what is in it stays if the
            work is interrupted.
        columns: the table's column by encoder name, or two that are read together; an encoder that is not listed reads
            the column of its own name, and one without a column has no modality.
        batch_size: rows that go through the model at once.
        num_workers: processes that read; None = one fewer than the cores, at most 4.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        on_error: ``skip`` leaves out rows that cannot be used and lists them in ``NAME.skipped.csv``.
        trusted: files outside the table's folder may be read.
        progress: show a bar.
        na_values: words that count as empty cells, as in training.
        privacy: what of the reasons why rows were skipped may be written; None = everything.

    Raises:
        ConfigError: the ending of ``out``, the device or a column is wrong.
        DataError: the table or, with ``on_error=raise``, a row cannot be used.
    """
    if out.suffix.lower() not in WRITERS:
        raise ConfigError(f"out={out}: answers are written as {', '.join(WRITERS)}; the ending says which.")
    target = chosen_device(device)
    options = {"batch_size": batch_size, "num_workers": num_workers, "on_error": on_error, "na_values": na_values}
    options["trusted"] = trusted
    data, absent = whole_table(model, table, columns or {}, options)
    kinds = {name: task.kind for name, task in model.named_tasks().items()}
    skipped, count = dict(data.skipped), 0
    with growing_file(out, kinds) as writer, bar(progress) as track:
        for rows, answers, faults in answered(model.to(target).eval(), track(data.loader(ALL)), target):
            writer.write(rows, answers)
            skipped |= faults
            count += len(rows)
    write_skipped(out.with_suffix(".skipped.csv"), data.table, skipped, privacy)
    return Answered(count, len(skipped), absent, data.notes)


@contextmanager
def growing_file(out: Path, kinds: Mapping[str, str]) -> Iterator[Writer]:
    """A writer into ``NAME.partial.ENDING``, which gets its own name when all is done; ``out`` stays if nothing came.

    Raises:
        FolderInUse: another process writes the same file.
    """
    partial = out.with_name(f"{out.stem}.partial{out.suffix}")
    with folder_lock(out.parent, "wait until it has ended, or name another file: out=FILE", file=out.name):
        partial.unlink(missing_ok=True)
        writer = WRITERS[out.suffix.lower()](partial, kinds)
        with naming(partial):
            try:
                yield writer
            finally:
                writer.close()
        if partial.exists() and partial.stat().st_size:
            sync(partial)
            partial.replace(out)
        partial.unlink(missing_ok=True)


def answered(
    model: MultimodalModel, batches: Any, device: torch.device
) -> Iterator[tuple[list[int], list[Answers], dict[int, str]]]:
    """Row numbers, their answers, and what could not be read, batch by batch."""
    for batch in batches:
        assert isinstance(batch, Batch)
        with torch.inference_mode():
            answers = model.answers(model(batch.to(device).inputs), batch.alignments)
        rows = batch.rows.tolist()
        real = [place for place, row in enumerate(rows) if row >= 0]  # the others stand in for unreadable ones
        yield [rows[place] for place in real], [answers[place] for place in real], dict(batch.skipped)


def whole_table(
    model: MultimodalModel, path: Path, columns: Mapping[str, str | Sequence[str]], options: Mapping[str, Any]
) -> tuple[MultimodalData, list[str]]:
    """The table as one split, and the modalities that it has no column for; ``options`` are those of the data.

    Raises:
        ConfigError: ``columns`` names no encoder of the model.
        DataError: a column that is named does not exist, or the table has none for any modality.
    """
    encoders = model.named_encoders()
    for name in columns:
        if name not in encoders:
            raise ConfigError(f"columns.{name}: the model has no such modality. {nearest(name, encoders)}")
    data = MultimodalData(path, columns=dict(columns), only=[ALL], **options)
    processors = {name: encoder.processor for name, encoder in encoders.items()}
    data.read_as_by(processors)
    data.require_columns(columns)
    absent = [name for name in encoders if not data.has_column(data.column_of(name))]
    if len(absent) == len(encoders):
        raise DataError(
            f"{path} has a column for none of the model's modalities ({', '.join(encoders)}). "
            f"Columns: {', '.join(data.column_names)}. Name one: columns.{absent[0]}=COLUMN"
        )
    data.drop = tuple(absent)
    data.bind(processors, {}, model.aligned_to)
    return data, absent


def chosen_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        ConfigError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={name} cannot be used on this machine. Try device=auto or device=cpu.") from error
    return device


class bar(AbstractContextManager[Any]):  # noqa: N801 (used as a function)
    """``with bar(True) as track: for item in track(loader)``: a progress bar while it runs, or nothing."""

    def __init__(self, wanted: bool) -> None:
        self._progress: Any = nullcontext()
        if wanted:
            from rich.progress import Progress

            self._progress = Progress(transient=True)

    def __enter__(self) -> Any:
        shown = self._progress.__enter__()

        def track(loader: DataLoader[Batch]) -> Any:
            return loader if shown is None else shown.track(loader, total=len(loader), description="rows")

        return track

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.__exit__(kind, error, traceback)
