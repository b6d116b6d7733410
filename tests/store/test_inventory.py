"""Array stores are listed as they are, verified, pruned by age and size, and compacted without loss."""

import json
import os
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from mmbert.core.errors import ConfigError
from mmbert.store.array_store import ArrayStore, SegmentWriter
from mmbert.store.description import ABOUT, USES, open_array_store
from mmbert.store.inventory import (
    array_stores,
    compact_array_store,
    prune_array_stores,
    select_array_stores,
    verify_array_store,
)

IDENTITY = {"kind": "text", "encoder": "my.Net", "processor": "my.P", "options": {"name": "x"}, "dtype": "float32"}


def keys(count, begin=1):
    return np.stack([np.arange(begin, begin + count), np.arange(count)], 1).astype(np.uint64)


@pytest.fixture
def store(tmp_path):
    """Three array stores of 10, 20 and 30 entries, used 30, 20 and 10 days ago."""
    for number, name in enumerate(("aaa1", "bbb2", "bbc3"), 1):
        folder = tmp_path / "tokens" / name
        folder.mkdir(parents=True)
        (folder / ABOUT).write_text(
            json.dumps({"what": "tokens", "identity": IDENTITY, "layout": ["float32", "float32", 2]})
        )
        array_store = ArrayStore(folder, "float32", "float32", 2)
        with SegmentWriter(array_store) as writer:
            count = 10 * number
            writer.put(keys(count), [np.full(50, n, np.float32) for n in range(count)], [np.zeros(2)] * count)
        used = datetime.now(UTC) - timedelta(days=40 - 10 * number)
        when = used.isoformat()
        lines = [json.dumps({"when": when, "data": f"{d}.csv", "reused": 7, "computed": 3}) for d in "xyx"]
        (folder / USES).write_text("\n".join([*lines, '{"when": "2026']) + "\n")  # a kill left a part of a line
        os.utime(folder / USES, (used.timestamp(), used.timestamp()))
    return tmp_path


def test_a_list_says_what_is_there(store):
    one = {kept.name: kept for kept in array_stores(store)}["bbb2"]
    assert (one.entries, one.runs, one.hits, one.data) == (20, 3, 21, ("x.csv", "y.csv"))
    assert one.size == sum(path.stat().st_size for path in one.folder.iterdir() if path.name not in (ABOUT, USES))
    assert one.encoder == "Net, x, float32"
    assert [kept.name for kept in array_stores(store)] == ["bbc3", "bbb2", "aaa1"]


def test_names_may_be_cut_short_but_not_ambiguous(store):
    assert [one.name for one in select_array_stores(store, ["a", "bbc"])] == ["aaa1", "bbc3"]
    with pytest.raises(ConfigError, match="2 array stores begin with 'bb'"):
        select_array_stores(store, ["bb"])
    with pytest.raises(ConfigError, match=r"no array store 'aab'.*Did you mean 'aaa1'"):
        select_array_stores(store, ["aab"])


@pytest.mark.parametrize(
    ("limits", "gone"),
    [
        ({"older_than_days": 15, "max_gib": None}, ["aaa1", "bbb2"]),
        ({"older_than_days": 100, "max_gib": None}, []),
        ({"older_than_days": None, "max_gib": 10_000 / 2**30}, ["aaa1", "bbb2"]),
        ({"older_than_days": None, "max_gib": 0}, ["aaa1", "bbb2", "bbc3"]),
        ({"older_than_days": None, "max_gib": 1}, []),
        ({"older_than_days": None, "max_gib": None}, ["aaa1", "bbb2", "bbc3"]),
    ],
)
def test_pruning_by_age_and_size(store, limits, gone):
    assert [one.name for one in prune_array_stores(array_stores(store), **limits)] == gone
    assert sorted(one.name for one in array_stores(store)) == sorted({"aaa1", "bbb2", "bbc3"} - set(gone))
    assert {path.name for path in (store / "tokens").iterdir()} == {"aaa1", "bbb2", "bbc3"} - set(gone)


def test_verifying_takes_damaged_entries_out(store):
    (one,) = select_array_stores(store, ["bbb"])
    assert verify_array_store(one) == (20, 0)
    (path,) = one.folder.glob("*.long")
    content = bytearray(path.read_bytes())
    content[450] ^= 4  # in the third array of 200 bytes
    path.write_bytes(content)
    assert verify_array_store(one) == (20, 1)
    assert verify_array_store(one) == (19, 0)
    array_store = open_array_store(one.folder)
    assert (array_store.find(keys(20)) < 0).tolist() == [n == 2 for n in range(20)]


def test_compacting_keeps_every_entry_and_frees_the_rest(store):
    (one,) = select_array_stores(store, ["bbc"])
    assert compact_array_store(one) == 0
    array_store = open_array_store(one.folder)
    array_store.delete(keys(30)[5:15])
    with SegmentWriter(array_store) as writer:
        writer.put(keys(30)[5:6], [np.full(9, -1, np.float32)], [np.ones(2)])
    assert compact_array_store(one) > 9 * 200
    compacted = open_array_store(one.folder)
    assert len(compacted.segments) == 1
    assert len(compacted) == 21
    for number, place in enumerate(compacted.find(keys(30)).tolist()):
        if 5 < number < 15:
            assert place < 0
        else:
            expected = np.full(9, -1.0) if number == 5 else np.full(50, float(number))
            np.testing.assert_array_equal(compacted.entry(place)[0], expected)
    assert compact_array_store(one) == 0


def test_one_that_cannot_be_read_is_named_and_the_others_are_listed_verified_and_compacted(store, capsys):
    from mmbert.cli.store import run_subcommand

    (store / "tokens" / "bbb2" / ABOUT).write_bytes(b"\xff")
    by_name = {one.name: one for one in array_stores(store)}
    assert set(by_name) == {"aaa1", "bbb2", "bbc3"} and by_name["aaa1"].entries == 10
    assert "bbb2/about.json cannot be read" in by_name["bbb2"].fault and by_name["bbb2"].runs == 3
    run_subcommand(["list", f"dir={store}"])
    assert "mmbert-store prune bbb2 deletes it; a run that needs it mends or computes it." in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        run_subcommand(["verify", f"dir={store}"])
    shown = capsys.readouterr().out
    assert ended.value.code == 1 and "bbb2/about.json cannot be read" in shown and "30 entries" in shown
    run_subcommand(["prune", "bbb2", f"dir={store}"])
    assert [one.name for one in array_stores(store)] == ["bbc3", "aaa1"]


def test_verifying_counts_damaged_records_and_lists_name_damaged_lines_of_uses(store):
    one = next(one for one in array_stores(store) if one.name == "aaa1")
    assert "1 damaged lines, left out; the first is line 4" in one.notes[0]
    index = next(one.folder.glob("*.index"))
    content = bytearray(index.read_bytes())
    content[3] ^= 1
    index.write_bytes(content)
    assert verify_array_store(one) == (9, 1)  # a record of the index


def test_without_its_record_of_uses_an_array_store_is_as_old_as_its_files(store):
    (store / "tokens" / "aaa1" / USES).unlink()
    assert prune_array_stores(select_array_stores(store, ["aaa1"]), 20, None) == []
    for path in (store / "tokens" / "aaa1").iterdir():
        os.utime(path, (1e9, 1e9))
    assert [one.name for one in prune_array_stores(select_array_stores(store, ["aaa1"]), 20, None)] == ["aaa1"]
