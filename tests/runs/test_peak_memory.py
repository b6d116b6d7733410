"""The peak of memory is that of one job alone."""

import mmap

import numpy as np
import pytest
import torch

from mmbert.runs import peak_memory as memory
from mmbert.runs.peak_memory import PeakMemory


def fill(mebibytes):
    """New pages of the system's, all of them written to: an allocator may have some left of another test."""
    pages = mmap.mmap(-1, mebibytes * 2**20)
    np.frombuffer(pages, np.uint8)[:] = 1
    return pages


@pytest.mark.parametrize("resettable", [True, False])
def test_the_peak_is_this_jobs_own_not_an_earlier_ones(monkeypatch, resettable):
    """Two jobs in one process, the large one first, as in a sweep; with and without Linux's resettable mark."""
    if not resettable:
        monkeypatch.setattr(memory, "reset_high_water_mark", lambda: False)
    elif not memory.reset_high_water_mark():
        pytest.skip("this system cannot reset the high-water mark")
    base = memory.resident_mib("VmRSS")
    with PeakMemory() as large:
        block = fill(300)
        threading_wait()
        del block
    before = memory.resident_mib("VmRSS")  # a system short of memory takes pages back meanwhile
    with PeakMemory() as small:
        block = fill(60)
        threading_wait()
        del block
    assert large.peak_mib() == pytest.approx(base + 300, abs=40)
    assert small.peak_mib() == pytest.approx(before + 60, abs=40)
    assert small.peak_cuda_mib() is None or torch.cuda.is_available()


def test_an_inner_measurement_does_not_make_the_outer_one_forget():
    with PeakMemory() as outer:
        base = memory.resident_mib("VmRSS")
        block = fill(200)
        threading_wait()
        del block
        with PeakMemory():
            pass
        assert outer.peak_mib() > base + 160
    assert outer.peak_mib() > base + 160


def threading_wait():
    """Long enough for a sampling thread to look."""
    import time

    time.sleep(5 * memory.INTERVAL_SECONDS)
