"""What does one get without a model of both? Baselines over the test split, scored as SQuAD 2.0.

The first number word of each text; always "no answer"; and, given runs, the number that each of them hears (task heard)
where it stands in the text, "no answer" where it does not.

    python experiments/digits_span/first_number.py spoken_questions.jsonl [multirun/digits_span/text_audio-seed* ...]
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from mmbert.data.digits.sentences import NUMBERS
from mmbert.runs.folder import RunFolder
from mmbert.runs.predictions_file import read_predictions
from mmbert.tasks.spans.squad_scores import answer_scores

NUMBER = re.compile(rf"\b({'|'.join(NUMBERS)})\b")


def looked_up(text: str, number: str) -> str:
    """A number's word if it stands in the text, else nothing."""
    return number if re.search(rf"\b{number}\b", text) else ""


def heard_by(run: Path) -> dict[int, str]:
    """The word of the number that a run hears, by row of the table."""
    table = read_predictions(RunFolder(run).predictions_of("test"))
    return {int(row): NUMBERS[int(number)] for row, number in zip(table["row"], table["heard/prediction"], strict=True)}


def show(name: str, rows: dict[int, dict[str, Any]], answers: dict[int, str]) -> None:
    """Prints both scores."""
    scores = [answer_scores(row["answers"]["text"], answers[n], False, version2=True) for n, row in rows.items()]
    exact, f1 = (sum(score) / len(rows) for score in zip(*scores, strict=True))
    print(f"{name}: exact match {exact:.3f}, F1 {f1:.3f} of {len(rows)} questions")


def main() -> None:
    """Prints exact match and F1 of all baselines."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    rows = {number: row for number, row in enumerate(map(json.loads, lines)) if row["split"] == "test"}
    first = {number: NUMBER.search(row["text"]) for number, row in rows.items()}
    show("first number word", rows, {number: found.group() if found else "" for number, found in first.items()})
    show("no answer", rows, dict.fromkeys(rows, ""))
    for run in map(Path, sys.argv[2:]):
        heard = heard_by(run)
        show(f"heard by {run.name}", rows, {n: looked_up(row["text"], heard[n]) for n, row in rows.items()})


if __name__ == "__main__":
    main()
