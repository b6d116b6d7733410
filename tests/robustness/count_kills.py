"""Kills commands at random moments and prints the counts of docs/reliability.md.

    python tests/robustness/count_kills.py                           all scenarios (some minutes)
    python tests/robustness/count_kills.py --only training --kills 50 --seed 7

Exit code 1 if a kill left half a file, or something else than an undisturbed command leaves.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from killer.runner import KillCount, run_kills, table_of_kills  # noqa: E402
from killer.scenarios import SCENARIOS  # noqa: E402


def main() -> None:
    """What is typed, done."""
    options = argparse.ArgumentParser(description="Kills commands and compares what they leave in the end.")
    options.add_argument("--only", default="", help="the name of one scenario")
    options.add_argument("--kills", type=int, help="of each scenario; default: those of a full count")
    options.add_argument("--seed", type=int, default=0, help="of the moments")
    options.add_argument("--markdown", type=Path, help="write the table there")
    args = options.parse_args()
    counts: dict[str, KillCount] = {}
    for scenario in SCENARIOS:
        if args.only in ("", scenario.name):
            began = time.monotonic()
            counts[scenario.name] = run_kills(scenario, args.kills or scenario.kills, args.seed)
            print(
                f"{scenario.name}: {time.monotonic() - began:.0f} s",
                *counts[scenario.name].faults,
                sep="\n",
                flush=True,
            )
    print(table_of_kills(counts))
    if args.markdown:
        args.markdown.write_text(table_of_kills(counts), encoding="utf-8")
    raise SystemExit(1 if any(count.faults for count in counts.values()) else 0)


if __name__ == "__main__":
    main()
