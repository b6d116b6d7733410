"""Processes that prepare what clients send, beside the server's own: decoders and tokenizers do not wait for its lock.

Python's lock lets one thread of a process compute at a time. Threads that prepare would hold up the thread that runs
the model, at every one of its operations; a loader's workers do not, nor do these. What breaks a decoder ends a process
of theirs and not the server.
"""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch

from mmbert.core.errors import MmbertError
from mmbert.data.modalities.processor import Processor
from mmbert.deploy.serving.refusals import Refusal
from mmbert.deploy.serving.values import raw_values
from mmbert.model.samples import PreparedSample, prepared_sample

#: Processes; one core is left to the model.
MOST_PROCESSES = 4
#: Seconds after which a process sees at the latest that its server is gone.
LOOKS_EVERY = 1.0
#: What a process has of its own: the encoders' preprocessing, and the modalities that tasks are aligned to.
_own: dict[str, Any] = {}


class Preparing:
    """Some processes, which are there before the first request.

    Args:
        processors: the encoders' preprocessing, by encoder name.
        aligned_to: the modalities that tasks are aligned to.
    """

    def __init__(self, processors: Mapping[str, Processor], aligned_to: list[str]) -> None:
        self._pickled = pickle.dumps((dict(processors), list(aligned_to)))
        self.processes = max(1, min(MOST_PROCESSES, (os.cpu_count() or 1) - 1))
        self._pool = self._begun()

    def _begun(self) -> ProcessPoolExecutor:
        """A pool whose processes have begun: they copy this one, which is best done before it has threads."""
        pool = ProcessPoolExecutor(
            self.processes, multiprocessing.get_context("fork"), begin_process, (self._pickled, os.getpid())
        )
        for job in [pool.submit(os.getpid) for _ in range(self.processes)]:
            job.result()
        return pool

    async def prepare(self, sample: Any) -> PreparedSample:
        """A sample as it was sent.

        Raises:
            Refusal: it cannot be used, or ended the process that prepared it.
        """
        made: PreparedSample = await self._run(prepare_here, sample)
        return made

    async def read(self, reader: Callable[[bytes], Any], content: bytes) -> Any:
        """What a function makes of bytes, such as JSON of some megabytes.

        Raises:
            Refusal: it cannot be read.
        """
        return await self._run(reader, content)

    async def _run(self, work: Callable[[Any], Any], given: Any) -> Any:
        pool = self._pool
        try:
            answer = await asyncio.get_running_loop().run_in_executor(pool, pickled_result, work, given)
        except BrokenProcessPool:
            if self._pool is pool:  # the first that meets it
                pool.shutdown(wait=False)
                self._pool = self._begun()
            raise Refusal(
                500, "the process that reads samples has died, perhaps of one of them", "send each by itself, once more"
            ) from None
        return pickle.loads(answer)  # noqa: S301 - made by a process of this server's

    def close(self) -> None:
        """Ends the processes."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def begin_process(pickled: bytes, server: int) -> None:
    """In each process, once.

    Args:
        pickled: what it has of its own.
        server: the process that it works for, with which it ends.
    """
    threading.Thread(target=end_with, args=(server,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to answer: it ends what was taken in first
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)  # samples are small, and the model needs the cores
    _own["processors"], _own["aligned_to"] = pickle.loads(pickled)  # noqa: S301 - made by the server


def end_with(server: int) -> None:
    """Ends this process once another is gone: nobody tells it of a server that was killed."""
    while os.getppid() == server:
        time.sleep(LOOKS_EVERY)
    os._exit(0)


class TensorPickler(pickle.Pickler):
    """Tensors as arrays of numbers: torch's own way takes ten times as long, for each is a small file to it."""

    def reducer_override(self, obj: Any) -> Any:
        """How an object is made again; see ``pickle.Pickler``."""
        if type(obj) is torch.Tensor and obj.dtype != torch.bfloat16:  # of which NumPy knows nothing
            return torch.from_numpy, (obj.numpy(),)
        return NotImplemented


def pickled_result(work: Callable[[Any], Any], given: Any) -> bytes:
    """What a function gives, as bytes: tensors as they are would cross by a file descriptor each."""
    buffer = io.BytesIO()
    TensorPickler(buffer, pickle.HIGHEST_PROTOCOL).dump(work(given))
    return buffer.getvalue()


def prepare_here(sample: Any) -> PreparedSample:
    """A sample as it was sent, prepared in this process.

    Raises:
        Refusal: it cannot be used.
    """
    processors = _own["processors"]
    raws = raw_values(sample, processors)
    try:
        return prepared_sample(raws, processors, _own["aligned_to"])
    except MmbertError as error:
        raise Refusal(422, str(error), "send other values, or leave the field out") from error
