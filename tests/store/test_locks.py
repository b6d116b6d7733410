"""Processes share the filling of an array store part by part, and none waits while there is something to do."""

import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbert.store.locks import (
    ENTRIES_PER_PART,
    MAX_PARTS,
    exclusive_lock,
    fill_lock,
    locked_parts,
    part_count,
    part_lock,
    part_numbers,
)


@given(st.integers(0, 10**7))
def test_a_small_array_store_is_one_part_and_a_large_one_some(entries):
    count = part_count(entries)
    assert 1 <= count <= MAX_PARTS
    assert count == 1 or entries / count >= ENTRIES_PER_PART


@given(st.integers(1, MAX_PARTS), st.integers(0, 2**32 - 1))
def test_a_key_is_always_in_the_same_part(count, seed):
    keys = np.random.default_rng(seed).integers(0, 2**64, (200, 2), np.uint64)
    parts = part_numbers(keys, count)
    assert set(parts.tolist()) <= set(range(count))
    order = np.random.default_rng(seed + 1).permutation(len(keys))
    assert np.array_equal(part_numbers(keys[order], count), parts[order])


def test_free_parts_come_first_and_the_wait_is_told_once(tmp_path):
    told, given_ = [], []
    held = [part_lock(tmp_path, 0), part_lock(tmp_path, 2)]
    for lock in held:
        lock.acquire()
    for part in locked_parts(tmp_path, range(4), lambda: told.append(list(given_))):
        given_.append(part)
        if part == 3:  # the others have ended by the time that all else is done
            for lock in held:
                lock.release()
    assert given_ == [1, 3, 0, 2]
    assert told == [[1, 3]]


def test_nobody_else_has_a_part_that_is_given(tmp_path):
    for part in locked_parts(tmp_path, [0, 1], lambda: pytest.fail("nobody is there to wait for")):
        lock = part_lock(tmp_path, part)
        with pytest.raises(TimeoutError):
            lock.acquire(timeout=0)
    part_lock(tmp_path, 0).acquire(timeout=0)


def hold(folder, holds):
    with part_lock(folder, 0):
        holds.set()
        time.sleep(60)


def test_the_part_of_a_process_that_was_killed_is_filled_by_another(tmp_path):
    context = multiprocessing.get_context("fork")
    holds = context.Event()
    process = context.Process(target=hold, args=(tmp_path, holds))
    process.start()
    assert holds.wait(20)
    threading.Timer(0.3, os.kill, (process.pid, signal.SIGKILL)).start()
    assert list(locked_parts(tmp_path, [0, 1], lambda: None)) == [1, 0]
    process.join()


def test_an_exclusive_lock_waits_until_nobody_fills_not_even_between_two_parts(tmp_path):
    entered = threading.Event()

    def enter():
        with exclusive_lock(tmp_path):
            entered.set()

    with fill_lock(tmp_path), fill_lock(tmp_path):  # any number may fill
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.3)
    assert entered.wait(20)
    thread.join()


def test_nobody_begins_to_fill_under_an_exclusive_lock(tmp_path):
    entered = threading.Event()

    def enter():
        with fill_lock(tmp_path):
            entered.set()

    with exclusive_lock(tmp_path):
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.3)
    assert entered.wait(20)
    thread.join()
