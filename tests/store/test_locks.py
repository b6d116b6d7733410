"""Processes share the filling of a shelf part by part, and none waits while there is something to do."""

import multiprocessing
import os
import signal
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbert.store.locks import ENTRIES, MOST_PARTS, alone, filling, lock_of, part_count, parts_of, taking


@given(st.integers(0, 10**7))
def test_small_shelves_are_one_part_and_large_ones_some(entries):
    count = part_count(entries)
    assert 1 <= count <= MOST_PARTS
    assert count == 1 or entries / count >= ENTRIES


@given(st.integers(1, MOST_PARTS), st.integers(0, 2**32 - 1))
def test_a_key_is_always_in_the_same_part(count, seed):
    keys = np.random.default_rng(seed).integers(0, 2**64, (200, 2), np.uint64)
    parts = parts_of(keys, count)
    assert set(parts.tolist()) <= set(range(count))
    order = np.random.default_rng(seed + 1).permutation(len(keys))
    assert np.array_equal(parts_of(keys[order], count), parts[order])


def test_free_parts_come_first_and_the_wait_is_told_once(tmp_path):
    told, given_ = [], []
    held = [lock_of(tmp_path, 0), lock_of(tmp_path, 2)]
    for lock in held:
        lock.acquire()
    for part in taking(tmp_path, range(4), lambda: told.append(list(given_))):
        given_.append(part)
        if part == 3:  # the others have ended by the time that all else is done
            for lock in held:
                lock.release()
    assert given_ == [1, 3, 0, 2]
    assert told == [[1, 3]]


def test_nobody_else_has_a_part_that_is_given(tmp_path):
    for part in taking(tmp_path, [0, 1], lambda: pytest.fail("nobody is there to wait for")):
        lock = lock_of(tmp_path, part)
        with pytest.raises(TimeoutError):
            lock.acquire(timeout=0)
    lock_of(tmp_path, 0).acquire(timeout=0)


def hold(folder, holds):
    with lock_of(folder, 0):
        holds.set()
        time.sleep(60)


def test_the_part_of_a_process_that_was_killed_is_taken_over(tmp_path):
    context = multiprocessing.get_context("fork")
    holds = context.Event()
    process = context.Process(target=hold, args=(tmp_path, holds))
    process.start()
    assert holds.wait(20)
    threading.Timer(0.3, os.kill, (process.pid, signal.SIGKILL)).start()
    assert list(taking(tmp_path, [0, 1], lambda: None)) == [1, 0]
    process.join()


def test_who_wants_to_be_alone_waits_until_nobody_fills_not_even_between_two_parts(tmp_path):
    entered = threading.Event()

    def enter():
        with alone(tmp_path):
            entered.set()

    with filling(tmp_path), filling(tmp_path):  # any number may fill
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.3)
    assert entered.wait(20)
    thread.join()


def test_nobody_begins_to_fill_beside_one_who_is_alone(tmp_path):
    entered = threading.Event()

    def enter():
        with filling(tmp_path):
            entered.set()

    with alone(tmp_path):
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.3)
    assert entered.wait(20)
    thread.join()
