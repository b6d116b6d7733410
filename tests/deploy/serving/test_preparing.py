"""Threads that prepare samples: as ``predict`` prepares them, each with processors of its own."""

import threading
from concurrent.futures import wait

import pytest
import torch

from mmbert.deploy.serving.preparing import Preparing
from mmbert.deploy.serving.refusals import Refusal


class Reader:
    """A processor that remembers who used it."""

    kind = "text"

    def __init__(self):
        self.users = set()

    def prepare(self, raw):
        self.users.add(threading.get_ident())
        return len(raw), len(self.users), torch.get_num_threads()


@pytest.fixture
def preparing():
    made = Preparing({"text": Reader()}, [])
    yield made
    made.close()


def test_no_two_threads_share_a_processor(preparing):
    work = [preparing.pool.submit(preparing.prepare, {"text": "x" * n}) for n in range(1, 40)]
    wait(work)
    found = [job.result().values["text"] for job in work]
    assert [length for length, _, _ in found] == list(range(1, 40))
    assert {users for _, users, _ in found} == {1} and {threads for _, _, threads in found} == {1}


def test_threads_that_prepare_leave_the_cores_to_the_model():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    made = Preparing({"text": Reader()}, [])
    try:
        prepared = made.pool.submit(made.prepare, {"text": "a"}).result()
        assert prepared.values["text"][2] == 1 and torch.get_num_threads() == 3
    finally:
        made.close()
        torch.set_num_threads(before)


def test_a_sample_that_cannot_be_used_is_refused(preparing):
    with pytest.raises(Refusal, match="no such modality"):
        preparing.pool.submit(preparing.prepare, {"sound": "a"}).result()
