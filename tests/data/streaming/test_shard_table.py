"""Shards of others are indexed by reading them once; what is cut, damaged or gone is found, named, and left out."""

import json
import pickle

import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.streaming.description import DESCRIPTION, ShardDescription
from mmbert.data.streaming.shard_index import INDEXED_AT_ONCE
from mmbert.data.streaming.shard_names import expanded_names, shard_names, split_of
from mmbert.data.streaming.shard_table import ShardTable
from packed_sets import packed, picture, sound, write_shard, write_table

COVERS = (
    "shard_set",
    "streamed_table",
    "shard_index",
    "tar_samples",
    "fields",
    "shard_names",
    "shard_files",
)


def caption(number):
    return f"caption {number}".encode()


def test_members_become_columns_by_their_endings(tmp_path):
    samples = [
        (f"{n:04d}", {"jpg" if n % 2 else "png": picture(n), "txt": caption(n), "cls": str(n % 3).encode()})
        for n in range(5)
    ]
    table = ShardTable(write_shard(tmp_path / "train-0.tar", samples))
    assert {"image", "text", "label", "split"} <= set(table.column_names)
    assert [table.cell(row, "image")["bytes"] for row in range(5)] == [picture(n) for n in range(5)]
    assert table.column("text") == [f"caption {n}" for n in range(5)]
    assert table.column("label") == [n % 3 for n in range(5)]
    assert table.column("split") == ["train"] * 5


def test_json_gives_a_column_for_each_of_its_keys(tmp_path):
    samples = [(f"{n}", {"json": json.dumps({"mood": "ab"[n % 2], "score": n / 2}).encode()}) for n in range(3)]
    table = ShardTable(write_shard(tmp_path / "a.tar", samples))
    assert table.column("mood") == ["a", "b", "a"] and table.column("score") == [0.0, 0.5, 1.0]


def test_keys_are_cut_at_the_first_dot_and_two_samples_that_become_one_are_told(tmp_path):
    members = [("utt.1", {"wav": sound(1)}), ("utt.2", {"wav": sound(2)}), ("other", {"wav": sound(3)})]
    table = ShardTable(write_shard(tmp_path / "a.tar", members))
    assert len(table) == 2  # utt.1.wav and utt.2.wav are the fields "1.wav" and "2.wav" of the sample utt
    assert table.cell(0, "1")["bytes"] == sound(1) and table.cell(0, "2")["bytes"] == sound(2)
    twice = ShardTable(write_shard(tmp_path / "b.tar", [("utt", {"wav": sound(1)}), ("utt", {"wav": sound(2)})]))
    assert "two members 'utt.wav'" in twice.faults[0]


@pytest.mark.parametrize("first", [5, 6, INDEXED_AT_ONCE + 1])
def test_a_member_first_seen_late_does_not_vanish(tmp_path, first):
    samples = [(f"{n:05d}", {"txt": b"x", **({"wav": sound(1)} if n >= first else {})}) for n in range(first + 2)]
    table = ShardTable(write_shard(tmp_path / "a.tar", samples))
    assert table.empty("audio").tolist() == [True] * first + [False] * 2
    assert table.cell(first, "audio")["bytes"] == sound(1)


def test_a_picture_and_its_mask_stay_two_columns(tmp_path):
    samples = [("1", {"jpg": picture(1), "png": picture(2)}), ("2", {"png": picture(3)})]
    table = ShardTable(write_shard(tmp_path / "a.tar", samples))
    assert "image" not in table.column_names
    assert table.cell(1, "jpg") is None and table.cell(1, "png")["bytes"] == picture(3)


def test_a_shard_cut_within_a_member_names_shard_and_sample(tmp_path):
    path = write_shard(tmp_path / "a.tar", [(f"s{n}", {"wav": sound(n), "txt": caption(n)}) for n in range(6)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    table = ShardTable(path)
    (row,) = table.faults
    assert row == len(table) - 1 and 0 < row < 5
    assert f"sample 's{row}' of a.tar" in table.where(row) and "cut" in table.faults[row]
    assert table.column("text")[:row] == [f"caption {n}" for n in range(row)]


def test_a_shard_cut_between_two_members_is_noticed_by_its_end_mark(tmp_path):
    path = write_shard(tmp_path / "a.tar", [(f"s{n}", {"txt": caption(n)}) for n in range(4)])
    path.write_bytes(path.read_bytes()[: 2 * 1024])  # each member is a header and a block
    table = ShardTable(path)
    assert list(table.faults) == [1] and "without an end mark" in table.faults[1]


def test_a_damaged_header_in_the_middle_is_noticed(tmp_path):
    path = write_shard(tmp_path / "a.tar", [(f"s{n}", {"txt": caption(n)}) for n in range(4)])
    content = bytearray(path.read_bytes())
    content[2 * 1024 : 2 * 1024 + 512] = b"?" * 512
    path.write_bytes(content)
    table = ShardTable(path)
    assert list(table.faults) == [1] and "damaged" in table.faults[1]


def test_a_packed_shard_that_was_cut_afterwards_is_found_before_anything_is_read(tmp_path):
    shards = packed(write_table(tmp_path / "loose"), tmp_path / "shards")
    first = ShardDescription.of((shards / DESCRIPTION).read_bytes(), "").shards[0]
    path = shards / first.name
    path.write_bytes(path.read_bytes()[: first.bytes // 2])
    table = ShardTable(shards)
    assert set(table.faults) < set(range(first.samples)) and first.samples - 1 in table.faults
    assert (
        f"{path} is cut: it has {first.bytes // 2:,} bytes, and had {first.bytes:,}" in table.faults[first.samples - 1]
    )
    path.unlink()
    assert set(ShardTable(shards).faults) == set(range(first.samples))


def test_an_index_is_made_again_only_where_a_shard_has_changed(tmp_path, monkeypatch):
    path = write_shard(tmp_path / "a.tar", [("1", {"txt": b"one"})])
    assert ShardTable(path).column("text") == ["one"]
    monkeypatch.setattr("mmbert.data.streaming.shard_set.write_shard_index", None)  # calling it would fail
    assert ShardTable(path).column("text") == ["one"]
    monkeypatch.undo()
    write_shard(path, [("1", {"txt": b"two"})])
    assert ShardTable(path).column("text") == ["two"]


def test_the_index_of_others_is_that_of_packed_shards_without_description(tmp_path):
    shards = packed(write_table(tmp_path / "loose"), tmp_path / "shards")
    ours = ShardTable(shards)
    (shards / DESCRIPTION).unlink()
    theirs = ShardTable(shards)
    rows = {theirs.cell(row, "__key__"): row for row in range(len(theirs))}
    for row in range(len(ours)):
        other = rows[ours.cell(row, "__key__")]
        for column in ("text", "image", "audio", "label", "split"):
            assert ours.cell(row, column) == theirs.cell(other, column)


def test_a_pickled_table_reads_the_same(tmp_path):
    table = ShardTable(packed(write_table(tmp_path / "loose"), tmp_path / "shards"))
    again = pickle.loads(pickle.dumps(table))
    assert again.cell(4, "image") == table.cell(4, "image") and again.where(4) == table.where(4)


def test_names_of_shards(tmp_path):
    for name in ("train-0.tar", "val-0.tar"):
        write_shard(tmp_path / name, [("1", {"txt": b"x"})])
    assert expanded_names("a-{08..10}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar"]
    assert expanded_names("{0..1}/{0..1}") == ["0/0", "0/1", "1/0", "1/1"]
    assert shard_names(f"{tmp_path}/train-{{0..0}}.tar::{tmp_path}/val-*.tar") == shard_names(str(tmp_path))
    with pytest.raises(ConfigError, match="ends before it begins"):
        expanded_names("{3..1}.tar")
    with pytest.raises(DataError, match="there are no shards"):
        shard_names(str(tmp_path / "nothing"))
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "a.tar.gz").write_bytes(b"")
    with pytest.raises(DataError, match="gunzip"):
        shard_names(str(tmp_path / "packed"))
    assert [
        split_of(n) for n in ("x/imagenet-train-000.tar", "validation/000.tar", "0001.tar", "s3://b/dev_0.tar")
    ] == [*("train", "val", None, "val")]
