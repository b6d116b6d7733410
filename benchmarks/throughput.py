"""Training throughput of mmbert against a hand-written PyTorch loop over the same networks and batches.

Both sides train the default model of ``mmbert-train`` on the same batches in the same order, from the same weights,
with the same optimiser, schedule, clipping and losses. The hand-written side is what a careful person would type:
no logging, no callbacks, no framework. Rounds alternate, so that whatever else the machine does hits both.

Run: python benchmarks/throughput.py [--rounds 5] [--steps 60] [override ...]
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, open_dict

from mmbert.core.types import Batch, State
from mmbert.runs.environment import environment
from mmbert.training.build import build
from mmbert.training.instantiate import make
from mmbert.training.module import FusionModule

CLIP = 1.0


def by_hand(model: torch.nn.Module, batches: list[Batch], optimizer: torch.optim.Optimizer, schedule: Any) -> None:
    """The loop one would write for this model without a framework."""
    model.train()
    for batch in batches:
        encoded = {name: encoder(batch.inputs[name]) for name, encoder in model.encoders.items()}
        state = State(model.fusion(encoded), encoded)
        total = torch.zeros(())
        for name, task in model.tasks.items():
            (logits,), target = task(state).values(), batch.targets[name]["label"]
            if target.dtype == torch.int64:
                total = total + F.cross_entropy(logits, target)
            elif target.ndim == 2:
                total = total + F.binary_cross_entropy_with_logits(logits, target)
            else:
                total = total + F.mse_loss((logits - task.mean) / task.std, (target - task.mean) / task.std)
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()


def with_mmbert(module: FusionModule, batches: list[Batch], cfg: DictConfig, folder: Path) -> None:
    """The same steps through Lightning as ``mmbert-train`` runs them: logging, callbacks and schedule included."""
    from pytorch_lightning.loggers import CSVLogger

    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        devices=1,
        logger=CSVLogger(folder),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=CLIP,
        log_every_n_steps=cfg.trainer.log_every_n_steps,
        num_sanity_val_steps=0,
    )
    # a bare list of batches would be taken for a list of loaders
    trainer.fit(module, train_dataloaders=torch.utils.data.DataLoader(batches, batch_size=None))  # type: ignore[arg-type]


def one_round(parts: Any, cfg: DictConfig, batches: list[Batch], hand_first: bool, folder: Path) -> tuple[float, float]:
    """Seconds of the hand-written loop and of mmbert, from the same weights, over the same batches."""
    optimizer_factory = make(cfg.optimizer)
    schedule = make(cfg.scheduler)

    def maker(model: torch.nn.Module, balance: torch.nn.Module, steps: int) -> Any:
        return optimizer_factory.build(model, balance, steps, schedule)

    def hand() -> float:
        model = copy.deepcopy(parts.model)
        made = maker(model, copy.deepcopy(parts.balance), len(batches))
        began = time.perf_counter()
        by_hand(model, batches, made["optimizer"], made["lr_scheduler"]["scheduler"])
        return time.perf_counter() - began

    def framework() -> float:
        module = FusionModule(
            copy.deepcopy(parts.model),
            copy.deepcopy(parts.balance),
            maker,
            optimizer_factory.penalty,
        )
        began = time.perf_counter()
        with_mmbert(module, batches, cfg, folder)
        return time.perf_counter() - began

    if hand_first:
        return hand(), framework()
    second, first = framework(), hand()
    return first, second


def main() -> None:
    """Prints the ratio and writes it beside the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "throughput.json")
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
    folder = Path(args.out).parent / ".scratch"
    one_round(parts, cfg, batches[:5], True, folder)  # warm-up: allocator, oneDNN kernels
    rounds = [one_round(parts, cfg, batches, i % 2 == 0, folder) for i in range(args.rounds)]
    ratios = [hand / framework for hand, framework in rounds]
    result = {
        "what": "training throughput, mmbert / hand-written loop (1 = equally fast)",
        "ratio_median": round(statistics.median(ratios), 4),
        "ratios": [round(r, 4) for r in ratios],
        "hand_ms_per_step": round(1000 * statistics.median(h for h, _ in rounds) / args.steps, 2),
        "mmbert_ms_per_step": round(1000 * statistics.median(f for _, f in rounds) / args.steps, 2),
        "steps": args.steps,
        "batch_size": cfg.data.batch_size,
        "overrides": args.overrides,
        "threads": torch.get_num_threads(),
        "environment": environment(),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n")
    print(
        f"mmbert runs at {result['ratio_median']:.3f} of the hand-written loop's throughput "
        f"({result['mmbert_ms_per_step']} against {result['hand_ms_per_step']} ms a step); rounds: {result['ratios']}"
    )


if __name__ == "__main__":
    main()
