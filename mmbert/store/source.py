"""``ArrayStoreSource``: reads one encoder's samples from an array store, for the data set of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mmbert.data.loading.cached import StoredTokens
from mmbert.store.array_store import ABSENT, ArrayStore


class ArrayStoreSource:
    """The stored samples of a table's rows for one encoder; implements ``Source``.

    Args:
        array_store: where they are kept.
        places: (rows of the table,) int64, ABSENT where nothing is stored.
        unpack: (long, fixed) -> a prepared value; None = the arrays are tokens and pooled vector.
        tokens: read tokens too, not only the vector.
    """

    def __init__(
        self, array_store: ArrayStore, places: np.ndarray, unpack: Callable[..., Any] | None, tokens: bool
    ) -> None:
        self.array_store, self.places, self.unpack, self.tokens = array_store, places, unpack, tokens

    def row(self, row: int) -> Any:
        """The stored value of a row; None if there is none, or it is damaged and is now deleted."""
        place = int(self.places[row])
        if place == ABSENT:
            return None
        entry = self.array_store.entry(place, self.tokens)
        if entry is None:
            self.places[self.places == place] = ABSENT
            self.array_store.delete(self.array_store.key(place)[None])
            return None
        long, fixed = entry
        if self.unpack is not None:
            return self.unpack(long, fixed)
        return StoredTokens(long.reshape(-1, len(fixed)) if self.tokens else None, fixed)
