"""Counts how damaged inputs end, and prints or writes the table of docs/reliability.md.

    python tests/robustness/count.py                                 all subjects, all inputs (about half an hour)
    python tests/robustness/count.py --only "saved models" --inputs 200
    python tests/robustness/count.py --markdown counts.md --json counts.json

Each fault is printed as it is found, with the seed that makes it again: ``--only NAME --seed SEED``. Exit code 1 if
there was one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from damage_harness.runner import Outcome, all_subjects, counts, faults, markdown, run_cases  # noqa: E402


def main() -> None:
    """What is typed, done."""
    options = argparse.ArgumentParser(description="Damages files and counts how their readers end.")
    options.add_argument("--only", help="the subject's name, or its beginning")
    options.add_argument("--inputs", type=int, help="inputs of each subject; default: those of a full count")
    options.add_argument("--seed", type=int, help="this one seed alone")
    options.add_argument("--first", type=int, default=0, help="the first seed")
    options.add_argument("--markdown", type=Path, help="write the table there")
    options.add_argument("--json", type=Path, help="write the counts there")
    args = options.parse_args()
    outcomes: list[Outcome] = []
    for subject in all_subjects():
        if args.only and not subject.name.startswith(args.only):
            continue
        last = args.first + (args.inputs or subject.inputs)
        found = run_cases(subject, [args.seed] if args.seed is not None else range(args.first, last))
        for fault in faults(found):
            print(fault, end="\n\n", flush=True)
        if args.seed is not None:
            print(*found, sep="\n")
        outcomes += found
    table = counts(outcomes)
    print(markdown(table))
    if args.markdown:
        args.markdown.write_text(markdown(table), encoding="utf-8")
    if args.json:
        args.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    raise SystemExit(1 if any(faults(outcomes)) else 0)


if __name__ == "__main__":
    main()
