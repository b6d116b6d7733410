"""Questions that are spoken, answers that stand in a text: a table over the sounds of talking_digits.

A sound says a number. The text names three people and how many things each of them has; the answer is where the number
that was said stands in it. In a fifth of the rows it does not: there is no answer. The column ``heard`` has the number.

    python experiments/digits_span/make_table.py --out spoken_questions.jsonl
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np

from mmbert.core.home import home
from mmbert.core.whole_files import whole_file
from mmbert.data.digits.build import build_talking_digits
from mmbert.data.digits.options import TalkingDigitsOptions
from mmbert.data.digits.sentences import NUMBERS
from mmbert.data.talking_digits import folder_name

SIZES = {"train": 1500, "val": 300, "test": 1000, "test_missing": 20}
NAMES = ("Ann", "Bob", "Carl", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivan", "Jill")
THINGS = ("apples", "books", "coins", "dogs", "keys", "pens", "shells", "stamps")
TEXTS = (
    "{a} has {x} {t}, {b} has {y} and {c} has {z}.",
    "There are {x} {t} in the bag of {a}, {y} in that of {b} and {z} in that of {c}.",
    "{a} counted {x} {t}. {b} counted {y}, and {c} found {z}.",
    "Of the {t}, {x} belong to {a}, {y} to {b} and {z} to {c}.",
)
NO_ANSWER = 0.2


def question(heard: int, rng: np.random.Generator) -> tuple[str, dict[str, list[str] | list[int]]]:
    """A text, and the answer to the question where in it the number that is heard stands."""
    others = rng.permutation([number for number in range(len(NUMBERS)) if number != heard])[:3].tolist()
    answered = rng.random() >= NO_ANSWER
    place = int(rng.integers(3))
    numbers = [heard if answered and i == place else other for i, other in enumerate(others)]
    names = rng.permutation(NAMES)[:3].tolist()
    words = [NUMBERS[number] for number in numbers]
    template = TEXTS[int(rng.integers(len(TEXTS)))]
    filled = dict(zip("abcxyz", [*names, *words], strict=True), t=str(rng.choice(THINGS)))
    text = template.format(**filled)
    if not answered:
        return text, {"text": [], "answer_start": []}
    slot = "{" + "xyz"[place] + "}"
    start = len(template[: template.index(slot)].format(**filled))
    return text, {"text": [words[place]], "answer_start": [start]}


def main() -> None:
    """Builds the demo set where it is missing, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("spoken_questions.jsonl"))
    out = parser.parse_args().out
    options = TalkingDigitsOptions(**SIZES)
    manifest = build_talking_digits(home(None) / folder_name(options), options)
    rng = np.random.default_rng(0)
    lines = []
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "test_missing":
                continue
            text, answers = question(int(row["heard"]), rng)
            audio = str((manifest.parent / row["audio"]).resolve())
            told = {"split": row["split"], "text": text, "audio": audio, "answers": answers, "heard": row["heard"]}
            lines.append(json.dumps(told))
    with whole_file(out) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} questions: {out}")


if __name__ == "__main__":
    main()
