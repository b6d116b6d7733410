"""Submitit's handler waits until a run has saved, and acts at once where no run trains."""

import os
import signal

import pytest

from mmbert.training.callbacks.requeue import EXECUTOR, Requeue, in_submitit_job


@pytest.fixture
def queue(monkeypatch):
    """A job whose queue notes when it would take it back, and ends it."""
    taken_back = []

    def handler(number, frame):
        taken_back.append(number)
        raise SystemExit(-1)

    monkeypatch.setenv(EXECUTOR, "slurm")
    before = signal.signal(signal.SIGUSR2, handler)
    yield taken_back
    signal.signal(signal.SIGUSR2, before)


def test_the_signal_is_noted_and_the_queue_takes_the_job_when_it_may(queue):
    noted, requeue = [], Requeue()
    requeue.listen(lambda number, frame: noted.append(number))
    requeue.act()  # nobody has asked
    os.kill(os.getpid(), signal.SIGUSR2)
    assert noted == [signal.SIGUSR2] and requeue.asked and queue == []
    with pytest.raises(SystemExit):
        requeue.act()
    assert queue == [signal.SIGUSR2]


def test_the_handler_is_given_back(queue):
    requeue = Requeue()
    requeue.listen(lambda number, frame: None)
    requeue.give_back()
    requeue.give_back()
    with pytest.raises(SystemExit):
        os.kill(os.getpid(), signal.SIGUSR2)


def test_another_signal_may_be_chosen(queue, monkeypatch):
    monkeypatch.setenv("SUBMITIT_PREEMPT_SIGNAL", "USR1")
    before, requeue = signal.getsignal(signal.SIGUSR1), Requeue()
    requeue.listen(lambda number, frame: None)
    assert signal.getsignal(signal.SIGUSR1) is not before
    requeue.give_back()
    assert signal.getsignal(signal.SIGUSR1) is before


def test_outside_of_such_jobs_no_signal_is_taken(monkeypatch):
    monkeypatch.delenv(EXECUTOR, raising=False)
    before, requeue = signal.getsignal(signal.SIGUSR2), Requeue()
    requeue.listen(lambda number, frame: None)
    assert signal.getsignal(signal.SIGUSR2) is before and not in_submitit_job()
    requeue.act()


def test_a_process_that_the_queue_does_not_know_only_notes(monkeypatch):
    monkeypatch.setenv(EXECUTOR, "slurm")
    before, noted, requeue = signal.getsignal(signal.SIGUSR2), [], Requeue()
    assert not callable(before)
    requeue.listen(lambda number, frame: noted.append(number))
    os.kill(os.getpid(), signal.SIGUSR2)
    requeue.act()
    requeue.give_back()
    assert noted == [signal.SIGUSR2] and signal.getsignal(signal.SIGUSR2) == before
