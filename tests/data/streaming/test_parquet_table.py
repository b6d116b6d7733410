"""Parquet files as a streamed table: the same cells as read at once, pictures and sounds by row group, gaps found."""

import pickle

import datasets
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.huggingface import HuggingFaceTable
from mmbert.data.streaming import locations, row_groups
from mmbert.data.streaming.parquet_file import names_and_presence, read_parquet
from mmbert.data.streaming.parquet_table import ParquetTable
from mmbert.data.streaming.shard_cache import ShardCache
from packed_sets import picture, sound
from stores import s3_store

COVERS = ("parquet_files", "parquet_file", "parquet_index", "row_groups")


def rows_of(first, count):
    """Some samples; every third lacks its picture, every fourth its sound."""
    numbers = range(first, first + count)
    return {
        "text": [f"sample {n}" for n in numbers],
        "image": [{"bytes": picture(n), "path": f"{n}.png"} if n % 3 else None for n in numbers],
        "audio": [{"bytes": sound(n), "path": None} if n % 4 else None for n in numbers],
        "label": [n % 2 if n % 5 else -1 for n in numbers],
        "more": [[float(n), 1.0] for n in numbers],
    }


FEATURES = datasets.Features(
    {
        "text": datasets.Value("string"),
        "image": datasets.Image(),
        "audio": datasets.Audio(),
        "label": datasets.ClassLabel(names=["cat", "dog"]),
        "more": datasets.Sequence(datasets.Value("float64")),
    }
)


def set_of(first, count):
    """``rows_of`` as the library has it."""
    table = pa.table(rows_of(first, count), FEATURES.arrow_schema)
    return datasets.Dataset(datasets.table.InMemoryTable(table), datasets.DatasetInfo(features=FEATURES))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files of train, of 13 and 9 rows, one of validation; row groups of five."""
    folder = tmp_path_factory.mktemp("parquet")
    for name, first, count in [
        ("train-00000-of-00002", 0, 13),
        ("train-00001-of-00002", 13, 9),
        ("validation-00000-of-00001", 22, 6),
    ]:
        data = set_of(first, count)
        data.to_parquet(folder / f"{name}.parquet", batch_size=5)
    return folder


@pytest.fixture
def cache(tmp_path):
    return ShardCache(tmp_path / "kept", 2**30)


def same_cells(one, other):
    """Whether two tables have the same rows."""
    assert sorted(one.column_names) == sorted(other.column_names)
    assert len(one) == len(other)
    for name in one.column_names:
        assert [one.cell(row, name) for row in range(len(one))] == [other.cell(row, name) for row in range(len(one))]
        if not one.is_media(name):
            assert one.column(name) == other.column(name)
        else:
            assert one.empty(name).tolist() == other.empty(name).tolist()


@pytest.mark.parametrize("kept", [True, False], ids=["kept on the disk", "not kept"])
def test_cells_and_contents_are_those_of_the_table_read_at_once(folder, cache, kept):
    streamed = ParquetTable(folder, cache=cache if kept else None)
    same_cells(HuggingFaceTable(folder), streamed)
    assert streamed.column("split") == ["train"] * 22 + ["validation"] * 6
    assert streamed.blocks(range(28)).tolist() == [0] * 5 + [1] * 5 + [2] * 3 + [3] * 5 + [4] * 4 + [5] * 5 + [6]
    assert streamed.streams("image") and not streamed.streams("more")
    copy = pickle.loads(pickle.dumps(streamed))
    assert copy.cell(14, "image") == streamed.cell(14, "image") == {"bytes": picture(14), "path": "14.png"}
    assert copy.fingerprint() == streamed.fingerprint() and len(streamed.fingerprint()) == 16


def test_opening_reads_no_picture_and_a_group_is_unpacked_once_for_all(folder, cache, monkeypatch):
    table = ParquetTable(folder, cache=cache)
    assert not list(cache.folder.glob("*.shard")) if cache.folder.exists() else True
    unpacked = []
    original = row_groups.Unpacker.__call__
    monkeypatch.setattr(
        row_groups.Unpacker, "__call__", lambda self, *given: unpacked.append(self.group) or original(self, *given)
    )
    for row in (7, 1, 8, 2, 5):
        assert table.cell(row, "image")["bytes"] == picture(row)
    assert table.cell(9, "audio")["bytes"] == sound(9)  # of a group that is here
    again = ParquetTable(folder, cache=cache)
    assert again.cell(1, "image")["bytes"] == picture(1)
    assert sorted(unpacked) == [0, 1]


def test_groups_go_when_there_is_no_room_and_come_back(folder, tmp_path):
    table = ParquetTable(folder, cache=ShardCache(tmp_path / "kept", 4_000))
    for _ in range(2):
        for row in range(1, 22, 3):
            assert table.cell(row, "image")["bytes"] == picture(row)
    assert len(list((tmp_path / "kept").glob("*.shard"))) <= 2


def test_groups_come_ahead(folder, cache):
    table = ParquetTable(folder, cache=cache)
    table.fetch_ahead([0, 3])
    table._groups._queue.shutdown(wait=True)
    assert len(list(cache.folder.glob("*.shard"))) == 2


def test_a_changed_file_is_another_set_and_a_file_cut_or_gone_is_told(folder, tmp_path, cache):
    mine = tmp_path / "mine"
    mine.mkdir()
    for file in folder.iterdir():
        (mine / file.name).write_bytes(file.read_bytes())
    table = ParquetTable(mine, cache=cache)
    first = mine / "train-00000-of-00002.parquet"
    other = set_of(50, 13).data.table.column("image")  # other pictures, and no other cell
    texts = set_of(0, 13).data.table
    parquet.write_table(texts.set_column(1, texts.field("image"), other), first, row_group_size=5)
    changed = ParquetTable(mine, cache=cache)
    assert changed.column("text") == table.column("text") and changed.fingerprint() != table.fingerprint()
    assert changed.cell(0, "image") == {"bytes": picture(50), "path": "50.png"}
    assert (changed.content_keys("image", [0]) != table.content_keys("image", [1])).all()
    first.unlink()
    with pytest.raises(DataError, match=r"split 'train', row 7 \(row 7 of train-00000.*\).*there is no such file"):
        changed.cell(6, "image")  # a group that was not unpacked
    first.write_bytes((folder / first.name).read_bytes()[:2000])
    with pytest.raises(DataError, match=r"train-00000-of-00002.parquet cannot be read as Parquet, or was cut"):
        ParquetTable(mine, cache=cache)


def test_a_file_that_is_another_by_the_time_it_is_read_is_told(folder, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "train.parquet").write_bytes((folder / "train-00000-of-00002.parquet").read_bytes())
    table = ParquetTable(mine)
    datasets.Dataset.from_dict({"text": ["x"] * 13}).to_parquet(mine / "train.parquet", batch_size=5)
    with pytest.raises(DataError, match=r"row 2 .*no longer the file that was indexed"):
        table.cell(1, "image")


@settings(max_examples=40, deadline=None)
@given(
    cells=st.lists(st.sampled_from(["both", "bytes", "path", "none of them", "null"]), min_size=1, max_size=12),
    with_statistics=st.booleans(),
    with_path=st.booleans(),
)
def test_which_rows_have_a_picture_is_what_reading_all_of_them_tells(
    cells, with_statistics, with_path, tmp_path_factory
):
    values = []
    for number, kind in enumerate(cells):
        value = {
            "bytes": picture(number) if kind in ("both", "bytes") else None,
            "path": f"{number}.png" if kind in ("both", "path") else None,
        }
        values.append(None if kind == "null" else value if with_path else {"bytes": value["bytes"]})
    fields = [("bytes", pa.binary()), ("path", pa.string())]
    table = pa.table({"image": pa.array(values, pa.struct(fields if with_path else fields[:1]))})
    path = tmp_path_factory.mktemp("presence") / "a.parquet"
    parquet.write_table(table, path, write_statistics=with_statistics)
    names, there = read_parquet(str(path), lambda file: names_and_presence(file, 0, "image"))
    wanted = [value is not None and any(part is not None for part in value.values()) for value in values]
    assert there.tolist() == wanted
    assert names == [(value or {}).get("path") for value in values]


def test_plain_bytes_are_content_and_empty_ones_are_none(tmp_path):
    cells = [b"abc", b"", None, b"d"]
    parquet.write_table(pa.table({"image": cells, "n": [1, 2, 3, 4]}), tmp_path / "a.parquet")
    table = ParquetTable(tmp_path)
    assert [(table.cell(row, "image") or {}).get("bytes") for row in range(4)] == [b"abc", None, None, b"d"]
    assert table.empty("image").tolist() == [False, True, True, False]


def test_files_that_differ_in_columns_and_types_become_one_table(tmp_path):
    parquet.write_table(pa.table({"n": [1, 2], "image": [picture(1), None]}), tmp_path / "train-0.parquet")
    parquet.write_table(pa.table({"n": [0.5], "word": ["x"], "odd": [["a"]]}), tmp_path / "train-1.parquet")
    parquet.write_table(pa.table({"n": [7], "odd": ["b"], "list": [[picture(3)]]}), tmp_path / "test.parquet")
    table = ParquetTable(tmp_path)
    assert table.column("n") == [1.0, 2.0, 0.5, 7.0] and table.column("word") == [None, None, "x", None]
    assert [row for row in range(4) if table.cell(row, "image")] == [0]
    for name in ("odd", "list"):
        with pytest.raises(DataError, match=f"the column '{name}' cannot be read"):
            table.values(name)


def test_class_numbers_without_a_name_are_told(tmp_path):
    data = set_of(0, 4)
    broken = data.data.table.set_column(3, "label", pa.array([0, 1, 9, 0], pa.int64()))
    parquet.write_table(broken.replace_schema_metadata(schema_notes(data)), tmp_path / "train.parquet")
    with pytest.raises(DataError, match="train.parquet, column 'label'.*class number 9 has no name"):
        ParquetTable(tmp_path)


def schema_notes(data):
    """What the library notes of a set in a Parquet file."""
    file = pa.BufferOutputStream()
    data.to_parquet(file)
    return parquet.read_schema(pa.BufferReader(file.getvalue())).metadata


def write_csv(folder):
    folder.mkdir()
    (folder / "a.csv").write_text("a\n1\n")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: datasets.Dataset.from_dict({"a": [1]}).save_to_disk(folder / "x"), "Leave out data.streaming"),
        (
            lambda folder: (folder / "x").mkdir() or (folder / "x" / "a.csv").write_text("a\n1\n"),
            "is made of csv files",
        ),
        (lambda folder: (folder / "x").mkdir(), "must be one of save_to_disk, or of Parquet"),
    ],
    ids=["save_to_disk", "csv", "empty"],
)
def test_what_cannot_be_streamed_is_told_with_the_remedy(make, message, tmp_path):
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        ParquetTable(tmp_path / "x")


def test_patterns_and_single_files(folder, tmp_path):
    assert len(ParquetTable(f"{folder}/train-0000{{0..1}}-of-00002.parquet")) == 22
    one = ParquetTable(f"{folder}/validation-00000-of-00001.parquet")
    assert one.column("split") == ["validation"] * 6
    both = ParquetTable(f"{folder}/valid*.parquet::{folder}/train-00000-of-00002.parquet")
    assert both.column("split") == ["train"] * 13 + ["validation"] * 6
    with pytest.raises(DataError, match="there are no Parquet files"):
        ParquetTable(f"{tmp_path}/*.parquet")
    with pytest.raises(ConfigError, match="ends before it begins"):
        ParquetTable(f"{folder}/train-{{2..1}}.parquet")


def test_an_object_store_is_read_by_row_groups(folder, cache, monkeypatch):
    with s3_store(monkeypatch) as upload:
        address = upload(folder, "set")
        table = ParquetTable(address, cache=cache)
        same_cells(HuggingFaceTable(folder), table)
        assert table.where(13) == f"{address}, split 'train', row 14 (row 1 of train-00001-of-00002.parquet)"
        before = table.fingerprint()
        upload.client.delete_object(Bucket="samples", Key="set/train-00001-of-00002.parquet")
        cold = pickle.loads(pickle.dumps(table))
        cold._groups.cache = None
        with pytest.raises(DataError, match=r"row 15 \(row 2 of train-00001.*there is no such file"):
            cold.cell(14, "image")
        changed = folder.parent / "changed"
        changed.mkdir(exist_ok=True)
        other = set_of(40, 9)
        other.to_parquet(changed / "train-00001-of-00002.parquet", batch_size=5)
        upload(changed, "set")
        again = ParquetTable(address, cache=cache)
        assert again.fingerprint() != before and again.cell(14, "image")["bytes"] == picture(41)


def test_a_table_without_pictures_streams_its_cells(tmp_path):
    parquet.write_table(pa.table({"text": ["a", "b"], "label": ["x", "y"]}), tmp_path / "train.parquet")
    table = ParquetTable(tmp_path)
    table.fetch_ahead([0])
    assert table.column("text") == ["a", "b"] and np.all(table.blocks([0, 1]) == 0)


def test_a_read_that_fails_is_tried_again(folder, cache, monkeypatch):
    with s3_store(monkeypatch) as upload:
        table = ParquetTable(upload(folder, "set"), cache=cache)
        monkeypatch.setattr(locations, "FIRST_WAIT", 0.01)
        fails, unpack = [OSError("reset by peer"), TimeoutError()], row_groups.Unpacker.unpack

        def failing(self, file, path):
            if fails:
                raise fails.pop()
            return unpack(self, file, path)

        monkeypatch.setattr(row_groups.Unpacker, "unpack", failing)
        assert table.cell(1, "image")["bytes"] == picture(1) and not fails
        fails += [OSError("reset by peer")] * 4
        with pytest.raises(DataError, match="train-00001.* cannot be read: reset by peer"):
            table.cell(14, "image")
