"""Jobs that submitit puts back into SLURM's queue: before the time limit, or when a machine is taken away.

SLURM sends such a job a signal (USR2, 90 seconds before the end by itself), at which submitit's own handler puts it
back and ends the process wherever it stands. While a run trains, the handler has to wait: the processes save first,
between two steps of the optimiser, so that the job goes on from there when it is started again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

#: Set by submitit in a job, and by whoever wants another signal than USR2.
EXECUTOR, SIGNAL = "SUBMITIT_EXECUTOR", "SUBMITIT_PREEMPT_SIGNAL"


def in_submitit_job() -> bool:
    """Whether this process was started by submitit, or by a process that was."""
    return bool(os.environ.get(EXECUTOR))


class Requeue:
    """Holds submitit's handler back until it may act.

    Attributes:
        asked: whether the signal has come.
    """

    def __init__(self) -> None:
        self.asked = False
        self._number: int | None = None
        self._before: Any = None

    def listen(self, note: Callable[[int, FrameType | None], None]) -> None:
        """Takes the signal, from the main thread; nothing happens outside of submitit's jobs.

        Args:
            note: called when the signal comes.
        """
        number = getattr(signal, f"SIG{os.environ.get(SIGNAL, 'USR2')}", None)
        if not in_submitit_job() or number is None:
            return

        def came(number: int, frame: FrameType | None) -> None:
            self.asked = True
            note(number, frame)

        self._before, self._number = signal.signal(number, came), number

    def act(self) -> None:
        """What submitit would have done at the signal: it puts the job back and raises SystemExit.

        In processes that submitit knows nothing of, those of a distributed run but the first, nothing happens.
        """
        if self.asked and self._number is not None and callable(self._before):
            self._before(self._number, None)

    def give_back(self) -> None:
        """Submitit's handler acts at once again."""
        if self._number is not None:
            signal.signal(self._number, self._before)
        self._number = None
