"""Shards of a table: every reader of WebDataset shards reads them, and each cell is the table's own."""

import csv
import json
import tarfile

import numpy as np
import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_named
from mmbert.data.streaming.description import DESCRIPTION, ShardDescription
from mmbert.data.streaming.packing import pack_shards
from mmbert.data.streaming.shard_table import ShardTable
from mmbert.data.streaming.shard_writer import field_names
from packed_sets import INPUTS, packed, picture, sound, write_table

COVERS = ("description", "content_fingerprint", "locators", "shard_writer")
SPLITS = {"train": 23, "val": 7, "test": 5}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("loose"))


@pytest.fixture(scope="module")
def shards(table, tmp_path_factory):
    return packed(table, tmp_path_factory.mktemp("packed") / "shards")


def describe(folder):
    return ShardDescription.of((folder / DESCRIPTION).read_bytes(), "")


def test_the_description_counts_what_is_there(shards):
    described = describe(shards)
    counted = dict.fromkeys(SPLITS, 0)
    for shard in described.shards:
        with tarfile.open(shards / shard.name) as archive:
            names = archive.getnames()
        assert shard.samples == len({name.partition(".")[0] for name in names})
        assert shard.bytes == (shards / shard.name).stat().st_size <= 30_000
        counted[shard.split] += shard.samples
    assert counted == SPLITS
    assert len(described.shards) > 4
    assert described.columns["image"] == "media" and described.columns["label"] == "cell"
    assert {path.name for path in shards.iterdir()} == {
        DESCRIPTION,
        "index.parquet",
        *(shard.name for shard in described.shards),
    }


def test_the_webdataset_library_reads_every_member(table, shards):
    webdataset = pytest.importorskip("webdataset")
    rows = list(csv.DictReader(table.open()))
    urls = sorted(str(path) for path in shards.glob("*.tar"))
    seen = {}
    for sample in webdataset.WebDataset(urls, shardshuffle=False, empty_check=False):
        seen[int(sample["__key__"])] = sample
    assert sorted(seen) == list(range(len(rows)))
    for number, row in enumerate(rows):
        sample = seen[number]
        assert ("image.png" in sample) == bool(row["image"]) and ("audio.wav" in sample) == bool(row["audio"])
        assert sample.get("image.png", picture(number)) == picture(number)
        assert sample.get("audio.wav", sound(number)) == sound(number)
        told = {name: row[name] for name in ("text", "label", "split") if row[name]}
        assert json.loads(sample["json"]) == told


def test_the_table_of_the_shards_has_the_tables_cells(table, shards):
    rows, read = list(csv.DictReader(table.open())), ShardTable(shards)
    assert len(read) == len(rows)
    for number, row in enumerate(rows):
        assert read.cell(number, "__key__") == f"{number:09d}"
        assert [read.cell(number, name) for name in ("text", "label", "split")] == [
            row[name] or None for name in ("text", "label", "split")
        ]
        image, audio = read.cell(number, "image"), read.cell(number, "audio")
        assert (image and image["bytes"]) == (picture(number) if row["image"] else None)
        assert (audio and audio["bytes"]) == (sound(number) if row["audio"] else None)
    assert read.empty("image").tolist() == [not row["image"] for row in rows]


def test_train_is_mixed_and_other_splits_keep_their_order(table, tmp_path):
    read = ShardTable(packed(table, tmp_path / "mixed", shuffle=True))
    keys = [int(read.cell(row, "__key__")) for row in range(len(read))]
    assert sorted(keys[:23]) == list(range(23)) != keys[:23]
    assert keys[23:] == list(range(23, 35))


def test_the_fingerprint_depends_on_the_content_and_not_on_the_shards(table, shards, tmp_path):
    large = describe(packed(table, tmp_path / "large", most_bytes=2**30))
    assert len(large.shards) == 3
    assert large.fingerprint == describe(shards).fingerprint
    other = write_table(tmp_path / "other")
    (other.parent / "1.v1.png").write_bytes(picture(2))
    assert describe(packed(other, tmp_path / "changed")).fingerprint != large.fingerprint


def test_a_folder_with_something_in_it_is_refused_and_an_empty_one_filled(table, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="out=.*full: there is something already"):
        packed(table, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]
    (tmp_path / "empty").mkdir()
    assert len(ShardTable(packed(table, tmp_path / "empty"))) == 35


def test_a_missing_file_leaves_nothing_or_is_left_out(tmp_path):
    table = write_table(tmp_path / "loose")
    (table.parent / "5.v1.png").unlink()
    with pytest.raises(DataError, match=r"row 6 .*5\.v1\.png"):
        packed(table, tmp_path / "shards")
    assert not (tmp_path / "shards").exists()
    data = MultimodalData(table, num_workers=0, on_error="skip")
    made = pack_shards(data, {name: modality_named(name) for name in INPUTS}, tmp_path / "shards", 30_000)
    assert list(made.skipped) == [5] and "5.v1.png" in made.skipped[5]
    assert len(ShardTable(tmp_path / "shards")) == 34


def test_a_sample_larger_than_a_shard_has_one_of_its_own(table, tmp_path):
    described = describe(packed(table, tmp_path / "tiny", most_bytes=1))
    assert [shard.samples for shard in described.shards] == [1] * 35


def test_columns_of_the_same_plain_name_have_fields_of_their_own():
    assert field_names(["scan.left", "scan/left", "JSON", "?"]) == {
        "scan.left": "scan_left",
        "scan/left": "scan_left_2",
        "JSON": "JSON_2",
        "?": "column",
    }


def test_rows_in_no_split_are_counted(tmp_path):
    table = write_table(tmp_path / "loose")
    table.write_text(table.read_text().replace(",val\n", ",nowhere\n", 2))
    data = MultimodalData(table, num_workers=0)
    made = pack_shards(data, {"text": modality_named("text")}, tmp_path / "shards", 30_000)
    assert made.left == 2 and sum(shard.samples for shard in made.description.shards) == 33


def test_a_later_description_is_refused(shards):
    text = (shards / DESCRIPTION).read_text().replace('"version": 1', '"version": 2')
    with pytest.raises(DataError, match="version 2"):
        ShardDescription.of(text.encode(), "d.json")
    with pytest.raises(DataError, match="describes no shards"):
        ShardDescription.of(b"[]", "d.json")


def test_content_keys_are_those_of_the_bytes(shards):
    import xxhash

    keys = ShardTable(shards).content_keys("image", np.arange(3))
    for row in (1, 2):
        digest = xxhash.xxh3_128_intdigest(picture(row))
        assert keys[row].tolist() == [digest >> 64, digest & (2**64 - 1)]
    assert keys[0].tolist() == [0, 0]


def test_the_store_takes_the_keys_from_the_index_and_nothing_is_read_for_them(shards, tmp_path, monkeypatch):
    from mmbert.data.input_columns import cells_without_track
    from mmbert.data.tables.file_memo import FileMemo
    from mmbert.store.content_keys import content_keys, file_key

    read = ShardTable(shards)
    rows, image, audio = np.arange(9), modality_named("image"), modality_named("audio")
    memo = FileMemo(tmp_path / "memo.npy", file_key)
    loose = [content_keys(read, name, rows, kind, memo) for name, kind in (("image", image), ("audio", audio))]
    monkeypatch.setattr(ShardTable, "_content", None)  # calling it would fail
    for name, kind, expected in (("image", image, loose[0]), ("audio", audio, loose[1])):
        assert (content_keys(read, name, rows, kind, memo) == expected).all()
    assert not cells_without_track(read, "audio", audio).any()
