"""What is right in the generated statements: their wording, and the numbers at the first, second and last place.

python experiments/digits_statement/parts.py multirun/digits_statement
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np

from mmbert.runs.folder import RunFolder
from mmbert.runs.predictions_file import read_predictions

ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
NUMBER = re.compile(rf"\b(?:minus )?(?:{'|'.join([*ONES.split(), 'eighteen', 'nineteen', 'twenty'])})\b(?:-\w+)?")
PLACES = {"first number": 0, "second number": 1, "last number": -1}


def main() -> None:
    """Prints mean and spread over the runs, on test."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    runs = [shares(run) for run in sorted(Path(sys.argv[1]).glob("seed*"))]
    for name in runs[0]:
        values = [run[name] for run in runs]
        print(f"{name}: {np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")


def shares(run: Path) -> dict[str, float]:
    """Of a run, the shares of test statements in which something is right."""
    table = read_predictions(RunFolder(run).predictions_of("test"))
    pairs = list(zip(table["statement/target"], table["statement/prediction"], strict=True))
    found = {"wording": np.mean([NUMBER.sub("#", truth) == NUMBER.sub("#", said) for truth, said in pairs])}
    for name, place in PLACES.items():
        found[name] = np.mean([number_at(truth, place) == number_at(said, place) for truth, said in pairs])
    return {name: float(value) for name, value in found.items()}


def number_at(text: str, place: int) -> str | None:
    """A number of a statement, in words; None where there are not two."""
    numbers = NUMBER.findall(text)
    return numbers[place] if len(numbers) > 1 else None


if __name__ == "__main__":
    main()
