"""Files of features: arrays by name, a sequence of vectors of them, and what is refused."""

import numpy as np
import pytest

from mmbert.core.errors import DataError
from mmbert.data.modalities.features import MODALITY, as_sequence, read_arrays, selected_array


def test_arrays_by_name(tmp_path):
    np.save(tmp_path / "one.npy", [[1.0, 2.0]])
    np.savez(tmp_path / "two.npz", a=[1.0], b=[2.0, 3.0])
    assert {name: array.tolist() for name, array in read_arrays(tmp_path / "one.npy").items()} == {"": [[1.0, 2.0]]}
    assert {name: len(array) for name, array in read_arrays(tmp_path / "two.npz").items()} == {"a": 1, "b": 2}
    with pytest.raises(DataError, match="a.csv: features lie in files that end in"):
        read_arrays(tmp_path / "a.csv")
    with pytest.raises(DataError, match="say which with the encoder's option key"):
        selected_array(read_arrays(tmp_path / "two.npz"), None)


def test_one_vector_is_a_sequence_of_one():
    assert as_sequence([1, 2]).tolist() == [[1, 2]]
    assert as_sequence({"a": [[1, 2], [3, 4]]}).dtype == np.float32
    assert MODALITY.vector_width([[1, 2, 3], [4, 5, 6]], "", {}) == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["a"], "no array of numbers"),
        (np.zeros((1, 1, 1)), r"its shape is \(1, 1, 1\)"),
        (np.zeros((0, 4)), "it is empty"),
        ([[0.0], [np.nan]], "not finite numbers, the first in its row 2"),
    ],
)
def test_what_is_no_sequence_of_vectors(value, message):
    with pytest.raises(DataError, match=message):
        as_sequence(value)
