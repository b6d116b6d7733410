"""Which samples share a batch, without a server."""

import asyncio
import threading
import time

import pytest
import torch

from mmbert.deploy.serving.batching import Batcher
from mmbert.deploy.serving.refusals import Refusal


def answered(work, **options):
    """Runs a coroutine beside a batcher whose samples are numbers, answered with ten times as much."""
    batches = []

    def answer_batch(samples):
        batches.append(list(samples))
        if 13 in samples:
            raise ValueError("13")
        return [10 * sample for sample in samples]

    batcher = Batcher([answer_batch], **options)
    batcher.start()
    try:
        return asyncio.run(work(batcher)), batches
    finally:
        batcher.close()


def test_samples_that_come_within_the_wait_share_a_batch():
    async def work(batcher):
        first = batcher.submit(1)
        await asyncio.sleep(0.05)
        return await asyncio.gather(first, batcher.submit(2))

    assert answered(work, max_batch=4, max_wait_ms=500) == ([10, 20], [[1, 2]])
    found, batches = answered(work, max_batch=4, max_wait_ms=0)
    assert found == [10, 20] and batches == [[1], [2]]


def test_a_full_batch_does_not_wait():
    async def work(batcher):
        began = time.monotonic()
        found = await asyncio.gather(*(batcher.submit(number) for number in range(7)))
        return found, time.monotonic() - began

    (found, seconds), batches = answered(work, max_batch=3, max_wait_ms=400)
    assert found == [10 * number for number in range(7)] and [len(batch) for batch in batches] == [3, 3, 1]
    assert 0.3 < seconds < 2  # the last alone waited


def test_one_that_fails_fails_alone():
    async def work(batcher):
        return await asyncio.gather(*(batcher.submit(number) for number in (1, 13, 2)), return_exceptions=True)

    (one, bad, two), batches = answered(work, max_batch=3, max_wait_ms=400)
    assert (one, two) == (10, 20) and batches == [[1, 13, 2], [1], [13], [2]]
    assert isinstance(bad, Refusal) and bad.status == 500 and "13" not in str(bad)


def test_what_nobody_waits_for_is_left_out():
    async def work(batcher):
        kept, dropped = batcher.submit(1), batcher.submit(2)
        dropped.cancel()
        return await kept

    assert answered(work, max_batch=3, max_wait_ms=100) == (10, [[1]])


def test_the_end_answers_what_waits():
    async def work(batcher):
        waiting = [batcher.submit(number) for number in range(5)]
        await asyncio.to_thread(batcher.close)
        assert not batcher.ready
        return await asyncio.gather(*waiting)

    found, batches = answered(work, max_batch=2, max_wait_ms=10_000)
    assert found == [0, 10, 20, 30, 40] and [len(batch) for batch in batches] == [2, 2, 1]


def test_the_thread_outlives_a_loop_that_has_ended():
    async def leave(batcher):
        batcher.submit(1)

    batcher = Batcher([lambda samples: samples], 1, 30)
    batcher.start()
    asyncio.run(leave(batcher))
    time.sleep(0.2)
    assert batcher.ready

    async def ask():
        return await batcher.submit(7)

    assert asyncio.run(ask()) == 7
    batcher.close()


@pytest.mark.parametrize("count", [1, 5])
def test_batches_and_samples_are_counted(count):
    async def work(batcher):
        await asyncio.gather(*(batcher.submit(number) for number in range(count)))
        return batcher.batches, batcher.samples

    found, batches = answered(work, max_batch=2, max_wait_ms=50)
    assert found == (len(batches), count)


def test_the_model_has_the_cores_whatever_other_threads_take():
    async def work(batcher):
        return await batcher.submit(1)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        batcher = Batcher([lambda samples: [torch.get_num_threads() for _ in samples]], 1, 0)
        other = threading.Thread(target=torch.set_num_threads, args=(1,))
        other.start()
        other.join()
        batcher.start()
        assert asyncio.run(work(batcher)) == 3
        batcher.close()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("threads", "expected"), [(None, 1), (3, 3)])
def test_the_model_computes_with_the_threads_it_is_given_and_not_those_of_who_asks(threads, expected):
    found = []

    async def work(batcher):
        return await batcher.submit(1)

    def answer_batch(samples):
        found.append(torch.get_num_threads())
        return samples

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        batcher = Batcher([answer_batch], max_batch=1, max_wait_ms=0, threads=threads)
        torch.set_num_threads(2)  # what a new thread would begin with
        batcher.start()
        asyncio.run(work(batcher))
        batcher.close()
    finally:
        torch.set_num_threads(before)
    assert found == [expected]


def test_two_models_take_batches_at_once_and_share_the_threads():
    """The first begins alone, with all threads; the second, beside it, has half of them, as both have from then on."""
    found, both = [], threading.Barrier(2)

    def model(name):
        def answer_batch(samples):
            found.append((name, list(samples), torch.get_num_threads()))
            if samples[0] < 2:
                both.wait(10)  # neither goes on before the other has begun
            return samples

        return answer_batch

    async def work(batcher):
        first = batcher.submit(0)
        while not found:
            await asyncio.sleep(0.01)
        return await asyncio.gather(first, batcher.submit(1))

    before = torch.get_num_threads()
    batcher = Batcher([model("a"), model("b")], max_batch=1, max_wait_ms=0, threads=4)
    batcher.start()
    try:
        assert asyncio.run(work(batcher)) == [0, 1]
        assert (batcher.batches, batcher.samples) == (2, 2)
    finally:
        batcher.close()
        torch.set_num_threads(before)
    (one, given, threads), (other, later, share) = found
    assert {one, other} == {"a", "b"} and (given, later, share) == ([0], [1], 2)
    assert threads == (4 if one == "a" else 2)


@pytest.mark.parametrize("models", [1, 2, 3])
def test_no_sample_is_lost_or_answered_twice_whoever_takes_it(models):
    async def work(batcher):
        return await asyncio.gather(*(one_later(batcher, number) for number in range(200)))

    async def one_later(batcher, number):
        await asyncio.sleep(number % 7 / 1000)
        return await batcher.submit(number)

    seen = []

    def answer_batch(samples):
        seen.extend(samples)
        time.sleep(0.002)
        return [10 * sample for sample in samples]

    batcher = Batcher([answer_batch] * models, max_batch=3, max_wait_ms=2)
    batcher.start()
    try:
        assert asyncio.run(work(batcher)) == [10 * number for number in range(200)]
    finally:
        batcher.close()
    assert sorted(seen) == list(range(200)) and batcher.samples == 200
