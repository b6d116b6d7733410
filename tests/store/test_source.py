"""A source gives rows what is stored of them: tokens, vectors or unpacked inputs, and nothing that is damaged."""

import numpy as np
import pytest

from mmbert.store.array_store import ABSENT, ArrayStore, SegmentWriter
from mmbert.store.source import ArrayStoreSource

KEYS = np.array([[1, 1], [2, 2]], np.uint64)


@pytest.fixture
def array_store(tmp_path):
    """(2, 2) tokens and their vector under the first key, one token under the second."""
    with SegmentWriter(ArrayStore(tmp_path, "float32", "float32", 2)) as writer:
        longs = [np.array([1, 2, 3, 4], np.float32), np.array([5, 6], np.float32)]
        writer.put(KEYS, longs, [np.array([7, 8], np.float32), np.array([9, 10], np.float32)])
    return ArrayStore(tmp_path, "float32", "float32", 2)


def places(array_store):
    """Of a table of four rows: the second sample twice, the first, and one that is not stored."""
    first, second = array_store.find(KEYS)
    return np.array([second, first, ABSENT, second])


def test_rows_are_read_where_they_are(array_store):
    source = ArrayStoreSource(array_store, places(array_store), None, tokens=True)
    assert source.row(1).tokens.tolist() == [[1, 2], [3, 4]] and source.row(1).pooled.tolist() == [7, 8]
    assert source.row(0).tokens.tolist() == source.row(3).tokens.tolist() == [[5, 6]]
    assert source.row(2) is None
    vectors = ArrayStoreSource(array_store, places(array_store), None, tokens=False)
    assert vectors.row(1).tokens is None and vectors.row(1).pooled.tolist() == [7, 8]


def test_inputs_are_unpacked(array_store):
    source = ArrayStoreSource(array_store, places(array_store), lambda *parts: [a.sum() for a in parts], tokens=True)
    assert source.row(1) == [10, 15]


def test_what_is_damaged_is_deleted_for_every_row_that_has_it(array_store, tmp_path):
    (file,) = tmp_path.rglob("*.long")
    content = bytearray(file.read_bytes())
    content[-1] ^= 255  # of the second sample
    file.write_bytes(content)
    source = ArrayStoreSource(array_store, places(array_store), None, tokens=True)
    assert source.row(0) is None
    assert (source.places == ABSENT).tolist() == [True, False, True, True]
    assert source.row(1).pooled.tolist() == [7, 8]
    assert (ArrayStore(tmp_path, "float32", "float32", 2).find(KEYS) == ABSENT).tolist() == [False, True]
