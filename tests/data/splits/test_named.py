"""The split column: which writings mean which split, and which rows are in none."""

import pandas as pd
import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.splits.named import SplitColumn, checked_splits
from mmbert.data.tables.table import Table

NAMES = {"train": "train", "val": "val", "test": "test"}


@pytest.fixture
def table(tmp_path):
    """``table(cells)``: a CSV whose column ``split`` holds these cells, as a path."""

    def written(cells):
        path = tmp_path / "t.csv"
        path.write_text("text,split\n" + "".join(f'x,"{cell}"\n' for cell in cells))
        return path

    return written


def plain(rows):
    return {name: numbers.tolist() for name, numbers in rows.items()}


def test_blanks_and_capitals_do_not_count(table):
    path = table(["Train", " Train", "val ", "TEST", "Train"])
    column = SplitColumn("split", NAMES)
    assert plain(column.rows(Table(path))) == {"train": [0, 1, 4], "val": [2], "test": [3]}
    assert plain(column.joined(Table(path))) == {
        ("Train", "train"): [0, 4],
        (" Train", "train"): [1],
        ("val ", "val"): [2],
        ("TEST", "test"): [3],
    }
    assert plain(column.rows_of_no_split(Table(path))) == {}
    assert {name: len(rows) for name, rows in MultimodalData(path).rows.items()} == {"train": 3, "val": 1, "test": 1}


def test_values_that_differ_in_capitals_alone_are_kept_apart_where_splits_name_both(table):
    cells = Table(table(["train", "Train", "val", "test", "TRAIN "]))
    column = SplitColumn("split", NAMES)
    assert column.rows(cells)["train"].tolist() == [0, 1, 4] and plain(column.rows_of_no_split(cells)) == {}
    both = SplitColumn("split", {"train": "train", "val": "val", "test": "Train"})
    assert plain(both.rows(cells)) == {"train": [0], "val": [2], "test": [1]}
    assert plain(both.rows_of_no_split(cells)) == {"test": [3], "TRAIN": [4]}
    asked = SplitColumn("split", {"train": "a", "val": "A"})  # one value, and two that are near: nobody gets it
    assert plain(asked.rows(Table(table(["a", "b"])))) == {"train": [0], "val": []}


def test_rows_in_no_split_are_listed_by_what_they_say(table):
    path = table(["train", "val", "test", "extra", "", "extra", "spare"])
    assert plain(SplitColumn("split", NAMES).rows_of_no_split(Table(path))) == {
        "extra": [3, 5],
        "spare": [6],
        None: [4],
    }
    without = SplitColumn("split", {"train": "train", "val": "val"}, left_out=["test", "spare"])
    assert plain(without.rows_of_no_split(Table(path))) == {"extra": [3, 5], None: [4]}
    data = MultimodalData(path)
    assert data.rows_in_no_split().tolist() == [3, 5, 6, 4] and data.facts()["rows_in_no_split"] == 4
    assert MultimodalData(path, only=["all"]).facts()["rows_in_no_split"] == 0


@pytest.mark.parametrize(
    "cells", [[True, False, False, True], ["TRUE", "FALSE", "False", "true"], [1.0, 0.0, 0.0, 1.0]]
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_truth_values_and_numbers_may_name_splits(cells, ending, tmp_path):
    path = tmp_path / f"t.{ending}"
    frame = pd.DataFrame({"text": list("abcd"), "is_test": cells})
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    kind = (1, 0) if isinstance(cells[0], float) else (True, False)
    for test, train in (kind, tuple(map(str, kind))):
        data = MultimodalData(
            path,
            {"split": "is_test"},
            {"train": train, "val": None, "test": test} | {"val": "val"},
            split={"val": 0.5, "stratify": None},
        )
        assert data.rows["test"].tolist() == [0, 3]
        assert sorted([*data.rows["train"], *data.rows["val"]]) == [1, 2]


def test_two_splits_with_equal_values_are_refused():
    with pytest.raises(ConfigError, match="data.splits.val and data.splits.test are both '1.0'|are both '1'"):
        checked_splits({"train": "0", "val": 1, "test": "1.0"})
    with pytest.raises(ConfigError, match="data.splits needs 'val'.*data.split.val=0.1"):
        checked_splits({"train": "0", "val": None})


def test_one_split_is_asked_for_and_the_others_still_count(table):
    path = table(["A", "A", "b"])  # 'A' is train's; asked for test alone, it must not become test's
    with pytest.raises(DataError, match="no row whose 'split' is 'a'"):
        MultimodalData(path, splits={"train": "A", "val": "b", "test": "a"}, only=["test"])


@pytest.mark.parametrize("name", ["", "..", ".", "../../x", "a/b", "a\\b", "/x", "a\x1b[2J", "a\n"])
def test_a_name_that_cannot_be_a_files_is_refused(name):
    with pytest.raises(ConfigError, match="cannot name a split, for files are named after it"):
        checked_splits({"train": "train", "val": "val", name: "x"})


def test_names_of_any_script_are_names_of_splits():
    given = {"train": "train", "val": "val", "test 2": "a", "测试": "b", "v1.0": "c", "a-b_c": "d"}
    assert checked_splits(given) == given
