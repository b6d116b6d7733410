"""The baseline of the sentence that states the answer: the train split's most frequent one, for every sample.

python experiments/digits_statement/most_frequent.py
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict

from mmbert.core.home import home
from mmbert.data.digits.build import build_talking_digits
from mmbert.data.digits.options import TalkingDigitsOptions
from mmbert.data.talking_digits import folder_name
from mmbert.tasks.text_metrics.scores import text_scores

#: Those of conf/experiment/digits_statement.yaml.
SIZES = {"train": 1500, "val": 300, "test": 1000, "test_missing": 20}


def main() -> None:
    """Prints the scores on validation and test."""
    options = TalkingDigitsOptions(**SIZES)
    manifest = build_talking_digits(home(None) / folder_name(options), options)
    statements = defaultdict(list)
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            statements[row["split"]].append(row["statement"])
    answer = Counter(statements["train"]).most_common(1)[0][0]
    for split in ("val", "test"):
        scores = text_scores(["bleu", "chrf", "rouge", "exact_match"], "ascii", "13a", lowercase=False)
        for metric in scores.values():
            metric.update([answer] * len(statements[split]), [[text] for text in statements[split]])
        values = ", ".join(f"{name} {float(metric.compute()):.3f}" for name, metric in scores.items())
        print(f"{split} '{answer}': {values}  [{scores['bleu'].note}]")


if __name__ == "__main__":
    main()
