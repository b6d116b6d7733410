"""Which rows are in which split, read by whom: a folder of tables gives what ``data=manifest`` gives of a table."""

import gzip
import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from mmbert.core.errors import DataError
from mmbert.data.datasets_library.parts import find_parts, first_sentence, table_ending
from mmbert.data.huggingface import HuggingFaceTable
from mmbert.data.tables.table import Table

LINES = "text,label\nNA,007\nnull,None\n1.50,nan\n,3\n"


def filled(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def contents(table, *columns):
    return [tuple(table.cell(row, column) for column in columns) for row in range(len(table))]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["train.csv", "test.csv"], ["train", "test"]),
        (["data/train-00000-of-00001.csv", "data/test-00000-of-00001.csv"], ["train", "test"]),
        (["train/a.csv", "dev/a.csv"], ["train", "validation"]),
        (["a.csv", "b.csv"], ["train", "train"]),
    ],
)
def test_a_folder_of_csv_files_gives_the_cells_that_a_table_gives(tmp_path, names, splits):
    folder = filled(tmp_path / "set", dict.fromkeys(names, LINES))
    table = HuggingFaceTable(folder)
    alone = contents(Table(folder / names[0]), "text", "label")
    assert alone == [("NA", "007"), ("null", "None"), ("1.50", "nan"), (None, "3")]
    assert contents(table, "text", "label") == alone * 2
    assert table.column("split") == [split for split in splits for _ in range(4)]
    assert table.where(5) == f"{folder / names[1]}, row 2 (line 3)"
    assert table.notes == []


def test_tsv_semicolons_and_compressed_tables(tmp_path):
    assert contents(HuggingFaceTable(filled(tmp_path / "t", {"train.tsv": LINES.replace(",", "\t")})), "label")[0] == (
        "007",
    )
    table = HuggingFaceTable(filled(tmp_path / "s", {"train.csv": LINES.replace(",", ";")}))
    assert contents(table, "label")[0] == ("007",) and "separated by semicolons" in table.notes[0]
    table = HuggingFaceTable(filled(tmp_path / "g", {"train.csv.gz": gzip.compress(LINES.encode())}))
    assert contents(table, "label")[1] == ("None",) and table.where(0).endswith("split 'train', row 1")


def test_json_lines_keep_what_looks_like_a_date_and_types_of_splits_may_differ(tmp_path):
    files = {"train.jsonl": '{"text": "2020-01-01", "n": 1}\n', "test.jsonl": '{"text": "x", "n": 1.5}\n{"n": null}\n'}
    table = HuggingFaceTable(filled(tmp_path / "set", files))
    assert contents(table, "text", "n") == [("2020-01-01", 1.0), ("x", 1.5), (None, None)]


def parquet_bytes(columns, names=None):
    """A Parquet file; ``names`` are those of its column ``label``, as the datasets library notes them."""
    table = pa.table(columns)
    if names:
        feature = {"label": {"names": names, "_type": "ClassLabel"}, "text": {"dtype": "string", "_type": "Value"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": feature}})})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def test_each_parquet_file_is_decoded_with_its_own_class_names(tmp_path):
    files = {
        "train.parquet": parquet_bytes({"text": ["bad", "good"], "label": [0, 1]}, ["neg", "pos"]),
        "validation.parquet": parquet_bytes({"text": ["meh"], "label": [0]}, ["neutral"]),
        "test.parquet": parquet_bytes({"text": ["good", "bad"], "label": [0, 1]}, ["pos", "neg"]),
    }
    table = HuggingFaceTable(filled(tmp_path / "set", files))
    named = [("bad", "neg"), ("good", "pos"), ("meh", "neutral"), ("good", "pos"), ("bad", "neg")]
    assert contents(table, "text", "label") == named


def test_a_map_in_parquet_is_no_obstacle(tmp_path):
    maps = pa.array([[("a", "b")]], pa.map_(pa.string(), pa.string()))
    table = HuggingFaceTable(filled(tmp_path / "set", {"train.parquet": parquet_bytes({"text": ["x"], "meta": maps})}))
    assert contents(table, "text") == [("x",)]
    with pytest.raises(DataError, match="'meta' cannot be read: its type is map<"):
        table.column("meta")


def test_types_that_a_readme_declares_are_kept_and_na_is_a_word(tmp_path):
    import datasets

    names = ["neg", "pos"]
    declared = {
        "text": "dtype: string",
        "label": f"dtype: {{class_label: {{names: {{'0': {names[0]}, '1': {names[1]}}}}}}}",
    }
    lines = ["---", "dataset_info:", "  features:"]
    for name, kind in declared.items():
        lines += [f"  - name: {name}", f"    {kind}"]
    files = {"README.md": "\n".join([*lines, "---", ""]), "train.csv": "text,label\nNA,0\nNone,1\n,pos\n"}
    filled(tmp_path / "set", files)
    datasets.load_dataset(
        str(tmp_path / "set")
    )  # what another program left in the cache, with pandas' words for nothing
    table = HuggingFaceTable(tmp_path / "set")
    assert contents(table, "text", "label") == [("NA", "neg"), ("None", "pos"), (None, "pos")]


def test_tables_that_belong_to_no_split_are_named(tmp_path):
    files = {"train.csv": LINES, "test.csv": LINES, "speakers.csv": "speaker\nx\n", "more.jsonl": '{"text": "a"}\n'}
    (note,) = HuggingFaceTable(filled(tmp_path / "set", files)).notes
    assert note.endswith("set belong to no split and are left out: more.jsonl, speakers.csv") and note.startswith(
        "2 tables"
    )


def test_what_is_wrong_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match="row 1 \\(line 2\\) has 1 cells"):
        find_parts(filled(tmp_path / "a", {"train.csv": "a,b\n1\n"}), None, None)
    with pytest.raises(DataError, match="Couldn't infer the same data file format for all splits.*The folder must be"):
        find_parts(filled(tmp_path / "b", {"train.csv": LINES, "test.jsonl": "{}\n"}), None, None)


def test_a_table_without_rows_is_no_part_and_a_folder_of_such_is_refused(tmp_path):
    parts, _ = find_parts(filled(tmp_path / "a", {"train.csv": LINES, "test.csv": "text,label\n"}), None, None)
    assert [part.split for part in parts] == ["train"]
    with pytest.raises(DataError, match="the data set has no rows"):
        find_parts(filled(tmp_path / "b", {"train.csv": "text,label\n"}), None, None)


def test_sets_of_the_hub_are_read_and_kept_by_the_library(tmp_path, monkeypatch):
    import datasets

    folder = filled(tmp_path / "set", {"train.csv": "text,label\nx,1\n"})
    found = datasets.load_dataset(str(folder))
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *given, **options: asked.append((given, options)) or found)
    parts, notes = find_parts("somebody/something", "large", "v2")
    assert asked == [(("somebody/something", "large"), {"revision": "v2"})]
    assert [part.split for part in parts] == ["train"] and parts[0].source is None
    assert len(notes) == 1 and notes[0].startswith("somebody/something: its CSV files are read by the datasets library")


def test_endings_and_causes():
    assert [table_ending(name) for name in ("a.CSV", "b.jsonl.gz", "c.json", "d.zip", "e.parquet")] == [
        *(".csv", ".jsonl", "", "", ".parquet")
    ]
    failed = type("DatasetGenerationError", (Exception,), {})("An error occurred.")
    failed.__cause__ = ValueError("the file is empty\nmore")
    assert first_sentence(failed) == "An error occurred: the file is empty."
    assert first_sentence(KeyError("x")) == "'x'."
