"""A model's predictions for every sample of a split, collected batch by batch and kept as a Parquet file."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mmbert.core.distributed import is_rank_zero
from mmbert.core.errors import InputError
from mmbert.core.privacy import Privacy
from mmbert.core.whole_files import whole_file

if TYPE_CHECKING:
    import pyarrow as pa

#: Arrow's types of the labels and predictions of tasks of each kind; those of other kinds are kept as text.
ARROW_TYPES = {"classification": "string", "multilabel": "list<string>", "regression": "double"}


@dataclass
class Column:
    """One task's share: per sample a target (None = unlabelled), a prediction, and for classes C probabilities.

    The probabilities are None where a sample has nothing to judge, such as a picture alone for matching.
    """

    targets: list[Any] = field(default_factory=list)
    predictions: list[Any] = field(default_factory=list)
    probabilities: list[np.ndarray | None] = field(default_factory=list)  # (C,) float32 each
    classes: list[str] = field(default_factory=list)


class PredictionTable:
    """Samples in the order of their table, each once, however many processes and padded batches they came in.

    Args:
        kinds: each task's ``Task.kind`` by its name: ``classification``, ``multilabel`` or ``regression``; predictions
            of any other kind may be whatever JSON can hold.
        quoting: tasks whose targets or predictions quote samples (``Task.quotes_samples``).
    """

    def __init__(self, kinds: Mapping[str, str], quoting: Collection[str] = ()) -> None:
        self._kinds = dict(kinds)
        self._quoting = {name for name in quoting if kinds[name] not in ARROW_TYPES}
        self._rows: list[int] = []
        self._columns = {name: Column() for name in kinds}
        self._sorted = True

    def add(
        self,
        rows: Sequence[int],
        answers: Mapping[str, Sequence[Mapping[str, Any]]],
        targets: Mapping[str, Sequence[Any]],
    ) -> None:
        """Adds a batch.

        Args:
            rows: the samples' numbers in their table; negative for copies that only fill up the batch: left out.
            answers: by task, for each sample ``prediction`` and, for classes, ``probabilities`` {class: p}, or None
                where there is nothing to judge; where there is no ``prediction``, all of it is.
            targets: by task, for each sample its label in the same words, None where unlabelled.
        """
        real = [place for place, row in enumerate(rows) if row >= 0]
        self._rows += [rows[place] for place in real]
        self._sorted = False
        for name, column in self._columns.items():
            given = [answers[name][place] for place in real]
            column.targets += [targets[name][place] for place in real]
            column.predictions += [answer.get("prediction", answer) for answer in given]
            for answer in given:
                if "probabilities" in answer:
                    shares = answer["probabilities"]
                    column.classes = column.classes or list(shares or ())
                    column.probabilities.append(
                        None if shares is None else np.fromiter(shares.values(), dtype=np.float32)
                    )

    def __len__(self) -> int:
        self._settle()
        return len(self._rows)

    @property
    def rows(self) -> list[int]:
        """The samples' row numbers, ascending."""
        self._settle()
        return self._rows

    @property
    def tasks(self) -> list[str]:
        """The tasks' names."""
        return list(self._columns)

    def kind(self, task: str) -> str:
        """The task's kind."""
        return self._kinds[task]

    def classes(self, task: str) -> list[str]:
        """The classes' names, in the order of the probabilities; empty for a task without classes."""
        return self._columns[task].classes

    def labelled(self, task: str) -> tuple[np.ndarray, np.ndarray]:
        """Labels and predictions of the samples that are labelled for a task.

        Returns:
            classification: class indices (N,) int64 and probabilities (N, C); multilabel: 0 or 1 (N, C) and
            probabilities (N, C); regression: numbers (N,) and numbers (N,).

        Raises:
            InputError: the task is of another kind.
        """
        kind = self.kind(task)
        if kind not in ARROW_TYPES:
            raise InputError(f"The predictions of '{task}', a task of kind '{kind}', are no numbers.")
        self._settle()
        column = self._columns[task]
        known = [i for i, target in enumerate(column.targets) if target is not None]
        if kind == "regression":
            truth = np.array([column.targets[i] for i in known], dtype=np.float64)
            return truth, np.array([column.predictions[i] for i in known], dtype=np.float64)
        size = len(column.classes)
        index = {name: i for i, name in enumerate(column.classes)}
        probabilities = np.array([column.probabilities[i] for i in known], dtype=np.float64).reshape(len(known), size)
        if kind == "classification":
            return np.array([index[column.targets[i]] for i in known], dtype=np.int64), probabilities
        truth = np.zeros((len(known), size), dtype=np.int64)
        for place, i in enumerate(known):
            for name in column.targets[i]:
                truth[place, index[name]] = 1
        return truth, probabilities

    def predicted_classes(self, task: str) -> np.ndarray:
        """(N,) int64, what a classification task answers of its labelled samples, the N of ``labelled``.

        Where it abstains it is the most probable class.
        """
        self._settle()
        column = self._columns[task]
        index: dict[Any, int] = {name: i for i, name in enumerate(column.classes)}
        known = [i for i, target in enumerate(column.targets) if target is not None]
        most = self.labelled(task)[1].argmax(1) if known else []
        found = [index.get(column.predictions[i], int(best)) for i, best in zip(known, most, strict=True)]
        return np.array(found, dtype=np.int64)

    def records(self, limit: int | None = None) -> list[dict[str, Any]]:
        """The first samples as ``{"row": 0, "answer/target": …, "answer/prediction": …}``."""
        self._settle()
        count = len(self._rows) if limit is None else min(limit, len(self._rows))
        return [
            {"row": self._rows[i]}
            | {f"{name}/target": column.targets[i] for name, column in self._columns.items()}
            | {f"{name}/prediction": column.predictions[i] for name, column in self._columns.items()}
            for i in range(count)
        ]

    def gather(self) -> PredictionTable:
        """Under distributed training every process ends with all processes' samples; elsewhere nothing happens.

        Every process must call it.
        """
        import torch.distributed as dist

        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return self
        parts: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(parts, (self._rows, self._columns))
        self._rows, self._columns, self._sorted = [], {name: Column() for name in self._kinds}, False
        for rows, columns in parts:
            self._rows += rows
            for name, part in columns.items():
                column = self._columns[name]
                column.classes = column.classes or part.classes
                column.targets += part.targets
                column.predictions += part.predictions
                column.probabilities += part.probabilities
        return self

    def private(self, privacy: Privacy) -> PredictionTable:
        """The table as it may be written: what quotes samples is masked, or left out (null).

        Rows, classes, numbers and probabilities are the same, and so is this table itself.
        """
        if not (privacy.hides and self._quoting):
            return self
        self._settle()
        table = PredictionTable(self._kinds, self._quoting)
        table._rows, table._columns = self._rows, dict(self._columns)
        for name in self._quoting:
            column = self._columns[name]
            targets, predictions = map(privacy.quote, column.targets), map(privacy.quote, column.predictions)
            table._columns[name] = replace(column, targets=list(targets), predictions=list(predictions))
        return table

    def to_arrow(self) -> pa.Table:
        """``row``, and by task ``TASK/target``, ``TASK/prediction``, ``TASK/probabilities`` (a struct by class).

        Of tasks whose predictions are neither classes nor numbers, texts are kept as they are and all else as JSON.
        """
        import pyarrow as pa

        self._settle()
        arrays: dict[str, Any] = {"row": pa.array(self._rows, pa.int64())}
        for name, column in self._columns.items():
            arrays[f"{name}/target"] = arrow_array(column.targets, self.kind(name))
            arrays[f"{name}/prediction"] = arrow_array(column.predictions, self.kind(name))
            if column.classes:
                arrays[f"{name}/probabilities"] = arrow_shares(column.probabilities, column.classes)
        return pa.table(arrays)

    def write(self, path: Path) -> None:
        """A Parquet file, whole or not at all; by the first rank alone."""
        if not is_rank_zero():
            return
        import pyarrow.parquet as pq

        with whole_file(path) as temporary:
            pq.write_table(self.to_arrow(), temporary, write_page_checksum=True)

    def take(self, task: str, other: PredictionTable) -> None:
        """Takes a task's targets and predictions from another table of the same samples."""
        assert self.rows == other.rows
        self._columns[task] = other._columns[task]

    def _settle(self) -> None:
        """Orders the samples by row and drops the copies that a distributed sampler adds to fill its last batch."""
        if self._sorted:
            return
        rows = torch.tensor(self._rows, dtype=torch.int64).numpy()
        _, first = np.unique(rows, return_index=True)
        self._rows = rows[first].tolist()
        for column in self._columns.values():
            column.targets = [column.targets[i] for i in first]
            column.predictions = [column.predictions[i] for i in first]
            if column.probabilities:
                column.probabilities = [column.probabilities[i] for i in first]
        self._sorted = True


def arrow_array(values: Sequence[Any], kind: str) -> pa.Array:
    """Labels or predictions as an Arrow array whose type follows from the task's kind; of other kinds it is text."""
    import pyarrow as pa

    if kind not in ARROW_TYPES:
        texts = [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
        return pa.array(texts, pa.string())
    types = {"string": pa.string(), "list<string>": pa.list_(pa.string()), "double": pa.float64()}
    return pa.array(values, types[ARROW_TYPES[kind]])


def arrow_shares(probabilities: Sequence[np.ndarray | None], classes: Sequence[str]) -> pa.Array:
    """Of each sample a struct of C probabilities (C,), null where there are none."""
    import pyarrow as pa

    none = np.array([shares is None for shares in probabilities])
    nothing = np.zeros(len(classes), dtype=np.float32)
    stacked = np.stack([nothing if shares is None else shares for shares in probabilities])  # (N, C)
    parts = [pa.array(stacked[:, i], pa.float32()) for i in range(len(classes))]
    return pa.StructArray.from_arrays(parts, names=list(classes), mask=pa.array(none))
