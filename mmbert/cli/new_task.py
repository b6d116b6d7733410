"""``mmbert-new-task``: the files of a task of one's own, which pass the checks and train as they are.

mmbert-new-task my_task
mmbert-check-task my_task
mmbert-train +task@tasks.mine=my_task tasks.mine.column=COLUMN
"""

from __future__ import annotations

from mmbert.cli.scaffold import check_name, names, new_parser, run_new

MODULE = '''\
"""{title}: what it does in a line.

Paper: who, when, "title", where; and how this differs from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MetricCollection

from mmbert.core.errors import DataError, nearest
from mmbert.core.masks import blank
from mmbert.core.types import UNLABELLED, Loss, State, Tensors
from mmbert.data.tables.cells import cell_text
from mmbert.tasks.base import Task
from mmbert.tasks.class_counts import Accuracy
from mmbert.tasks.class_options import ClassIndex, joined_counts, natural_order


class {kind}(Task):
    """One class a sample, by cross-entropy.

    Targets: ``label`` (B,) int64, UNLABELLED where missing. Outputs: ``logits`` (B, C).

    Args:
        in_dim: width H of the fused vector.
        column: the table's column with the labels.
        classes: the C names in the order of the logits; learnt from the train split.
        weight: share of this task in a multi-task loss.
        dropout: on the head's input.
    """

    kind = "classification"  # how predictions are stored and drawn; a word of your own for any other kind
    main_metric = "accuracy"

    def __init__(
        self, in_dim: int, column: str, classes: Sequence[str], weight: float = 1.0, dropout: float = 0.1
    ) -> None:
        super().__init__(in_dim, column, weight)
        self.classes = list(classes)
        self.index = ClassIndex(self.classes)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(in_dim, len(self.classes)))

    # labels: encode and collate run in the loader's worker processes, on a copy without weights

    @classmethod
    def fit_labels(cls, cells: Iterable[Any], column: str) -> dict[str, Any]:
        """Arguments of ``__init__`` that follow from the train split's cells."""
        return {{"classes": natural_order(joined_counts(cell_text(cell) for cell in cells if cell is not None))}}

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> int | None:
        """A cell -> its class; None where it is empty."""
        cell = cells[self.columns[0]]
        if cell is None:
            return None
        place = self.index.find(cell_text(cell))
        if place is None:
            raise DataError(f"the label '{{cell}}' is no class. {{nearest(str(cell), self.classes)}}")
        return place

    def collate(self, targets: Sequence[int | None]) -> Tensors:
        """What ``encode`` gave of a batch -> ``label`` (B,) int64."""
        return {{"label": torch.tensor([UNLABELLED if target is None else target for target in targets])}}

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool."""
        return targets["label"] != UNLABELLED

    def decode(self, targets: Tensors) -> list[str | None]:
        """Targets -> the labels in the table's words."""
        return [None if i == UNLABELLED else self.classes[i] for i in targets["label"].tolist()]

    # head, loss, metrics, predictions

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """pooled (B, H) -> ``logits`` (B, C)."""
        return {{"logits": self.head(state.fused.pooled)}}

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """The sum over labelled samples, and how many they are."""
        logits = blank(outputs["logits"].float(), self.labelled(targets))
        total = F.cross_entropy(logits, targets["label"], ignore_index=UNLABELLED, reduction="sum")
        return Loss(total, self.count(targets))

    def make_metrics(self) -> MetricCollection:
        """``accuracy``."""
        return MetricCollection({{"accuracy": Accuracy(len(self.classes))}})

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the labelled samples of a batch."""
        labelled = self.labelled(targets)
        metrics.update(outputs["logits"][labelled].float().softmax(-1), targets["label"][labelled])

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction`` and ``probabilities`` of each sample."""
        shares = outputs["logits"].detach().float().softmax(-1)
        return [
            {{"prediction": self.classes[best], "probabilities": dict(zip(self.classes, row, strict=True))}}
            for best, row in zip(shares.argmax(-1).tolist(), shares.tolist(), strict=True)
        ]
'''

CONFIG = """\
# {title}: what it does in a line.
# Try: mmbert-train +task@tasks.mine={name} tasks.mine.column=COLUMN
_target_: {name}.{kind}
column: ??? # the table's column with the labels
classes: null # their names in the order of the logits; null = those of the train split
weight: 1.0 # share of this task in a multi-task loss
dropout: 0.1 # on the head's input
"""

TEST = """\
from mmbert.testing import task_tests
from {name} import {kind}
Test{kind} = task_tests({kind}, cells=["low", "high", "middle", "high"])
"""


def main() -> None:
    """Entry point of the console script."""
    parser = new_parser(
        "task",
        "Writes NAME.py (the class), task/NAME.yaml (its options) and test_NAME.py (the laws, for pytest) into the "
        "folder you stand in.",
    )
    run_new(
        parser,
        lambda args: contents(args.name),
        "mmbert-check-task {name}\nmmbert-train +task@tasks.mine={name} tasks.mine.column=COLUMN",
    )


def contents(name: str) -> dict[str, str]:
    """The files by their path, below the folder one stands in.

    Raises:
        ConfigError: the name cannot be used.
    """
    check_name(name, "task", ["task"])
    given = names(name)
    return {
        f"{name}.py": MODULE.format(**given),
        f"task/{name}.yaml": CONFIG.format(**given),
        f"test_{name}.py": TEST.format(**given),
    }


if __name__ == "__main__":
    main()
