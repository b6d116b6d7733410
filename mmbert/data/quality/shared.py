"""Texts and file names that train shares with other splits: the cheap check that every run makes by itself."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_of


def shared_cells(data: MultimodalData) -> list[str]:
    """One line for each column and split whose texts, or file names, train has too; no file is opened.

    The data are connected, so that it is known which columns matter.
    """
    lines = []
    train = data.rows.get("train", np.empty(0, np.int64))
    for name, processor in data.processors.items():
        column = data.column_of(name)
        if name in data.drop or not data.table.is_text(column):
            continue
        what = "file" if modality_of(processor).names_files else "text"
        for split in ("val", *data.test_splits):
            count = data.table.shared(column, train, data.rows[split])
            if count:
                rows = len(data.rows[split])
                lines.append(
                    f"{count:,} of {rows:,} rows of '{split}' have their {what} (column '{column}') in train too"
                )
    pa.default_memory_pool().release_unused()
    return lines
