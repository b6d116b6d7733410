"""What one more job of a sweep costs, in a process that has run one already and with a store that is filled.

Runs ``mmbert-train -m`` in this process, as the command does it, and takes the time of each job's parts:

- composing: making the job's config twice (all are composed before the first starts, to know their folders and what is
  done already), its folder, Hydra's records in it and its logging;
- building: reading the table, making encoders, fusion, tasks and optimiser;
- store: looking up what is stored (nothing is computed from the second job on);
- training: epochs and the measuring of every split;
- writing: metrics, predictions, plots, the saved model, trackers.

The first job pays imports, the set's making and the store's filling; it is told apart.

Run: python benchmarks/multirun.py [--jobs 4] [override ...]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PARTS = ("composing", "building", "store", "training", "writing")
#: Three frozen encoders, so that a job is what it is in a study over a store.
FROZEN = [
    *("text=minilm", "image=efficientnet_lite0", "encoders.image.frozen=true", "audio=melspec_cnn"),
    *("encoders.audio.frozen=true", "logger=csv", "trainer=cpu", "trainer.enable_progress_bar=false"),
]


class Clock:
    """Seconds by part, a dictionary a job."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, float]] = []
        self.left = time.perf_counter()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time added to a part of the job at hand."""

        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent = self.jobs[-1]
                spent[part] = spent.get(part, 0.0) + time.perf_counter() - began

        return run

    def job(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A job: what passed since the last one ended is its composing; what no part has is its writing."""

        def run(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            self.jobs.append({"composing": began - self.left})
            try:
                return function(*args, **kwargs)
            finally:
                self.left = time.perf_counter()
                spent = self.jobs[-1]
                known = sum(spent.get(part, 0.0) for part in ("building", "store", "training"))
                spent["writing"] = self.left - began - known

        return run


def measure(jobs: int, words: list[str]) -> list[dict[str, float]]:
    """Runs a sweep over so many learning rates of one seed; what each job took."""
    from mmbert.cli import train as command
    from mmbert.cli.app import run_app
    from mmbert.cli.sweep.sweeper import StudySweeper
    from mmbert.training import run as module

    clock = Clock()

    module.build = clock.timed("building", module.build)
    module.read_from_store = clock.timed("store", module.read_from_store)
    for step in ("make_training", "fit", "restore_best", "measure_splits"):
        setattr(module, step, clock.timed("training", getattr(module, step)))
    with tempfile.TemporaryDirectory() as folder:
        # a frozen network with random weights is another one with another seed, and would be run anew
        swept = f"optimizer.lr={','.join(f'{0.003 + number / 10_000:.4f}' for number in range(jobs))}"
        sys.argv = ["mmbert-train", "-m", *FROZEN, f"hydra.sweep.dir={folder}/sweep", swept, *words]
        job = clock.job(command.train)
        planned: list[float] = []

        def plan(self: StudySweeper, jobs: list[list[str]], real: Any = StudySweeper.plan) -> Any:
            began = time.perf_counter()
            try:
                return real(self, jobs)
            finally:
                planned.append((time.perf_counter() - began) / len(jobs))

        StudySweeper.plan = plan  # type: ignore[method-assign]
        clock.left = time.perf_counter()
        run_app(job, "train")
    for spent in clock.jobs[1:]:
        spent["composing"] += planned[0]
    return clock.jobs


def main() -> None:
    """Measures, prints a table and keeps the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "multirun.json")
    args, words = parser.parse_known_args()
    if args.jobs < 2:
        parser.error("--jobs: at least 2, for the first pays what the others do not")
    jobs = measure(args.jobs, words)
    from mmbert.runs.environment import environment

    more = {part: statistics.mean(job.get(part, 0.0) for job in jobs[1:]) for part in PARTS}
    first = {part: jobs[0].get(part, 0.0) for part in PARTS}
    print(f"\n{'seconds':<12}{'first job':>12}{'one more':>12}")
    for part in PARTS:
        print(f"{part:<12}{first[part]:>12.2f}{more[part]:>12.2f}")
    print(f"{'together':<12}{sum(first.values()):>12.2f}{sum(more.values()):>12.2f}")
    result = {"words": [*FROZEN, *words], "first_job": first, "one_more": more, "jobs": jobs}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({**result, "environment": environment()}, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
