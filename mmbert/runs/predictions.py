"""What a model said of every sample of a split, collected batch by batch and kept as a Parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mmbert.runs.folder import is_rank_zero

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class Column:
    """One task's share: per sample a target (None = unlabelled), a prediction, and for classes C probabilities."""

    targets: list[Any] = field(default_factory=list)
    predictions: list[Any] = field(default_factory=list)
    probabilities: list[np.ndarray] = field(default_factory=list)  # (C,) float32 each
    classes: list[str] = field(default_factory=list)


class PredictionTable:
    """Samples in the order of their table, each once, however many processes and padded batches they came in."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._columns: dict[str, Column] = {}
        self._sorted = True

    def add(
        self, rows: Tensor, tasks: Mapping[str, Any], outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]
    ) -> None:
        """Adds a batch.

        Args:
            rows: (B,) int64, the samples' numbers in their table.
            tasks: by name; they put outputs and targets into words.
            outputs: by task, (B, C) or (B,).
            targets: by task, the same samples.
        """
        decoded = {}
        for name, task in tasks.items():
            said = task.predictions(outputs[name])
            truth = [task.labels.decode(target) for target in targets[name].detach().cpu()]
            decoded[name] = {**said, "target": truth}
        self.add_decoded(rows.detach().cpu().tolist(), decoded)

    def add_decoded(self, rows: list[int], decoded: Mapping[str, Mapping[str, list[Any]]]) -> None:
        """Adds a batch in words: by task ``target``, ``prediction`` and, for classes, ``probabilities`` ({name: p})."""
        self._rows += rows
        self._sorted = False
        for name, said in decoded.items():
            column = self._columns.setdefault(name, Column())
            column.targets += said["target"]
            column.predictions += said["prediction"]
            for probabilities in said.get("probabilities") or ():
                if not column.classes:
                    column.classes = list(probabilities)
                column.probabilities.append(np.fromiter(probabilities.values(), dtype=np.float32))

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
        """``classification``, ``multilabel``, ``regression`` or ``other``, by what the predictions are."""
        column = self._columns[task]
        first = next((value for value in column.predictions if value is not None), None)
        if column.classes:
            return "multilabel" if isinstance(first, list) else "classification"
        return "regression" if isinstance(first, (int, float)) and not isinstance(first, bool) else "other"

    def classes(self, task: str) -> list[str]:
        """The classes' names, in the order of the probabilities; empty for a task without classes."""
        return self._columns[task].classes

    def labelled(self, task: str) -> tuple[np.ndarray, np.ndarray]:
        """Truth and judgement of the samples that are labelled for a task.

        Returns:
            classification: class indices (N,) int64 and probabilities (N, C); multilabel: 0 or 1 (N, C) and
            probabilities (N, C); regression: numbers (N,) and numbers (N,).
        """
        self._settle()
        column = self._columns[task]
        known = [i for i, target in enumerate(column.targets) if target is not None]
        kind = self.kind(task)
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
        self._rows, self._columns, self._sorted = [], {}, False
        for rows, columns in parts:
            self._rows += rows
            for name, part in columns.items():
                column = self._columns.setdefault(name, Column(classes=part.classes))
                column.targets += part.targets
                column.predictions += part.predictions
                column.probabilities += part.probabilities
        return self

    def to_arrow(self) -> pa.Table:
        """``row``, and by task ``TASK/target``, ``TASK/prediction``, ``TASK/probabilities`` (a struct by class)."""
        import pyarrow as pa

        self._settle()
        arrays: dict[str, Any] = {"row": pa.array(self._rows, pa.int64())}
        for name, column in self._columns.items():
            kind = {"classification": pa.string(), "multilabel": pa.list_(pa.string()), "regression": pa.float64()}.get(
                self.kind(name)
            )
            arrays[f"{name}/target"] = pa.array(column.targets, kind)
            arrays[f"{name}/prediction"] = pa.array(column.predictions, kind)
            if column.classes:
                stacked = np.stack(column.probabilities)
                parts = [pa.array(stacked[:, i], pa.float32()) for i in range(len(column.classes))]
                arrays[f"{name}/probabilities"] = pa.StructArray.from_arrays(parts, names=column.classes)
        return pa.table(arrays)

    def write(self, path: Path) -> None:
        """A Parquet file, whole or not at all; by the first rank alone."""
        if not is_rank_zero():
            return
        import pyarrow.parquet as pq

        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            pq.write_table(self.to_arrow(), temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

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
