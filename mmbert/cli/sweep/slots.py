"""A launcher that gives each job of a sweep one GPU of this machine, or some of its cores, and queues the rest.

Each slot is a process of loky's (joblib's engine) that serves one job after the other, so that imports are paid once a
slot. It sees its own GPU alone, keeps to its own cores and uses as many threads. A job whose process dies has failed;
the slot gets a new process and continues with the next job.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, filter_overrides

from mmbert.cli.sweep.one_job import JobLauncher, first_line, run_here
from mmbert.core.errors import ConfigError

#: Environment variables by which numeric libraries limit their threads.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: How a warning of loky's begins.
LOKY_RESTART_WARNING = "A worker stopped while some jobs were given"
#: Says to a job in which slot it runs.
SLOT_VARIABLE = "MMBERT_SLOT"


@dataclass(frozen=True)
class Slot:
    """A part of this machine.

    Attributes:
        name: such as ``GPU 0`` or ``cores 2-3``.
        cores: the numbers of its cores.
        gpu: its GPU as CUDA_VISIBLE_DEVICES names it, None for no GPU.
    """

    name: str
    cores: tuple[int, ...]
    gpu: str | None = None

    def environment(self) -> dict[str, str]:
        """What its process finds in its environment before anything is imported."""
        found = {SLOT_VARIABLE: self.name, "CUDA_VISIBLE_DEVICES": self.gpu or ""}
        return found | {name: str(len(self.cores)) for name in THREAD_VARIABLES}


class SlotsLauncher(JobLauncher):
    """Hydra's ``hydra/launcher=slots``.

    Args:
        gpus: their ids; None = all that are visible, an empty list = none.
        cores: of each job.
        max_jobs: at once.
    """

    def __init__(
        self, gpus: Sequence[int | str] | None = None, cores: int | None = None, max_jobs: int | None = None
    ) -> None:
        super().__init__()
        self.options = (None if gpus is None else [str(gpu) for gpu in gpus], cores, max_jobs)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Runs the jobs; returns what became of each, in their order."""
        jobs = self.numbered(job_overrides, initial_job_idx)
        slots = make_slots(*self.options, jobs=len(jobs))
        print(f"{len(jobs)} jobs on {', '.join(slot.name for slot in slots)}", file=sys.stderr)
        waiting: queue.SimpleQueue[tuple[int, list[str]]] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)
        done: dict[int, JobReturn] = {}
        stop = threading.Event()
        with ThreadPoolExecutor(len(slots)) as threads, warnings.catch_warnings():
            # between two jobs loky gives a process that has grown much a successor, and warns as if that were a fault
            warnings.filterwarnings("ignore", LOKY_RESTART_WARNING, UserWarning)
            served = [threads.submit(self.serve, slot, waiting, done, stop) for slot in slots]
            try:
                for one in served:
                    one.result()
            except BaseException:  # an interrupt ends the processes too
                stop.set()
                raise
        return [done[number] for number, _ in jobs]

    def serve(
        self,
        slot: Slot,
        waiting: queue.SimpleQueue[tuple[int, list[str]]],
        done: dict[int, JobReturn],
        stop: threading.Event,
    ) -> None:
        """Takes jobs from the queue until it is empty, and has a process of the slot run them."""
        from joblib.externals.loky.process_executor import TerminatedWorkerError

        executor = None
        state = Singleton.get_state()
        try:
            while not stop.is_set():
                try:
                    number, words = waiting.get_nowait()
                except queue.Empty:
                    return
                print(f"job {number} on {slot.name}: {' '.join(filter_overrides(words))}", file=sys.stderr)
                executor = executor or new_process(slot)
                future = executor.submit(
                    run_here, number, words, self.hydra_context, self.config, self.task_function, state
                )
                try:
                    while not stop.wait(0 if future.done() else 0.05) and not future.done():
                        pass
                    if not future.done():
                        return
                    done[number] = future.result()
                except (TerminatedWorkerError, BrokenProcessPool) as error:
                    executor.shutdown(wait=False, kill_workers=True)
                    executor = None
                    why = (
                        f"The process of this job died on {slot.name}, perhaps for lack of memory: {first_line(error)}"
                    )
                    done[number] = self.lost(number, words, why)
        finally:
            if executor is not None:
                executor.shutdown(wait=True, kill_workers=stop.is_set())


def make_slots(gpus: list[str] | None, cores: int | None, max_jobs: int | None, jobs: int) -> list[Slot]:
    """This machine in slots, no more of them than there are jobs.

    Args:
        gpus: ids; None = all that are visible.
        cores: of each slot.
        max_jobs: slots at most.
        jobs: how many there are to run.

    Raises:
        ConfigError: more cores are wanted for a job than there are.
    """
    gpus = visible_gpus() if gpus is None else gpus
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    if cores is not None and cores > len(mine):
        raise ConfigError(f"hydra.launcher.cores={cores}: this machine lends {len(mine)}.")
    wanted = cores or (max(1, len(mine) // len(gpus)) if gpus else 1)
    count = len(gpus) if gpus else len(mine) // wanted
    slots = []
    for place in range(max(1, min(count, jobs, max_jobs or count))):
        part = tuple(mine[(place * wanted + step) % len(mine)] for step in range(wanted))
        name = f"GPU {gpus[place]}" if gpus else f"core{'s' * (wanted > 1)} {','.join(map(str, part))}"
        slots.append(Slot(name, part, gpus[place] if gpus else None))
    return slots


def visible_gpus() -> list[str]:
    """The ids of the GPUs that this process may use."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu.strip() for gpu in named.split(",") if gpu.strip() not in ("", "-1")]
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def new_process(slot: Slot) -> Any:
    """An executor of one process that has the slot's environment from its start and keeps to its cores."""
    from joblib.externals.loky.process_executor import ProcessPoolExecutor

    return ProcessPoolExecutor(
        max_workers=1, timeout=None, env=slot.environment(), initializer=pin_to_cores, initargs=(slot.cores,)
    )


def pin_to_cores(cores: tuple[int, ...]) -> None:
    """Lets this process, and those it starts, run on these cores alone, where the system knows how."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
