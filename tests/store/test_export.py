"""Exported features: samples concatenated with their offsets, and files that are whole or not there."""

from types import SimpleNamespace

import numpy as np
import pytest
from safetensors import safe_open

from mmbert.core.errors import ConfigError
from mmbert.data.loading.cached import StoredTokens
from mmbert.store.export import arrays_of, concatenated, write_arrays
from mmbert.store.use_store import StoreUsage

FIRST = StoredTokens(np.array([[1, 2], [3, 4]], np.float16), np.array([5, 6], np.float16))
LAST = StoredTokens(np.array([[7, 8]], np.float16), np.array([9, 10], np.float16))


def test_tokens_of_all_rows_are_one_array_with_offsets():
    arrays = concatenated([FIRST, None, LAST], "text")
    assert arrays["tokens"].tolist() == [[1, 2], [3, 4], [7, 8]] and arrays["tokens"].dtype == np.float32
    assert arrays["offsets"].tolist() == [0, 2, 2, 3]
    assert arrays["pooled"].tolist() == [[5, 6], [0, 0], [9, 10]]
    with pytest.raises(ConfigError, match="Nothing of 'text' is stored"):
        concatenated([None], "text")


def test_rows_carry_their_number_and_that_of_their_split():
    stored = {4: FIRST, 0: LAST}
    data = SimpleNamespace(
        rows={"train": np.array([4]), "val": np.array([0, 2])}, sources={"text": SimpleNamespace(row=stored.get)}
    )
    arrays = arrays_of(data, {"text": StoreUsage("tokens"), "image": StoreUsage("inputs")})
    assert arrays["row"].tolist() == [4, 0, 2] and arrays["split"].tolist() == [0, 1, 1]
    assert arrays["text.offsets"].tolist() == [0, 2, 3, 3]
    assert set(arrays) == {"row", "split", "text.tokens", "text.offsets", "text.pooled"}
    with pytest.raises(ConfigError, match="No encoder is frozen"):
        arrays_of(data, {"image": StoreUsage("inputs")})


def test_files_hold_the_arrays(tmp_path):
    arrays = {"row": np.array([3, 1]), "text.pooled": np.array([[1.5, 2.5]], np.float32)}
    for name in ("a.npz", "a.safetensors"):
        write_arrays(arrays, tmp_path / name, {"about": "me"})
    with np.load(tmp_path / "a.npz") as file:
        assert {key: file[key].tolist() for key in file.files} == {
            "row": [3, 1],
            "text.pooled": [[1.5, 2.5]],
        }
    with safe_open(tmp_path / "a.safetensors", "np") as file:
        assert file.metadata() == {"about": "me"} and file.get_tensor("text.pooled").tolist() == [[1.5, 2.5]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "a.safetensors"]
    with pytest.raises(ConfigError, match=r"must end in .npz or .safetensors"):
        write_arrays(arrays, tmp_path / "a.csv", {})
    with pytest.raises(ConfigError, match="it cannot be written"):
        write_arrays(arrays, tmp_path / "nowhere" / "a.npz", {})
