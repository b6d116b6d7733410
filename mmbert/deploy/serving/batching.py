"""Dynamic batching: samples that wait are taken through the model together, by a thread, and answered each."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from mmbert.core.privacy import Privacy
from mmbert.deploy.serving.refusals import Refusal
from mmbert.model.samples import PreparedSample

SERVE_LOG = logging.getLogger("mmbert.serve")
#: A sample's answers: ``{task: {"prediction": label, "probabilities": ...}}``.
SampleAnswers = dict[str, dict[str, Any]]
#: What goes into the log of a failure: where it was raised, and no message, for messages quote values.
PLACES_ALONE = Privacy(samples=False)


@dataclass
class WaitingSample:
    """A sample that waits for its answer.

    Attributes:
        sample: prepared.
        answer: belongs to ``loop``; cancelled = nobody waits any more.
        loop: of the server.
        since: seconds of ``time.monotonic`` at which it began to wait.
    """

    sample: PreparedSample
    answer: asyncio.Future[SampleAnswers]
    loop: asyncio.AbstractEventLoop
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """Threads that each run a model of their own, a batch at a time.

    Args:
        models: samples -> an answer each; a thread for every one.
        max_batch: see ``Limits``.
        max_wait_ms: see ``Limits``.
        threads: that torch computes with, all of them together; None = as many as the thread that makes this.

    Attributes:
        batches: that went through a model.
        samples: in them.
    """

    def __init__(
        self,
        models: Sequence[Callable[[Sequence[PreparedSample]], list[SampleAnswers]]],
        max_batch: int,
        max_wait_ms: float,
        threads: int | None = None,
    ) -> None:
        self._max_batch, self._wait_s = max_batch, max_wait_ms / 1000
        self._torch_threads = threads or torch.get_num_threads()
        self._waiting: deque[WaitingSample] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._busy = 0
        self.batches = self.samples = 0
        self._threads = [
            threading.Thread(target=self._run, args=(answer_batch, number), name=f"model {number}", daemon=True)
            for number, answer_batch in enumerate(models)
        ]

    def start(self) -> None:
        """Begins to run what waits."""
        for thread in self._threads:
            thread.start()

    @property
    def ready(self) -> bool:
        """Whether samples are taken."""
        return all(thread.is_alive() for thread in self._threads) and not self._closing

    def submit(self, sample: PreparedSample) -> asyncio.Future[SampleAnswers]:
        """The answer that will come; called by the event loop. Cancel it, and its sample is left out."""
        loop = asyncio.get_running_loop()
        job = WaitingSample(sample, loop.create_future(), loop)
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()
        return job.answer

    def close(self) -> None:
        """Answers what waits, then ends."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run(self, answer_batch: Callable[[Sequence[PreparedSample]], list[SampleAnswers]], number: int) -> None:
        while jobs := self._next_batch():
            # each thread has a number of its own, and begins with the one that was set last, which is 1 in a server
            torch.set_num_threads(self._share_of_threads(number))
            deliver(jobs, self._results(answer_batch, jobs))
            with self._changed:
                self._busy -= 1

    def _share_of_threads(self, number: int) -> int:
        """What torch may compute with: all for the first where it runs alone and nothing waits, else an equal share."""
        with self._changed:
            alone = number == 0 and self._busy == 1 and not self._waiting
        return self._torch_threads if alone else max(1, self._torch_threads // len(self._threads))

    def _next_batch(self) -> list[WaitingSample]:
        """Up to ``max_batch`` samples: those that wait once the first has waited long enough; none = the end."""
        with self._changed:
            while True:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return []
                until = self._waiting[0].since + self._wait_s
                while len(self._waiting) < self._max_batch and not self._closing:
                    left = until - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
                jobs: list[WaitingSample] = []
                while self._waiting and len(jobs) < self._max_batch:
                    job = self._waiting.popleft()
                    if not job.answer.cancelled():
                        jobs.append(job)
                if self._waiting:
                    self._changed.notify()  # for another thread: what woke this one may have been of the rest
                if jobs:
                    self._busy += 1
                    self.batches += 1
                    self.samples += len(jobs)
                    return jobs

    def _results(
        self, answer_batch: Callable[[Sequence[PreparedSample]], list[SampleAnswers]], jobs: list[WaitingSample]
    ) -> list[SampleAnswers | BaseException]:
        """An answer or an error for each; where a batch fails, every sample is tried alone."""
        try:
            return list(answer_batch([job.sample for job in jobs]))
        except Exception as error:  # whatever the model raises, the server goes on
            if len(jobs) == 1:
                places = PLACES_ALONE.traceback_of(error)
                SERVE_LOG.error("A sample could not be answered: %s\n%s", type(error).__name__, places)
                fault = Refusal(500, f"the model has no answer to this sample ({type(error).__name__})")
                fault.remedy = "the log of the server says where it failed"
                return [fault]
        return [self._results(answer_batch, [job])[0] for job in jobs]


def deliver(jobs: Sequence[WaitingSample], results: Sequence[SampleAnswers | BaseException]) -> None:
    """Hands results to those who wait, in the event loop."""

    def hand_out() -> None:
        for job, result in zip(jobs, results, strict=True):
            if job.answer.done():
                continue
            if isinstance(result, BaseException):
                job.answer.set_exception(result)
            else:
                job.answer.set_result(result)

    with suppress(RuntimeError):  # the loop has ended, and with it all who waited
        jobs[0].loop.call_soon_threadsafe(hand_out)
