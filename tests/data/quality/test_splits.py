"""What every run and every check says of the splits."""

import pytest

from mmbert.core.errors import DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_named
from mmbert.data.quality.check import EncoderInput, check_data
from mmbert.data.quality.splits import MANY_VALUES, split_remarks

TEXT_ALONE = {"text": EncoderInput(modality_named("text"))}


@pytest.fixture
def make(tmp_path):
    """``make(rows, **options)``: data whose table has these rows of split and family."""

    def made(rows, **options):
        path = tmp_path / "t.csv"
        path.write_text("text,split,family\n" + "".join(f'x{i},"{s}","{f}"\n' for i, (s, f) in enumerate(rows)))
        return MultimodalData(path, **options)

    return made


def lines(data):
    return [remark.line(data) for remark in split_remarks(data)]


def test_nothing_is_said_of_plain_splits(make):
    assert lines(make([("train", "a"), ("val", "b"), ("test", "c")], split={"group": "family"})) == []


def test_rows_of_no_split_and_other_writings_are_told(make):
    data = make([("train", ""), ("val ", ""), ("Test", ""), ("Train", ""), ("extra", ""), ("", ""), ("extra", "")])
    assert lines(data) == [
        "rows whose 'split' is 'extra' are in no split and are not used (2 rows, the first is row 5 (line 6))",
        "rows whose 'split' is empty are in no split and are not used (row 6 (line 7))",
        "rows whose 'split' is 'val ' count as 'val' (row 2 (line 3))",
        "rows whose 'split' is 'Test' count as 'test' (row 3 (line 4))",
        "rows whose 'split' is 'Train' count as 'train' (row 4 (line 5))",
    ]
    findings = check_data(data, TEXT_ALONE, {}).findings
    assert [finding.severity for finding in findings] == ["warning"] * 5
    assert findings[0].count == 2 and findings[0].rows == ["row 5 (line 6)", "row 7 (line 8)"]


def test_many_values_are_told_together(make):
    rows = [("train", ""), ("val", ""), ("test", ""), *((f"v{i}", "") for i in range(MANY_VALUES + 3))]
    *_, last = split_remarks(make(rows))
    assert last.what == "rows with 3 other values of 'split' are in no split and are not used" and len(last.rows) == 3


def test_groups_that_straddle_given_splits_are_leakage(make):
    rows = [("train", "a"), ("train", "b"), ("val", "c "), ("test", " a"), ("test", "c"), ("test", ""), ("train", "")]
    data = make(rows, split={"group": "family"})
    assert lines(data) == [
        "rows of 'test' whose group (column 'family') is in 'train' too (row 4 (line 5))",
        "rows of 'test' whose group (column 'family') is in 'val' too (row 5 (line 6))",
    ]
    assert [finding.severity for finding in check_data(data, TEXT_ALONE, {}).findings] == ["warning"] * 2


def test_groups_are_whole_where_they_are_drawn_and_told_where_they_are_not(make):
    """Test is given, val is drawn from train: only what was given can straddle."""
    rows = [("train" if i < 16 else "test", f"f{i // 4}") for i in range(18)] + [("test", "f0")]
    data = make(rows, split={"val": 0.25, "group": "family"})
    ((first, second),) = {tuple(what.split("'")[1::4]) for what in [r.what for r in split_remarks(data)]}
    assert first == "test" and second in ("train", "val")
    assert [len(remark.rows) for remark in split_remarks(data)] == [1]


def test_a_group_column_that_is_not_there_is_never_ignored(make):
    with pytest.raises(DataError, match="no column 'famly'. Did you mean 'family'.*data.split.group=COLUMN"):
        make([("train", "a"), ("val", "b"), ("test", "c")], split={"group": "famly"})
