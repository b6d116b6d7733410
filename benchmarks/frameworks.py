"""Time of a training step: mmbert, plain Lightning, the Hugging Face Trainer and a hand-written loop, side by side.

All four train the default model of ``mmbert-train`` on the same batches in the same order, from the same weights, with
the same losses, optimiser, schedule and clipping. ``plain Lightning`` is a ``LightningModule`` of a dozen lines that
logs one number; the Trainer is given the optimiser, the schedule and batches that are ready, and reports to nobody.
Rounds visit the four in turn, each round beginning with another.

Run: python benchmarks/frameworks.py [--rounds 5] [--steps 60] [override ...]
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_module
from omegaconf import open_dict
from throughput import CLIP, by_hand, with_mmbert

from mmbert.core.types import Batch
from mmbert.runs.environment import environment
from mmbert.training.build import build
from mmbert.training.instantiate import make
from mmbert.training.module import FusionModule


def loss_of(model: torch.nn.Module, inputs: Any, targets: Any) -> torch.Tensor:
    """The sum of the tasks' losses."""
    output = model(inputs).outputs
    return torch.stack([task.loss(output[name], targets[name]).mean for name, task in model.tasks.items()]).sum()  # type: ignore


class Plain(pl.LightningModule):
    """What one would write with Lightning alone."""

    def __init__(self, model: torch.nn.Module, made: dict[str, Any]) -> None:
        super().__init__()
        self.model, self.made = model, made

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """The loss, logged."""
        loss = loss_of(self.model, batch.inputs, batch.targets)
        self.log("train/loss", loss, batch_size=len(batch))
        return loss

    def configure_optimizers(self) -> Any:
        """What mmbert's own run has."""
        return self.made


class WithLoss(torch.nn.Module):
    """What the Hugging Face Trainer calls: tensors in, the loss out."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Any, targets: Any) -> dict[str, torch.Tensor]:
        """The loss under its name."""
        return {"loss": loss_of(self.model, inputs, targets)}


class Batches(torch.utils.data.Dataset[dict[str, Any]]):
    """Batches that are ready, one an item."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"inputs": self.batches[index].inputs, "targets": self.batches[index].targets}


def plain_lightning(model: torch.nn.Module, made: dict[str, Any], batches: list[Batch], every: int) -> None:
    """Trains with Lightning and nothing else."""
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=CLIP,
        log_every_n_steps=every,
    )
    trainer.fit(Plain(model, made), torch.utils.data.DataLoader(batches, batch_size=None))  # type: ignore[arg-type]


def hugging_face(model: torch.nn.Module, made: dict[str, Any], batches: list[Batch], every: int, folder: Path) -> None:
    """Trains with the Hugging Face Trainer."""
    from transformers import Trainer, TrainingArguments

    options = TrainingArguments(
        output_dir=str(folder),
        max_steps=len(batches),
        per_device_train_batch_size=1,
        max_grad_norm=CLIP,
        logging_steps=every,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        remove_unused_columns=False,
        train_sampling_strategy="sequential",
    )
    pair = (made["optimizer"], made["lr_scheduler"]["scheduler"])
    Trainer(
        WithLoss(model), options, train_dataset=Batches(batches), data_collator=lambda items: items[0], optimizers=pair
    ).train()


def main() -> None:
    """Prints milliseconds a step and ratios, and writes them beside the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "frameworks.json")
    parser.add_argument("overrides", nargs="*", help="options of mmbert-train, such as fusion=concat")
    args = parser.parse_args()
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", overrides=["logger=csv", *args.overrides])
    with open_dict(cfg):
        cfg.data.num_workers = 0
    pl.seed_everything(cfg.seed, verbose=False)
    parts = build(cfg)
    loader = iter(parts.data.train_dataloader())
    batches = [next(loader) for _ in range(args.steps)]
    factory, schedule, every = make(cfg.optimizer), make(cfg.scheduler), cfg.trainer.log_every_n_steps

    def made(model: torch.nn.Module, balance: torch.nn.Module, steps: int) -> Any:
        return factory.build(model, balance, steps, schedule)

    def ready(some: list[Batch]) -> tuple[torch.nn.Module, dict[str, Any]]:
        model = copy.deepcopy(parts.model)
        return model.train(), made(model, copy.deepcopy(parts.balance), len(some))

    def hand(some: list[Batch], folder: Path) -> None:
        model, optimizer = ready(some)
        by_hand(model, some, optimizer["optimizer"], optimizer["lr_scheduler"]["scheduler"])

    def ours(some: list[Batch], folder: Path) -> None:
        module = FusionModule(copy.deepcopy(parts.model), copy.deepcopy(parts.balance), made, factory.penalty)
        with_mmbert(module, some, cfg, folder)

    sides: dict[str, Callable[[list[Batch], Path], None]] = {
        "hand-written loop": hand,
        "plain Lightning": lambda some, folder: plain_lightning(*ready(some), some, every),
        "Hugging Face Trainer": lambda some, folder: hugging_face(*ready(some), some, every, folder),
        "mmbert": ours,
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as scratch:
        for side in sides.values():  # allocator, kernels, imports
            side(batches[:5], Path(scratch))
        for number in range(args.rounds):
            names = [*sides][number % len(sides) :] + [*sides][: number % len(sides)]
            for name in names:
                began = time.perf_counter()
                sides[name](batches, Path(scratch))
                times[name].append((time.perf_counter() - began) / args.steps)
    result = {
        "what": "milliseconds a training step, medians; ratio: mmbert's speed / the other's (1 = equally fast)",
        "ms_per_step": {name: round(1000 * statistics.median(own), 2) for name, own in times.items()},
        "ratio_median": {
            name: round(statistics.median(a / b for a, b in zip(own, times["mmbert"], strict=True)), 3)
            for name, own in times.items()
            if name != "mmbert"
        },
        "ms_per_step_by_round": {name: [round(1000 * t, 1) for t in own] for name, own in times.items()},
        "steps": args.steps,
        "batch_size": cfg.data.batch_size,
        "threads": torch.get_num_threads(),
        "overrides": args.overrides,
        "environment": environment(),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({key: result[key] for key in ("ms_per_step", "ratio_median")}, indent=2))


if __name__ == "__main__":
    main()
