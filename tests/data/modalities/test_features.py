"""Files of features: arrays by name, a sequence of vectors of them, and what is refused."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mmbert.core.errors import DataError
from mmbert.data.modalities.feature_files import read_arrays
from mmbert.data.modalities.features import (
    LOST_DIGITS,
    MODALITY,
    as_sequence,
    loses_digits,
    refuse_other_values,
    selected_array,
)


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
        ([[0.0], [1e39]], "beyond 3.4e38, the most of float32, the first in its row 2"),
        (np.array([[0.0], [-1e300]]), "beyond 3.4e38, the most of float32, the first in its row 2"),
        ([10**400], "no array of numbers"),
        ([1, None], "not finite numbers"),
        (np.array([1 + 2j, 3]), "its numbers are complex: store real and imaginary parts"),
        (np.array([1 + 0j]), "its numbers are complex"),
        (np.array(["2020-01-01"], "datetime64[D]"), r"of the type datetime64\[D\], not numbers"),
        (np.array([3], "timedelta64[s]"), r"of the type timedelta64\[s\], not numbers"),
        (np.zeros(2, [("a", "f4")]), "not numbers"),
    ],
)
def test_what_is_no_sequence_of_vectors(value, message):
    with pytest.raises(DataError, match=message):
        as_sequence(value)


@pytest.mark.parametrize("ending", ["npy", "npz", "safetensors"])
def test_complex_numbers_in_files(ending, tmp_path):
    values = np.array([[1 + 2j, 3]], np.complex64)
    path = tmp_path / f"a.{ending}"
    {"npy": np.save, "npz": np.savez}.get(ending, lambda p, v: save_file({"x": torch.from_numpy(v)}, p))(path, values)
    with pytest.raises(DataError, match="its numbers are complex"):
        MODALITY.inspect(path.name, tmp_path, {})


@pytest.mark.parametrize(
    ("values", "lossy"),
    [
        (np.array([2**24, -(2**24)]), False),
        (np.array([2**24 + 1]), True),
        (np.array([-(2**40) - 1]), True),
        (np.array([2**40]), False),  # a power of two has one digit
        (np.array([2**63], np.uint64), False),
        (np.array([1700000001.5]), True),
        (np.array([0.1, 1e5 / 3]), False),  # rounded as every float is
        (np.array([1e30], np.float32), False),
        (np.array([True]), False),
        (np.array([300], np.int16), False),
        ([[16777217, 1]], True),
    ],
)
def test_numbers_that_float32_does_not_have_are_told(values, lossy, tmp_path):
    assert loses_digits(values) is lossy
    if isinstance(values, np.ndarray):
        np.save(tmp_path / "a.npy", values)
        assert MODALITY.inspect("a.npy", tmp_path, {}).remarks == ((LOST_DIGITS,) if lossy else ())


def test_truth_values_are_zero_and_one():
    assert as_sequence(np.array([True, False])).tolist() == [[1, 0]]
    refuse_other_values(np.array([True]))
