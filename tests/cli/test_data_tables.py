"""The tables of mmbert-check-data: rounding, shares, plurals, and which classes are listed."""

from pathlib import Path

import pytest

from mmbert.cli import data_tables
from mmbert.data.quality.report import DataReport, Finding, SplitFacts, Spread


def cells(table):
    """The rows of a rich table."""
    return list(zip(*(column.cells for column in table.columns), strict=True))


@pytest.fixture
def report():
    """Two splits: 8 and 1,000 rows; the second has no text lengths."""
    train = SplitFacts(
        rows=8,
        missing={"text": 2, "audio": 0},
        spreads={"text": {"words": Spread.of([1, 2, 9])}, "age": {"value": Spread.of([3, 3])}},
        labels={"mood": {"good": 6, "bad": 1}},
        unlabelled={"mood": 1},
    )
    test = SplitFacts(rows=1_000, missing={"text": 0}, labels={"mood": {"good": 1_000}})
    return DataReport({"train": train, "test": test}, [Finding("error", "wrong [cell]", ["row 1"], 1)])


def test_rows_and_what_is_missing_by_split(report):
    table = data_tables.splits_table(report, Path("my.csv"))
    assert cells(table) == [
        ("rows", "8", "1,000"),
        ("no text", "2 (25.0%)", "0"),
        ("no audio", "0", "0"),
        ("no label mood", "1 (12.5%)", "0"),
    ]


def test_lengths_by_split(report):
    assert cells(data_tables.spreads_table(report)) == [("text words", "1 / 2 / 9", "–"), ("age", "3", "–")]


def test_classes_by_split_with_their_share(report):
    (table,) = data_tables.class_tables(report)
    assert table.title == "Classes of mood"
    assert cells(table) == [("good", "6 (85.7%)", "1,000 (100.0%)"), ("bad", "1 (14.3%)", "0")]


def test_of_many_classes_the_rarest_are_listed():
    labels = {f"class {number}": number for number in range(30, 0, -1)}
    (table,) = data_tables.class_tables(DataReport({"train": SplitFacts(465, labels={"mood": labels})}, []))
    assert table.title == "Classes of mood: the 25 rarest of 30"
    assert [row[0] for row in cells(table)] == [f"class {number}" for number in range(1, 26)]


def test_a_finding_names_its_first_rows():
    rows = [f"row {number}" for number in range(1, 8)]
    assert data_tables.finding_line(Finding("warning", "twice", rows, 9), rows=2) == (
        "twice (9 rows): row 1, row 2 and 7 more"
    )
    assert data_tables.finding_line(Finding("warning", "twice", rows[:1], 1)) == "twice (1 row): row 1"
    assert data_tables.finding_line(Finding("warning", "few classes")) == "few classes"


def test_all_of_it_ends_with_the_counts(report, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    data_tables.print_data_report(report, Path("my.csv"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["error: wrong [cell] (1 row): row 1", "1 error, no warnings"]
    assert any("Classes of mood" in line for line in lines)


def test_numbers_have_three_digits_or_all_before_the_point():
    assert [data_tables.three_digits(value) for value in (0.12345, 9.999, 99.96, 123.4, 44_100)] == [
        *("0.123", "10", "100", "123", "44,100"),
    ]
