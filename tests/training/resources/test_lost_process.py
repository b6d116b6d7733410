"""What libraries say when another process is gone becomes a message; every other error stays what it is."""

import logging

import pytest

from mmbert.core.errors import DataError, TrainingError
from mmbert.training.resources import lost_process
from mmbert.training.resources.lost_process import WATCHER, cause_of_death, explain_lost_process, workers_were_ended

GO_ON = "Go on with: mmbert-train resume=RUN"
SAID = [
    "[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4711",
    "[Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7)",
    "NCCL error: remote process exited or there was a network error",
    "[gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv operation to complete",
    "Broken pipe",
]


@pytest.fixture
def several(monkeypatch):
    """As if this were one of two processes."""
    monkeypatch.setattr(lost_process.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(lost_process.dist, "get_world_size", lambda: 2)


@pytest.mark.parametrize("message", SAID)
def test_a_lost_process_is_told_with_the_way_to_go_on(several, message):
    lost = pytest.raises(TrainingError, match="Another process of this run has ended")
    with lost as told, explain_lost_process(GO_ON, print):
        raise RuntimeError(f"{message}\nand a dump")
    assert str(told.value).endswith(GO_ON) and "dump" not in str(told.value)


def test_it_is_found_behind_what_the_loader_made_of_it(several):
    with pytest.raises(TrainingError, match="Connection closed"), explain_lost_process(GO_ON, print):
        try:
            raise RuntimeError(SAID[0])
        except RuntimeError:
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated. ")  # noqa: B904


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("timed out"), DataError("broken pipe")])
def test_other_errors_stay(several, error):
    with pytest.raises(type(error)) as caught, explain_lost_process(GO_ON, print):
        raise error
    assert caught.value is error


def test_a_process_alone_has_lost_nobody():
    with pytest.raises(RuntimeError, match="closed by peer"), explain_lost_process(GO_ON, print):
        raise RuntimeError(SAID[0])


def test_what_lightning_notices_is_printed_and_written_before_it_kills(capsys):
    written, watcher = [], logging.getLogger(WATCHER)
    before = watcher.level, watcher.propagate, list(watcher.handlers)
    with explain_lost_process(GO_ON, written.append):
        watcher.info("[rank: 1] Child process with PID 7 terminated with code -9. Forcefully terminating all others")
        watcher.info("something else")
    printed = capsys.readouterr().err
    assert printed.startswith("mmbert: Process 1 of this run has died (killed by SIGKILL, as for want of memory)")
    assert printed.strip().endswith(GO_ON) and printed.count("\n") == 1
    assert [str(error) for error in written] == [printed.strip().removeprefix("mmbert: ")]
    assert (watcher.level, watcher.propagate, list(watcher.handlers)) == before


@pytest.mark.parametrize(
    ("code", "words"), [(1, "exit code 1"), (-11, "killed by SIGSEGV"), (-99, "killed by signal 99")]
)
def test_codes_in_words(code, words):
    assert cause_of_death(code) == words


@pytest.mark.parametrize(("name", "ended"), [("Terminated", True), ("Killed", False), ("Bus error", False)])
def test_workers_that_were_asked_to_end_are_no_fault(name, ended):
    assert workers_were_ended(RuntimeError(f"DataLoader worker (pid 7) is killed by signal: {name}. ")) is ended


def test_a_chain_of_errors_that_leads_back_to_its_beginning_ends():
    first, second = RuntimeError("one"), RuntimeError("two")
    first.__cause__, second.__cause__ = second, first
    assert not workers_were_ended(first)
