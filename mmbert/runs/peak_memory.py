"""The most memory that one job has held.

``getrusage`` knows only the maximum over the life of the process, so that in a sweep, which runs many jobs in one
process, a small job would inherit the number of the large one before it. Linux can reset its own high-water mark;
elsewhere a thread looks every few milliseconds.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType

SELF = Path("/proc/self")
INTERVAL_SECONDS = 0.02


class PeakMemory:
    """Context manager: the peak of this process's memory since it was entered, and of each CUDA device's.

    Monitors may be nested. Worker processes of data loaders are not counted; each rank of a distributed run counts its
    own memory.
    """

    _active: list[PeakMemory] = []

    def __init__(self) -> None:
        self._peak_mib = 0.0
        self._cuda_mib = 0.0
        self._final = False
        self._sampler: threading.Thread | None = None
        self._stop = threading.Event()

    def __enter__(self) -> PeakMemory:
        for outer in self._active:  # the mark they share is about to be reset
            outer._take()
        self._active.append(self)
        if not reset_high_water_mark():
            self._sampler = threading.Thread(target=self._sample, daemon=True, name="peak-memory")
            self._sampler.start()
        reset_cuda_peak()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._take()
        self._final = True
        self._active.remove(self)
        self._stop.set()
        if self._sampler is not None:
            self._sampler.join()

    def peak_mib(self) -> float | None:
        """Peak resident memory so far, in MiB; after the block, the block's. None where it cannot be measured."""
        if not self._final:
            self._take()
        return round(self._peak_mib, 1) or None

    def peak_cuda_mib(self) -> float | None:
        """Peak memory that torch has allocated on any one CUDA device, in MiB; None without one."""
        if not self._final:
            self._take()
        return round(self._cuda_mib, 1) or None

    def _take(self) -> None:
        """Reads the marks. Without a resettable one, what is held now: the thread saw the rest."""
        seen = resident_mib("VmRSS" if self._sampler is not None else "VmHWM")
        self._peak_mib = max(self._peak_mib, seen or 0.0)
        self._cuda_mib = max(self._cuda_mib, cuda_peak_mib())

    def _sample(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            self._peak_mib = max(self._peak_mib, resident_mib("VmRSS") or 0.0)


def reset_high_water_mark() -> bool:
    """Sets Linux's peak of this process to what it holds now; False where that is not possible."""
    try:
        (SELF / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    high, current = resident_mib("VmHWM"), resident_mib("VmRSS")
    # some containers accept the write and ignore it
    return high is not None and current is not None and high <= current * 1.05 + 16


def resident_mib(field: str) -> float | None:
    """``VmRSS`` (held now) or ``VmHWM`` (the peak) in MiB."""
    try:
        for line in (SELF / "status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return other_systems_mib()


def other_systems_mib() -> float | None:
    """What the process holds, on systems without ``/proc``; None if psutil is not installed."""
    try:
        import psutil
    except ImportError:
        return None
    return float(psutil.Process(os.getpid()).memory_info().rss) / 2**20


def reset_cuda_peak() -> None:
    """Sets torch's own peaks to what is allocated now; does not wake a CUDA device that nobody uses."""
    import torch

    if torch.cuda.is_initialized():
        for device in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(device)


def cuda_peak_mib() -> float:
    """Largest of the devices' peaks in MiB, 0 where CUDA is not in use."""
    import torch

    if not torch.cuda.is_initialized():
        return 0.0
    return max((torch.cuda.max_memory_allocated(d) for d in range(torch.cuda.device_count())), default=0) / 2**20
