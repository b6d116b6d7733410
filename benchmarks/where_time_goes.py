"""Where the time of the default run goes, epoch by epoch, and its floor.

Trains what ``mmbert-train`` trains without arguments, as it does it, and takes the time of every part: waiting for the
next batch, each encoder, the fusion, the tasks, the backward pass, clipping and the optimiser's step, validation, and
the rest (logging, hooks, the loop itself). The floor is what no framework can save: the networks' own forward and
backward passes and the optimiser's steps.

Run: python benchmarks/where_time_goes.py [--epochs 2] [override ...]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_module
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import CSVLogger

from mmbert.runs.environment import environment
from mmbert.training.build import build
from mmbert.training.instantiate import make
from mmbert.training.module import FusionModule

NETWORKS = ("text", "image", "audio", "fusion", "tasks", "backward", "clipping and optimiser")


class Clock(Callback):
    """Seconds by part, a dictionary an epoch."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []
        self.mark = 0.0
        self._began = 0.0
        self._validating = False

    def add(self, part: str, since: float) -> None:
        """Adds the time since a moment to a part of the running epoch; validation is one part."""
        if self.epochs and not self._validating:
            self.epochs[-1][part] += time.perf_counter() - since

    def watch(self, name: str, module: torch.nn.Module) -> None:
        """Takes the time of a module's forward passes."""
        starts: list[float] = []
        module.register_forward_pre_hook(lambda *_: starts.append(time.perf_counter()))
        module.register_forward_hook(lambda *_: self.add(name, starts.pop()))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A new epoch."""
        self.epochs.append(defaultdict(float))
        self._began = self.mark = time.perf_counter()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """The batch is there."""
        self.add("waiting for data", self.mark)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: torch.Tensor) -> None:
        """The loss is known."""
        self.mark = time.perf_counter()

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The gradients are known."""
        self.add("backward", self.mark)
        self.mark = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        """The step is done."""
        self.mark = time.perf_counter()

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validation is one part."""
        self._validating, self.mark = True, time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validation is over."""
        self._validating = False
        self.add("validation", self.mark)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """What is left is the loop's own."""
        whole = time.perf_counter() - self._began
        own = self.epochs[-1]
        own["the rest"] = whole - sum(own.values())
        own["whole"] = whole


def watch_optimizer(clock: Clock, optimizer: torch.optim.Optimizer) -> None:
    """Takes the time from the gradients to the end of the step. Lightning runs forward and backward inside the step."""
    optimizer.register_step_post_hook(lambda *_: clock.add("clipping and optimiser", clock.mark))


def main() -> None:
    """Prints the parts and writes them beside the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "where_time_goes.json")
    parser.add_argument("overrides", nargs="*", help="options of mmbert-train, such as fusion=concat")
    args = parser.parse_args()
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", overrides=["logger=csv", f"trainer.max_epochs={args.epochs}", *args.overrides])
    pl.seed_everything(cfg.seed, verbose=False)
    parts, clock = build(cfg), Clock()
    for name, module in [*parts.model.encoders.items(), ("fusion", parts.model.fusion)]:
        clock.watch(name, module)
    for task in parts.model.tasks.values():
        clock.watch("tasks", task)
    optimizer, schedule = make(cfg.optimizer), make(cfg.scheduler)

    def optimize(model: torch.nn.Module, balance: torch.nn.Module, steps: int) -> Any:
        made = optimizer.build(model, balance, steps, schedule)
        watch_optimizer(clock, made["optimizer"])
        return made

    module = FusionModule(parts.model, parts.balance, optimize, optimizer.penalty)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make(cfg.trainer, logger=[CSVLogger(folder)], callbacks=[clock], default_root_dir=folder,
                       enable_checkpointing=False, enable_progress_bar=False, num_sanity_val_steps=0)  # fmt: skip
        trainer.fit(module, parts.data.train_dataloader(), parts.data.val_dataloader())
    report = [told(epoch) for epoch in clock.epochs]
    result = {
        "what": "seconds of the default run by part and epoch; floor = networks forward and backward, optimiser",
        "epochs": report,
        "workers": parts.data.num_workers,
        "threads": torch.get_num_threads(),
        "overrides": args.overrides,
        "environment": environment(),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    for number, epoch in enumerate(report, 1):
        print(f"epoch {number}: {epoch}")


def told(epoch: dict[str, float]) -> dict[str, Any]:
    """Seconds of each part, and the floor's share of the whole."""
    floor = sum(epoch.get(name, 0.0) for name in NETWORKS)
    seconds = {name: round(value, 2) for name, value in sorted(epoch.items(), key=lambda item: -item[1])}
    return {"seconds": seconds, "floor_seconds": round(floor, 2), "floor_share": round(floor / epoch["whole"], 3)}


if __name__ == "__main__":
    main()
