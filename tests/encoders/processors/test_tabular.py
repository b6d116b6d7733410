"""Numbers and words of records: as scikit-learn has them, learnt of train alone."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.modalities.registry import modality_named
from mmbert.data.tables.derived_columns import ColumnsTogether
from mmbert.data.tables.table import Table
from mmbert.data.tables.train_cells import TrainCells
from mmbert.encoders.processors.tabular import TabularProcessor, learnt_columns

LIMITS = {"categorical": (), "max_categories": 100, "min_count": 1}


def cells(tmp_path, columns, train=None, skip=False):
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = Table(tmp_path / "t.parquet")
    name = table.add(ColumnsTogether(tuple(columns)))
    rows = np.arange(len(table)) if train is None else np.array(train)
    return TrainCells(table, name, modality_named("tabular"), rows, skip)


def test_scores_and_codes_are_scikit_learns(tmp_path):
    random = np.random.default_rng(0)
    numbers = random.lognormal(3, 2, (60, 2)) * [1.0, 1e-9] + [0.0, 1e3]
    words = random.choice(["north", "Süd", "west", "42"], 60)
    table = {"a": numbers[:, 0], "b": numbers[:, 1], "c": words}
    with pytest.raises(DataError, match=r"column 'c' has numbers \(42 in .*row .*\) and words"):
        learnt_columns(cells(tmp_path, table, range(40)), **LIMITS)
    learnt = learnt_columns(cells(tmp_path, table, range(40)), **{**LIMITS, "categorical": ["c"]})
    processor = TabularProcessor(learnt)
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    inputs = processor.collate([processor.prepare(row) for row in rows])
    expected = StandardScaler().fit(numbers[:40]).transform(numbers)
    np.testing.assert_allclose(inputs["numbers"][:, :2], expected, rtol=1e-5, atol=1e-6)
    hot = OneHotEncoder(sparse_output=False, handle_unknown="ignore").fit(words[:40, None]).transform(words[:, None])
    np.testing.assert_array_equal(np.eye(5)[inputs["codes"][:, 2]][:, 1:], hot)
    assert inputs["mask"].all() and not inputs["missing"].any() and not inputs["codes"][:, :2].any()


def test_only_train_is_learnt_from_and_what_it_lacks_is_unknown(tmp_path):
    table = {"n": [1.0, 3.0, 1000.0, None], "w": ["x", None, "y", "x"]}
    learnt = learnt_columns(cells(tmp_path, table, [0, 1]), **LIMITS)
    assert learnt == {"n": {"mean": 2.0, "std": 1.0}, "w": {"categories": ["x"]}}
    processor = TabularProcessor(learnt)
    far, gap = processor.prepare({"n": 1000.0, "w": "y"}), processor.prepare({"n": None, "w": "x"})
    assert far.numbers.tolist() == [998.0, 0.0] and far.codes.tolist() == [0, 0]
    assert gap.missing.tolist() == [True, False] and gap.codes.tolist() == [0, 1]
    absent = processor.collate([None, gap])
    assert absent["mask"].tolist() == [[False, False], [True, True]]
    assert processor.prepare({"w": "x"}).missing.tolist() == gap.missing.tolist()


def test_a_constant_column_has_deviation_1_as_in_scikit_learn(tmp_path):
    values = np.full(7, 0.1) * 3
    (learnt,) = learnt_columns(cells(tmp_path, {"n": values}), **LIMITS).values()
    assert learnt["std"] == StandardScaler().fit(values[:, None]).scale_[0] == 1.0


def test_numbers_may_be_names_and_rare_words_unknown(tmp_path):
    table = {"zip": [10115, 10115, 80331, 20095], "w": ["x", "x", "y", "y"]}
    found = learnt_columns(cells(tmp_path, table), **{**LIMITS, "categorical": ["zip"], "min_count": 2})
    assert found == {"zip": {"categories": ["10115"]}, "w": {"categories": ["x", "y"]}}
    assert TabularProcessor(found).prepare({"zip": "10115"}).codes.tolist() == [1, 0]
    with pytest.raises(ConfigError, match="'zap', which is not read. Did you mean 'zip'"):
        learnt_columns(cells(tmp_path, table), **{**LIMITS, "categorical": ["zap"]})


def test_what_cannot_be_learnt_is_named(tmp_path):
    with pytest.raises(DataError, match="the column 'n' is empty in all rows of train"):
        learnt_columns(cells(tmp_path, {"n": [None, 2.0], "w": ["x", "y"]}, [0]), **LIMITS)
    with pytest.raises(DataError, match="column 'id' has 5 different words in train, more than max_categories=4"):
        learnt_columns(cells(tmp_path, {"id": list("abcde")}), **{**LIMITS, "max_categories": 4})
    with pytest.raises(DataError, match=r"row 2, column '\{n\}': column 'n': inf is no finite number"):
        learnt_columns(cells(tmp_path, {"n": [1.0, np.inf]}), **LIMITS)
    assert learnt_columns(cells(tmp_path, {"n": [1.0, np.inf, 3.0]}, skip=True), **LIMITS)["n"]["mean"] == 2.0
    with pytest.raises(DataError, match="no deviation in float64"):
        learnt_columns(cells(tmp_path, {"n": [1e308, -1e308]}), **LIMITS)
    with pytest.raises(DataError, match="column 'l': .*neither a number nor a word"):
        learnt_columns(cells(tmp_path, {"l": [[1], [2]]}), **LIMITS)


def test_with_skip_the_majority_says_what_a_column_is(tmp_path):
    table = {"n": ["1", "3", "lots"], "w": ["a", "b", "7"]}
    found = learnt_columns(cells(tmp_path, table, skip=True), **LIMITS)
    assert found == {"n": {"mean": 2.0, "std": 1.0}, "w": {"categories": ["7", "a", "b"]}}


def test_bad_records_are_refused():
    processor = TabularProcessor({"age": {"mean": 0.0, "std": 1e-30}, "sex": {"categories": ["f"]}})
    for raw, why in (
        ({"agee": 3}, "no column 'agee'. Did you mean 'age'"),
        ({"age": "old"}, r"column 'age': old is no number.*categorical=\[age\]"),
        ({"age": None}, "all of its cells are empty"),
        ({"age": 1e10}, "too far from the mean"),
        ({"sex": [1]}, "column 'sex': .*neither"),
    ):
        with pytest.raises(DataError, match=why):
            processor.prepare(raw)


def test_shapes_of_a_batch():
    processor = TabularProcessor({"a": {"mean": 0.0, "std": 1.0}})
    inputs = processor.collate([processor.prepare({"a": 2}), None])
    assert inputs["numbers"].dtype == torch.float32 and inputs["codes"].dtype == torch.int64
    assert {name: tuple(tensor.shape) for name, tensor in inputs.items()} == dict.fromkeys(inputs, (2, 1))
