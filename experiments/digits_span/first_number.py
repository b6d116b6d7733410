"""What does one get without listening? The first number word of each text, and always "no answer", scored as SQuAD 2.0.

python experiments/digits_span/first_number.py spoken_questions.jsonl
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from mmbert.data.digits.sentences import NUMBERS
from mmbert.tasks.spans.squad_scores import answer_scores

NUMBER = re.compile(rf"\b({'|'.join(NUMBERS)})\b")


def main() -> None:
    """Prints exact match and F1 of both over the test split."""
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["split"] == "test"]
    for name in ("first number word", "no answer"):
        scores = []
        for row in rows:
            found = NUMBER.search(row["text"]) if name != "no answer" else None
            scores.append(answer_scores(row["answers"]["text"], found.group() if found else "", False, version2=True))
        exact, f1 = (sum(score) / len(rows) for score in zip(*scores, strict=True))
        print(f"{name}: exact match {exact:.3f}, F1 {f1:.3f} of {len(rows)} questions")


if __name__ == "__main__":
    main()
