"""A table of predictions is read whole or refused with the column that is wrong."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from mmbert.core.errors import DataError
from mmbert.runs.predictions import PredictionTable
from mmbert.runs.predictions_file import first_lacking, read_predictions


@pytest.fixture
def path(tmp_path):
    table = PredictionTable({"mood": "classification", "size": "regression"})
    moods = [{"prediction": "glad", "probabilities": {"glad": 0.75, "sad": 0.25}}] * 3
    table.add([0, 1, 2], {"mood": moods, "size": [{"prediction": 1.5}] * 3}, {"mood": ["sad"] * 3, "size": [1.0] * 3})
    table.write(tmp_path / "test.parquet")
    return tmp_path / "test.parquet"


def test_what_was_written_is_read(path):
    found = read_predictions(path)
    assert found["row"].tolist() == [0, 1, 2] and found["mood/target"].tolist() == ["sad"] * 3
    assert found["mood/probabilities"][0] == {"glad": 0.75, "sad": 0.25}
    assert list(read_predictions(path, ["row", "size/prediction"])) == ["row", "size/prediction"]
    with pytest.raises(DataError, match="has no column 'size/x'"):
        read_predictions(path, ["size/x"])


def test_a_changed_byte_of_the_numbers_is_seen(path):
    content = bytearray(path.read_bytes())
    place = content.index(np.float64(1.5).tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path} cannot be read"):
        read_predictions(path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 10])
def test_what_is_no_parquet_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{path} cannot be read"):
        read_predictions(path)


@pytest.mark.parametrize(
    ("column", "cells", "fault"),
    [
        ("row", pa.array([0, 0, 1]), "column 'row' has the same row twice"),
        ("row", pa.array([0, None, 1]), "column 'row' is int64, or has gaps, but numbers rows"),
        ("mood/target", pa.array([{"a": 1}] * 3), "column 'mood/target' is struct<a: int64>, but should be texts"),
        (
            "mood/probabilities",
            pa.array(["a"] * 3),
            "column 'mood/probabilities' is string, but should be a number",
        ),
        ("mood/probabilities", pa.array([{"glad": 2.0}] * 3), "column 'mood/probabilities' has shares that are none"),
        ("mood/probabilities", pa.array([{"a": float("nan")}] * 3), "column 'mood/probabilities' has shares that are"),
    ],
)
def test_columns_that_cannot_be_are_named(path, column, cells, fault):
    table = parquet.read_table(path)
    parquet.write_table(table.set_column(table.column_names.index(column), column, cells), path)
    with pytest.raises(DataError, match=rf"{path} is damaged, or was changed: {fault}"):
        read_predictions(path)


def test_columns_that_must_be_there_once():
    assert first_lacking(["row", "mood/target", "mood/prediction", "mood/probabilities"]) is None
    assert first_lacking(["mood/target", "mood/prediction"]) == "row"
    assert first_lacking(["row", "mood/probabilities"]) == "mood/target"
    assert first_lacking(["row", "row", "a/target", "a/prediction"]) == "row"
