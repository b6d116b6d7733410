"""How long an optimiser step takes."""

from __future__ import annotations

import time
from collections import deque
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

#: Steps whose times are kept, the last ones.
KEPT_STEPS = 4096


class StepTimes(Callback):
    """Times training steps: forward, backward and optimiser of a batch that lies on the device already.

    On a GPU two events are recorded for each step and read after the epoch, so that nothing waits for them. It must
    be the first callback, else the others' work is timed too.
    """

    def __init__(self) -> None:
        self.milliseconds: deque[float] = deque(maxlen=KEPT_STEPS)
        self.events: deque[tuple[Any, Any]] = deque(maxlen=KEPT_STEPS)
        self.began: Any = None

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """A step begins."""
        if pl_module.device.type == "cuda":
            self.began = torch.cuda.Event(enable_timing=True)
            self.began.record()
        else:
            self.began = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """It is over."""
        if self.began is None:
            return
        if pl_module.device.type == "cuda":
            ended = torch.cuda.Event(enable_timing=True)
            ended.record()
            self.events.append((self.began, ended))
        else:
            self.milliseconds.append(1000 * (time.perf_counter() - self.began))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Reads the events of the epoch."""
        if self.events:
            self.events[-1][1].synchronize()
            self.milliseconds.extend(began.elapsed_time(ended) for began, ended in self.events)
            self.events.clear()

    def median(self) -> float | None:
        """Of the last steps, in milliseconds; None if there was none."""
        return round(median(self.milliseconds), 3) if self.milliseconds else None
