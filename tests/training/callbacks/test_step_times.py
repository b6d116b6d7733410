"""How long a training step takes: the median of forward, backward and optimiser."""

from types import SimpleNamespace

import pytest
import torch

from mmbert.training.callbacks import step_times


def test_steps_are_timed_and_the_median_is_kept(monkeypatch):
    clock = iter([0.0, 0.010, 1.0, 1.002, 2.0, 2.5])
    monkeypatch.setattr(step_times.time, "perf_counter", lambda: next(clock))
    times, module = step_times.StepTimes(), SimpleNamespace(device=torch.device("cpu"))
    assert times.median() is None
    for index in range(3):
        times.on_train_batch_start(None, module, None, index)
        times.on_train_batch_end(None, module, None, None, index)
    times.on_train_epoch_end(None, module)
    assert times.median() == pytest.approx(10.0)
