"""The tag that a word most often has in train, O for words that train lacks: entity F1 of tags of talking_digits.

python experiments/digits_tagging/lookup.py
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict

from seqeval.metrics import accuracy_score, f1_score
from seqeval.scheme import IOB2

from mmbert.core.home import home
from mmbert.data.digits.build import build_talking_digits
from mmbert.data.digits.options import TalkingDigitsOptions
from mmbert.data.talking_digits import folder_name
from mmbert.tasks.spans.tag_cells import tags_of_cell

SIZES = {"train": 1500, "val": 300, "test": 1000, "test_missing": 20}


def main() -> None:
    """Prints the scores on validation and test."""
    options = TalkingDigitsOptions(**SIZES)
    manifest = build_talking_digits(home(None) / folder_name(options), options)
    rows = defaultdict(list)
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["text"]:
                rows[row["split"]].append(tags_of_cell(row["tags"]))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for words, tags in rows["train"]:
        for word, tag in zip(words or [], tags, strict=True):
            counts[word.lower()][tag] += 1
    for split in ("val", "test"):
        true = [tags for _, tags in rows[split]]
        found = [
            [counts[word.lower()].most_common(1)[0][0] if word.lower() in counts else "O" for word in words or []]
            for words, _ in rows[split]
        ]
        strict = f1_score(true, found, mode="strict", scheme=IOB2)
        print(
            f"{split}: f1_lenient {f1_score(true, found):.3f}, f1_strict {strict:.3f}, "
            f"accuracy {accuracy_score(true, found):.3f}"
        )


if __name__ == "__main__":
    main()
