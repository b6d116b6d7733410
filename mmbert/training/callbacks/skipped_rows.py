"""The rows that a run left out because they cannot be used (``data.on_error=skip``): counted, listed, never silent."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities import rank_zero_only

from mmbert.core.privacy import Privacy
from mmbert.core.types import Batch
from mmbert.core.whole_files import write_whole_text
from mmbert.data.tables.table import Table

#: Rows that the terminal names; the file has all.
SHOWN = 5


class SkippedRows(Callback):
    """Collects what batches say of rows that could not be read. A checkpoint keeps it for the resumed run.

    Args:
        privacy: what of the reasons, which may quote cells, a checkpoint may keep.

    Attributes:
        rows: why, by row number from 0; those of this process.
    """

    def __init__(self, privacy: Privacy | None = None) -> None:
        self.privacy = Privacy() if privacy is None else privacy
        self.rows: dict[int, str] = {}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Takes note of a training batch: outputs, batch, index."""
        self._note(args[1])

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Takes note of a validation batch."""
        self._note(args[1])

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """Takes note of a test batch."""
        self._note(args[1])

    def _note(self, batch: Batch) -> None:
        self.rows |= dict(batch.skipped)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"rows": {row: self.privacy.message(reason) for row, reason in self.rows.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What a checkpoint kept."""
        self.rows = dict(state_dict["rows"])

    def gather(self) -> dict[int, str]:
        """The rows of all processes. Every process must call it."""
        import torch.distributed as dist

        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return self.rows
        parts: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(parts, self.rows)
        return {row: reason for part in parts for row, reason in part.items()}


def rows_and_reasons(table: Table, skipped: Mapping[int, str]) -> list[tuple[int, str]]:
    """Row numbers from 1 and reasons, in the table's order; a reason does not name its row again."""
    return [(row + 1, skipped[row].removeprefix(f"{table.where(row)}, ")) for row in sorted(skipped)]


@rank_zero_only
def write_skipped(path: Path, table: Table, skipped: Mapping[int, str], privacy: Privacy | None = None) -> None:
    """Leaves a CSV file (row, reason) where rows were skipped, and names the first of them in the terminal.

    Of a private run the file has the reasons masked, or none of them; the terminal has them as they are.
    """
    if not skipped:
        return
    rows = rows_and_reasons(table, skipped)
    text = io.StringIO()
    privacy = Privacy() if privacy is None else privacy
    written = [(row, privacy.message(reason)) for row, reason in rows]
    csv.writer(text, lineterminator="\n").writerows([("row", "reason"), *written])
    write_whole_text(path, text.getvalue())
    count = f"{len(rows)} rows were" if len(rows) > 1 else "1 row was"
    print(f"  {count} skipped, all listed in {path.name}:")
    for row, reason in rows[:SHOWN]:
        print(f"    row {row}: {reason}")
