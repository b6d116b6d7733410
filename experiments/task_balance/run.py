"""The balances of tasks compared on tasks that compete for four shared numbers.

    python experiments/task_balance/run.py
    python experiments/task_balance/run.py --balances fixed,upgrad --seeds 0,1

Makes ``multirun/task_balance/competing.parquet``, trains every balance and every task alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path("multirun/task_balance")
SIZES = {"train": 1500, "val": 500, "test": 1000}
WIDTH = 8
TASKS = {"parity": "classification", "linear": "regression", "curve": "regression", "noise": "regression"}
BALANCES = (
    *("fixed", "uncertainty", "famo", "stch", "random"),
    *("gradnorm", "upgrad", "pcgrad", "cagrad", "mgda", "aligned_mtl"),
)


def table(seed: int = 0) -> pd.DataFrame:
    """Two vectors of Gaussian numbers, and four labels.

    ``parity`` is whether two numbers, one of each vector, have the same sign; ``linear`` a weighted sum of all numbers;
    ``curve`` the sine of another sum; ``noise`` depends on nothing.
    """
    draw = np.random.default_rng(seed)
    size = sum(SIZES.values())
    left, right = draw.normal(size=(2, size, WIDTH))
    both = np.concatenate([left, right], 1)
    directions = draw.normal(size=(2, 2 * WIDTH)) / np.sqrt(2 * WIDTH)
    return pd.DataFrame(
        {
            "a": left.round(4).tolist(),
            "b": right.round(4).tolist(),
            "parity": np.where(left[:, 0] * right[:, 0] > 0, "same", "other"),
            "linear": (both @ directions[0] + 0.1 * draw.normal(size=size)).round(4),
            "curve": (np.sin(1.5 * both @ directions[1]) + 0.1 * draw.normal(size=size)).round(4),
            "noise": (10 * draw.normal(size=size)).round(4),
            "split": np.repeat(list(SIZES), list(SIZES.values())),
        }
    )


def words(tasks: list[str]) -> list[str]:
    """The options that all runs have in common."""
    given = [f"data.path={(FOLDER / 'competing.parquet').absolute()}", "data=manifest", "modalities=synthetic"]
    given += ["fusion=concat", "fusion.out_dim=4", "trainer=cpu", "trainer.max_epochs=12", "data.batch_size=128"]
    given += [
        "optimizer.lr=0.02",
        "data.num_workers=0",
        "logger=csv",
        "plots=false",
        "trainer.enable_progress_bar=false",
    ]
    given += ["study.name=task_balance", "study.axes=[balance]", "study.resume=true"]
    for name in tasks:
        given += [f"+task@tasks.{name}={TASKS[name]}", f"tasks.{name}.column={name}", f"tasks.{name}.hidden_dim=16"]
    return given


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--balances", default=",".join(BALANCES))
    parser.add_argument("--seeds", default="0,1,2,3,4")
    given = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    table().to_parquet(FOLDER / "competing.parquet", index=False)
    train = [sys.executable, "-m", "mmbert.cli.train", "-m", f"seed={given.seeds}"]
    for task in TASKS:
        place = [f"hydra.sweep.dir={FOLDER}/{task}", "hydra.sweep.subdir=seed${seed}"]
        subprocess.run([*train, *words([task]), *place], check=True)
    place = [f"hydra.sweep.dir={FOLDER}/together", "hydra.sweep.subdir=${hydra:runtime.choices.balance}-seed${seed}"]
    subprocess.run([*train, f"balance={given.balances}", *words(list(TASKS)), *place], check=True)


if __name__ == "__main__":
    main()
