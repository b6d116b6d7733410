"""Threads that prepare what clients send. Each has processors of its own: tokenizers cannot be shared."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from mmbert.core.errors import MmbertError
from mmbert.data.modalities.processor import Processor
from mmbert.deploy.serving.refusals import Refusal
from mmbert.deploy.serving.values import raw_values
from mmbert.model.samples import PreparedSample, prepared_sample

#: Threads; decoders and resamplers work outside of Python's lock.
MOST_THREADS = 4


class Preparing:
    """A pool of threads.

    Args:
        processors: the encoders' preprocessing, by encoder name.
        aligned_to: the modalities that tasks are aligned to.
    """

    def __init__(self, processors: Mapping[str, Processor], aligned_to: list[str]) -> None:
        self._pickled = pickle.dumps(dict(processors))
        self._aligned_to = aligned_to
        self._own = threading.local()
        self.threads = max(1, min(MOST_THREADS, os.cpu_count() or 1))
        self.pool = ThreadPoolExecutor(self.threads, "prepare", self._begin)

    def _begin(self) -> None:
        """In each thread, once."""
        torch.set_num_threads(1)  # of this thread: samples are small, and the model needs the cores
        self._own.processors = pickle.loads(self._pickled)  # noqa: S301 - made by this process

    def prepare(self, sample: Any) -> PreparedSample:
        """A sample as it was sent; runs in a thread of the pool.

        Raises:
            Refusal: it cannot be used.
        """
        processors = self._own.processors
        raws = raw_values(sample, processors)
        try:
            return prepared_sample(raws, processors, self._aligned_to)
        except MmbertError as error:
            raise Refusal(422, str(error), "send other values, or leave the field out") from error

    def close(self) -> None:
        """Ends the threads."""
        self.pool.shutdown(wait=False, cancel_futures=True)
