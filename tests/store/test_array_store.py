"""An array store gives back what was written, through kills, damage and company."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.store.array_store import ABSENT, RECORD, ArrayStore, SegmentWriter

WIDTH = 3


def key(number: int) -> np.ndarray:
    return np.array([number // 3 + 1, number], np.uint64)  # three in a row share their first half


def keys(numbers) -> np.ndarray:
    return np.array([key(number) for number in numbers], np.uint64).reshape(-1, 2)


def entry(number: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(number)
    return random.random(random.integers(0, 9), np.float32), random.random(WIDTH, np.float32)


def open_array_store(folder) -> ArrayStore:
    return ArrayStore(folder, "float32", "float32", WIDTH)


def put(array_store: ArrayStore, numbers, step: int = 4) -> None:
    with SegmentWriter(array_store) as writer:
        for start in range(0, len(numbers), step):
            part = numbers[start : start + step]
            longs, fixed = zip(*map(entry, part), strict=True)
            writer.put(keys(part), longs, fixed)


def assert_holds(array_store: ArrayStore, numbers) -> None:
    for number, place in zip(numbers, array_store.find(keys(numbers)), strict=True):
        long, fixed = entry(number)
        np.testing.assert_array_equal(array_store.entry(place)[0], long)
        np.testing.assert_array_equal(array_store.entry(place)[1], fixed)
        assert not len(array_store.entry(place, with_long=False)[0])
        np.testing.assert_array_equal(array_store.entry(place, with_long=False)[1], fixed)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 60), unique=True), st.lists(st.integers(0, 60), unique=True))
def test_what_is_written_is_found_and_nothing_else(tmp_path_factory, first, second):
    folder = tmp_path_factory.mktemp("store")
    put(open_array_store(folder), first)
    array_store = open_array_store(folder)
    put(open_array_store(folder), second)  # written after the store was opened
    assert ((array_store.find(keys(range(61))) != ABSENT) == np.isin(np.arange(61), first)).all()
    array_store.refresh()
    there = sorted({*first, *second})
    assert ((array_store.find(keys(range(61))) != ABSENT) == np.isin(np.arange(61), there)).all()
    assert len(array_store) == len(there)
    assert_holds(array_store, there)


def test_nothing_is_found_in_an_empty_store(tmp_path):
    array_store = open_array_store(tmp_path / "none")
    assert array_store.find(keys([1, 2])).tolist() == [ABSENT, ABSENT]
    assert len(array_store) == 0
    assert array_store.keys().shape == (0, 2)


@pytest.mark.parametrize("ending", [".long", ".fixed", ".index"])
@pytest.mark.parametrize("harm", ["flip", "cut"])
def test_damage_is_noticed(tmp_path, ending, harm):
    put(open_array_store(tmp_path), range(20))
    (path,) = tmp_path.glob(f"*{ending}")
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 1
    else:
        del content[len(content) // 2 :]
    path.write_bytes(content)
    array_store = open_array_store(tmp_path)
    lost = 0
    for number, place in enumerate(array_store.find(keys(range(20)))):
        found = None if place == ABSENT else array_store.entry(place)
        if found is None:
            lost += 1
            continue
        for array, expected in zip(found, entry(number), strict=True):
            np.testing.assert_array_equal(array, expected)
    assert lost == 1 if harm == "flip" else 5 < lost < 15
    assert array_store.find(np.zeros((1, 2), np.uint64)).tolist() == [
        ABSENT
    ]  # the key that a broken record has in its place


def test_what_is_deleted_is_gone_until_it_is_written_again(tmp_path):
    array_store = open_array_store(tmp_path)
    put(array_store, range(5))
    other = open_array_store(tmp_path)
    array_store.delete(keys([2]))
    other.refresh()
    assert (other.find(keys(range(5))) != ABSENT).tolist() == [True, True, False, True, True]
    put(array_store, [2])
    other.refresh()
    assert_holds(other, range(5))


def write_until_killed(folder) -> None:
    with SegmentWriter(open_array_store(folder)) as writer:
        for number in range(10**6):
            long, fixed = entry(number)
            writer.put(keys([number]), [long], [fixed])


def test_a_kill_in_mid_writing_leaves_what_was_written(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_until_killed, args=(tmp_path,)) for _ in range(2)]
    for writer in writers:
        writer.start()
    began = time.monotonic()
    while time.monotonic() - began < 20 and sum(p.stat().st_size for p in tmp_path.glob("*.index")) < 5_000:
        time.sleep(0.01)
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    index = min(tmp_path.glob("*.index"))
    with index.open("ab") as file:  # a record of which a part arrived
        file.write(b"\1" * (RECORD.itemsize - 5))
    array_store = open_array_store(tmp_path)
    found = [number for number in range(500) if array_store.find(keys([number]))[0] != ABSENT]
    assert len(found) > 10
    assert found == list(range(len(found)))
    assert_holds(array_store, found)
    put(array_store, range(len(found), len(found) + 5))
    array_store.refresh()
    assert_holds(array_store, range(len(found) + 5))


def test_a_reader_follows_a_file_that_grows(tmp_path):
    array_store = open_array_store(tmp_path)
    with SegmentWriter(array_store) as writer:
        for number in range(200):
            long, fixed = entry(number)
            writer.put(keys([number]), [long], [fixed])
            array_store.refresh()
            assert_holds(array_store, [0, number])


def test_a_fixed_array_of_another_length_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has 2 numbers, not 3"), SegmentWriter(open_array_store(tmp_path)) as writer:
        writer.put(keys([1]), [np.zeros(4)], [np.zeros(2)])
