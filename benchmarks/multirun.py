"""What one more job of a sweep costs, beside a bare loop over the same batches.

Runs ``mmbert-train -m`` in this process, as the command does it, with a store that the first job fills, and reads from
each job's metrics.json where its time went:

- building: reading the table, making encoders, fusion, tasks and optimiser;
- store: looking up what is stored (nothing is computed from the second job on);
- training: the epochs with their validation;
- measuring: every split with the best weights;
- the rest: composing the job's config twice (all are composed before the first starts, to know their folders and what
  is done already), Hydra's records, metrics, predictions, plots, the saved model, trackers.

The first job pays imports, the set's making and the store's filling; it is told apart.

The bare loop has the batches of each epoch in memory, the same model, heads, losses, AdamW and its schedule, clipping,
and after each epoch a validation with the same metrics: what somebody would write who wants nothing else. It runs as
many epochs as the jobs did. ``ratio`` is one more job, everything included, to the bare loop.

Run: python benchmarks/multirun.py [--jobs 4] [--rounds 3] [override ...]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

PARTS = ("building", "store", "training", "measuring", "the rest")
#: Three frozen encoders, so that a job is what it is in a study over a store.
FROZEN = [
    *("text=minilm", "image=efficientnet_lite0", "encoders.image.frozen=true", "audio=melspec_cnn"),
    *("encoders.audio.frozen=true", "logger=csv", "trainer=cpu", "trainer.enable_progress_bar=false"),
]


def run_sweep(jobs: int, folder: Path, words: list[str]) -> list[dict[str, float]]:
    """Runs a sweep over so many learning rates of one seed; the seconds of each job's parts."""
    from mmbert.cli import train as command
    from mmbert.cli.app import run_app
    from mmbert.cli.sweep.sweeper import StudySweeper

    ended: list[float] = []
    planning: list[float] = []

    def job(cfg: Any) -> float:
        score = command.train(cfg)
        ended.append(time.perf_counter())
        return score

    def plan(self: StudySweeper, jobs: list[list[str]], real: Any = StudySweeper.plan) -> Any:
        began = time.perf_counter()
        planned = real(self, jobs)
        planning.append(time.perf_counter() - began)
        return planned

    # a frozen network with random weights is another one with another seed, and would be run anew
    swept = f"optimizer.lr={','.join(f'{0.003 + number / 10_000:.4f}' for number in range(jobs))}"
    sys.argv = ["mmbert-train", "-m", *FROZEN, f"hydra.sweep.dir={folder}", swept, *words]
    StudySweeper.plan = plan  # type: ignore[method-assign]
    began = time.perf_counter()
    run_app(job, "train")
    metrics = sorted(folder.rglob("metrics.json"), key=lambda path: path.stat().st_mtime)
    spent = []
    for path, start, end in zip(metrics, [began + planning[0], *ended], ended, strict=False):
        known = json.loads(path.read_text())
        parts = {part: known[f"{key}_seconds"] for part, key in zip(PARTS, ("build", "store", "fit"), strict=False)}
        parts["measuring"] = known["measure_seconds"]
        parts["the rest"] = end - start - sum(parts.values()) + planning[0] / jobs
        spent.append({**parts, "epochs": known["epochs"]})
    return spent


def bare_loop(words: list[str], epochs: int) -> tuple[float, float]:
    """Seconds of a hand-written loop over the batches that a job sees, and the validation loss it ends with."""
    from hydra import compose, initialize_config_module

    from mmbert.training.build import build
    from mmbert.training.instantiate import make
    from mmbert.training.run import seed_everything
    from mmbert.training.stage_metrics import StageMetrics
    from mmbert.training.use_store import read_from_store

    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", overrides=[*FROZEN, *words])
    seed_everything(cfg)
    parts = build(cfg)
    read_from_store(parts.data, parts.model, cfg.store, cfg.trainer)
    model, tasks = parts.model, parts.model.named_tasks()
    train_loader = parts.data.train_dataloader()
    batches = [list(train_loader) for _ in range(epochs)]
    validation = list(parts.data.val_dataloader())
    steps = sum(map(len, batches))
    began = time.perf_counter()
    optimizer = make(cfg.optimizer).optimizer(model)
    schedule = make(cfg.scheduler).build(optimizer, steps)
    metrics, last = StageMetrics(tasks), 0.0
    clipped = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for epoch in batches:
        model.train()
        for batch in epoch:
            output = model(batch.inputs, targets=batch.targets)
            losses = [task.loss(output.outputs[name], batch.targets[name]).mean for name, task in tasks.items()]
            loss = torch.stack([*losses, *output.fused.auxiliary_losses.values()]).sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(clipped, cfg.trainer.gradient_clip_val)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        model.eval()
        total, count = 0.0, 0
        with torch.inference_mode():
            for batch in validation:
                output = model(batch.inputs, targets=batch.targets)
                losses = [task.loss(output.outputs[name], batch.targets[name]).mean for name, task in tasks.items()]
                total, count = total + float(torch.stack(losses).sum()) * len(batch), count + len(batch)
                metrics.update(tasks, output.outputs, batch.targets)
            metrics.compute()
            metrics.reset()
        last = total / count
    return time.perf_counter() - began, last


def mean_parts(jobs: list[dict[str, float]]) -> dict[str, float]:
    """Mean seconds by part."""
    return {part: statistics.mean(job[part] for job in jobs) for part in PARTS}


def main() -> None:
    """Measures, prints a table and keeps the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3, help="of the bare loop; the median counts")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "multirun.json")
    args, words = parser.parse_known_args()
    if args.jobs < 2:
        parser.error("--jobs: at least 2, for the first pays what the others do not")
    with tempfile.TemporaryDirectory() as folder:
        jobs = run_sweep(args.jobs, Path(folder) / "sweep", words)
    from mmbert.runs.environment import environment

    first, more, epochs = mean_parts(jobs[:1]), mean_parts(jobs[1:]), int(jobs[-1]["epochs"])
    bare = statistics.median(bare_loop(words, epochs)[0] for _ in range(args.rounds))
    whole = sum(more.values())
    print(f"\n{'seconds':<12}{'first job':>12}{'one more':>12}")
    for part in PARTS:
        print(f"{part:<12}{first[part]:>12.2f}{more[part]:>12.2f}")
    print(f"{'together':<12}{sum(first.values()):>12.2f}{whole:>12.2f}")
    print(f"{'bare loop':<12}{'':>12}{bare:>12.2f}   one more job is {whole / bare:.2f} times that")
    result: dict[str, Any] = {"words": [*FROZEN, *words], "first_job": first, "one_more": more, "jobs": jobs}
    result |= {"bare_loop": bare, "epochs": epochs, "ratio": whole / bare}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({**result, "environment": environment()}, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
