"""One process writes to a folder; the next is refused by name, and let in as soon as the first has ended in any way."""

import errno
import fcntl
import multiprocessing
import os
import signal
import threading
import time

import pytest

from mmbert.core import folder_lock as module
from mmbert.core.folder_lock import FolderInUse, folder_lock, refuse_locked


def hold(folder, ready, shared=False):
    with folder_lock(folder, "wait", shared):
        ready.set()
        time.sleep(60)


@pytest.fixture
def held(tmp_path):
    """``held()``: another process that holds the lock of the folder; ended afterwards."""
    started = []

    def start(shared=False):
        context = multiprocessing.get_context("fork")
        ready = context.Event()
        process = context.Process(target=hold, args=(tmp_path, ready, shared))
        process.start()
        assert ready.wait(20)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def test_the_second_is_told_who_holds_the_lock_and_what_to_do(tmp_path, held):
    other = held()
    message = rf"is in use by process {other.pid} on \S+ \(since 20.*\): wait\."
    with pytest.raises(FolderInUse, match=message), folder_lock(tmp_path, "wait"):
        raise AssertionError
    with pytest.raises(FolderInUse, match=message):
        refuse_locked(tmp_path, "wait")


def test_a_kill_frees_it_and_an_end_leaves_nothing(tmp_path, held):
    other = held()
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    refuse_locked(tmp_path, "wait")
    with folder_lock(tmp_path, "wait"):
        assert (tmp_path / ".lock").is_file()
    assert not list(tmp_path.iterdir())


def test_a_child_that_outlives_its_parent_does_not_keep_it(tmp_path):
    ready, gone = os.pipe(), os.pipe()
    parent = os.fork()
    if not parent:
        with folder_lock(tmp_path, "wait"):
            if not os.fork():  # a loader's worker
                os.write(ready[1], b"x")
                os.read(gone[0], 1)
                os._exit(0)
            time.sleep(60)
    os.read(ready[0], 1)
    with pytest.raises(FolderInUse, match=f"process {parent} on "):
        refuse_locked(tmp_path, "wait")
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    with folder_lock(tmp_path, "wait"):
        assert f'"pid": {os.getpid()},' in (tmp_path / ".lock").read_text()
    os.write(gone[1], b"x")


def test_the_same_thread_may_take_it_again_and_no_other(tmp_path):
    refused = []

    def other():
        try:
            with folder_lock(tmp_path, "wait"):
                pass
        except FolderInUse as error:
            refused.append(str(error))

    with folder_lock(tmp_path, "wait"):
        with folder_lock(tmp_path / "..", "wait"), folder_lock(tmp_path, "wait"):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1 and str(os.getpid()) in refused[0]


def test_shared_ones_share(tmp_path, held):
    held(shared=True)
    with folder_lock(tmp_path, "wait", shared=True):
        pass
    with pytest.raises(FolderInUse), folder_lock(tmp_path, "wait"):
        raise AssertionError
    assert (tmp_path / ".lock").exists()  # the other's


def test_where_the_file_system_has_no_locks_a_warning_says_so(tmp_path, monkeypatch, caplog):
    def unknown(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module.fcntl, "flock", unknown)
    with folder_lock(tmp_path, "wait"):
        assert "this file system has no locks" in caplog.text


def test_a_link_in_a_strange_folder_is_not_followed(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError), folder_lock(tmp_path, "wait"):
        raise AssertionError
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_lock_file_that_was_deleted_meanwhile_counts_for_nothing(tmp_path, monkeypatch):
    """Its last holder deletes it between our opening and our locking: a third process would make a new one."""
    real, first = fcntl.flock, []

    def late(file, how):
        if not first:
            first.append(file)
            (tmp_path / ".lock").unlink()
        real(file, how)

    monkeypatch.setattr(module.fcntl, "flock", late)
    with folder_lock(tmp_path, "wait"):
        assert (tmp_path / ".lock").is_file()


def test_a_file_may_be_locked_alone(tmp_path):
    refused = []

    def others():
        with folder_lock(tmp_path, "wait", file="b.jsonl"), folder_lock(tmp_path, "wait"):
            refused.append("neither")
        try:
            with folder_lock(tmp_path, "wait", file="a.jsonl"):
                pass
        except FolderInUse as error:
            refused.append(str(error).partition(" is in use")[0])

    with folder_lock(tmp_path, "wait", file="a.jsonl"):
        thread = threading.Thread(target=others)
        thread.start()
        thread.join()
    assert refused == ["neither", str(tmp_path / "a.jsonl")]
