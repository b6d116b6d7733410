"""Processes that prepare samples: as ``predict`` prepares them, beside the server's own, and replaced when one dies."""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from mmbert.deploy.serving.bodies import json_samples
from mmbert.deploy.serving.preparing import Preparing, pickled_result
from mmbert.deploy.serving.refusals import Refusal


class Reader:
    """A processor that says where it is, and dies of some texts."""

    kind = "text"

    def prepare(self, raw):
        if raw == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return len(raw), os.getpid(), torch.get_num_threads(), torch.arange(len(raw))


@pytest.fixture
def preparing():
    made = Preparing({"text": Reader()}, [])
    yield made
    made.close()


async def all_of(preparing, texts):
    return await asyncio.gather(*(preparing.prepare({"text": text}) for text in texts), return_exceptions=True)


def test_samples_are_prepared_in_processes_of_their_own_with_one_thread_each(preparing):
    found = asyncio.run(all_of(preparing, ["x" * n for n in range(1, 40)]))
    assert [each.values["text"][0] for each in found] == list(range(1, 40))
    assert os.getpid() not in {each.values["text"][1] for each in found}
    assert len({each.values["text"][1] for each in found}) <= preparing.processes
    assert {each.values["text"][2] for each in found} == {1}
    assert found[4].values["text"][3].tolist() == [0, 1, 2, 3, 4]


def test_the_server_has_no_thread_and_no_setting_more_for_it():
    before, running = torch.get_num_threads(), threading.active_count()
    made = Preparing({"text": Reader()}, [])
    try:
        assert torch.get_num_threads() == before
        assert threading.active_count() <= running + 2  # the pool's own: one hands out, one notices who has died
    finally:
        made.close()


def test_a_sample_that_cannot_be_used_is_refused_as_it_was_there(preparing):
    async def ask():
        await preparing.prepare({"sound": "a"})

    with pytest.raises(Refusal, match="no such modality") as told:
        asyncio.run(ask())
    assert told.value.status == 422 and told.value.content()["remedy"]


def test_who_kills_a_process_is_refused_and_the_next_is_answered(preparing):
    found = asyncio.run(all_of(preparing, ["die"]))
    assert isinstance(found[0], Refusal) and found[0].status == 500
    assert "has died" in found[0].error and found[0].remedy
    (again,) = asyncio.run(all_of(preparing, ["abc"]))
    assert again.values["text"][0] == 3
    assert asyncio.run(preparing.read(json_samples, b'{"text": "a"}')) == {"text": "a"}


def test_a_refusal_crosses_whole():
    import pickle

    made = Refusal(422, "wrong", "mend", "text", 3, 1)
    again = pickle.loads(pickle.dumps(made))
    assert vars(again) == vars(made) and again.args == made.args


ALONE = """
import asyncio, os, time
from mmbert.deploy.serving.preparing import Preparing, pickled_result
made = Preparing({}, [])
print(*made._pool._processes, flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_processes_end_with_a_server_that_is_killed():
    server = subprocess.Popen([sys.executable, "-c", ALONE], stdout=subprocess.PIPE, text=True)
    try:
        numbers = [int(word) for word in server.stdout.readline().split()]
        assert numbers and all(Path(f"/proc/{number}").exists() for number in numbers)
    finally:
        server.kill()
        server.wait()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{number}").exists() for number in numbers):
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6, dtype=torch.int64).reshape(2, 3),
        torch.randn(3, 4, dtype=torch.float32).T,
        torch.zeros(0, 5),
        torch.tensor(2.5),
        torch.tensor([True, False]),
        torch.tensor([1.5, -2], dtype=torch.bfloat16),
        torch.tensor([1.5, -2], dtype=torch.float16),
        torch.arange(10)[::3],
    ],
    ids=["whole numbers", "transposed", "empty", "one number", "bool", "bfloat16", "float16", "every third"],
)
def test_tensors_come_over_as_they_were_and_can_be_written(tensor, recwarn):
    found = pickle.loads(pickled_result(lambda given: {"of": [given, "text"]}, tensor))["of"]
    assert found[1] == "text" and found[0].dtype == tensor.dtype and torch.equal(found[0], tensor)
    found[0].zero_()
    assert not recwarn.list
