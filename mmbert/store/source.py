"""What a run's data reads of a shelf: the ``Source`` of one encoder's samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mmbert.data.loading.cached import StoredTokens
from mmbert.store.array_store import ABSENT, ArrayStore


class Rows:
    """What is kept of a table's rows for one encoder; the ``Source`` of its samples.

    Args:
        shelf: where.
        places: (rows of the table,) int64, ABSENT where nothing is kept.
        unpack: (long, fixed) -> a prepared value; None = they are tokens and vector.
        tokens: read tokens too.
    """

    def __init__(
        self, array_store: ArrayStore, places: np.ndarray, unpack: Callable[..., Any] | None, tokens: bool
    ) -> None:
        self.array_store, self.places, self.unpack, self.tokens = array_store, places, unpack, tokens

    def row(self, row: int) -> Any:
        """What is kept of a row, None if nothing is, or what is there is damaged; that is then taken out."""
        place = int(self.places[row])
        if place == ABSENT:
            return None
        entry = self.array_store.entry(place, self.tokens)
        if entry is None:
            self.places[self.places == place] = ABSENT
            self.array_store.bury(self.array_store.key(place)[None])
            return None
        long, fixed = entry
        if self.unpack is not None:
            return self.unpack(long, fixed)
        return StoredTokens(long.reshape(-1, len(fixed)) if self.tokens else None, fixed)
