"""A process of a run that dies: the others say so, and how to go on, instead of ending without a word."""

from __future__ import annotations

import logging
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch.distributed as dist

from mmbert.core.errors import MmbertError, TrainingError
from mmbert.training.resources.out_of_memory import chain, error_summary

#: How gloo, NCCL and the store between processes say that another one is gone.
LOST = re.compile(
    r"connection (closed|reset|refused)|broken pipe|remote process (has )?exited|socket (error|closed)|"
    r"(read|write|recv|send)\w* (error|timeout)|timed out|watchdog|peer .*(closed|exited|gone)|ncclRemoteError",
    re.IGNORECASE,
)
ENDED_WORKER = re.compile(r"worker \(pid.* is killed by signal: terminated", re.IGNORECASE)
#: What Lightning's watcher of the processes that it started logs, before it kills the rest.
WATCHER = "lightning_fabric.strategies.launchers.subprocess_script"
DIED = re.compile(r"rank: (?P<rank>\d+)\] Child process .* terminated with code (?P<code>-?\d+)")


@contextmanager
def explain_lost_process(go_on: str, written: Callable[[Exception], None]) -> Iterator[None]:
    """A context in which the death of another process of the run becomes a message.

    Args:
        go_on: how the run goes on, a sentence.
        written: is sent the error when this process will be killed before it can leave the context.

    Raises:
        TrainingError: another process has died.
    """
    watcher, handler = logging.getLogger(WATCHER), DeathHandler(go_on, written)
    level, propagates = watcher.level, watcher.propagate
    watcher.addHandler(handler)
    watcher.setLevel(logging.INFO)
    watcher.propagate = False
    try:
        yield
    except MmbertError:
        raise
    except Exception as error:
        if not is_lost_process(error):
            raise
        first = next(part for part in chain(error) if LOST.search(str(part)))
        raise TrainingError(
            f"Another process of this run has ended, and this one cannot go on without it ({error_summary(first)}). "
            f"What it printed says why; if that is nothing, it was killed, perhaps for want of memory. {go_on}"
        ) from error
    finally:
        watcher.removeHandler(handler)
        watcher.setLevel(level)
        watcher.propagate = propagates


def is_lost_process(error: BaseException) -> bool:
    """Whether an error tells that another process of the run is gone."""
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return False
    return any(isinstance(part, (RuntimeError, OSError)) and LOST.search(str(part)) for part in chain(error))


def workers_were_ended(error: BaseException) -> bool:
    """Whether somebody asked the loader's workers to end, as schedulers do with all processes of a job."""
    return any(isinstance(part, RuntimeError) and ENDED_WORKER.search(str(part)) for part in chain(error))


class DeathHandler(logging.Handler):
    """Prints which process has died, before Lightning kills this one."""

    def __init__(self, go_on: str, written: Callable[[Exception], None]) -> None:
        super().__init__(logging.INFO)
        self.go_on, self.written = go_on, written

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``."""
        found = DIED.search(record.getMessage())
        if found is None:
            return
        error = TrainingError(
            f"Process {found['rank']} of this run has died ({cause_of_death(int(found['code']))}), and the others end "
            f"with it. What it printed says why. {self.go_on}"
        )
        print(f"mmbert: {error}", file=sys.stderr, flush=True)
        self.written(error)


def cause_of_death(code: int) -> str:
    """An exit code in words; negative ones are signals."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"killed by {name}" + (", as for want of memory" if -code == signal.SIGKILL else "")
