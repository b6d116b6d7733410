"""Two baselines of translating the stamps' captions: the English one as it is, and a translation memory.

The memory answers with the translation of the train split's English caption that is nearest by TF-IDF of characters.

python experiments/stamps_translation/copy_and_memory.py MANIFEST
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer

from mmbert.tasks.text_metrics.scores import text_scores


def main() -> None:
    """Prints the scores on validation and test, by language."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    rows = defaultdict(list)
    with Path(sys.argv[1]).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows[row["split"]].append(row)
    for language in ("fr", "de"):
        column = f"caption_{language}"
        memory = [row for row in rows["train"] if row["caption_en"] and row[column]]
        vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
        known = vectorizer.fit_transform([row["caption_en"] for row in memory])
        for split in ("val", "test"):
            asked = [row for row in rows[split] if row["caption_en"] and row[column]]
            near = (vectorizer.transform([row["caption_en"] for row in asked]) @ known.T).toarray().argmax(1)
            answers = {
                "copy": [row["caption_en"] for row in asked],
                "memory": [memory[place][column] for place in near],
            }
            for name, given in answers.items():
                scores = text_scores(["bleu", "chrf", "exact_match"], "other", "13a", lowercase=False)
                for metric in scores.values():
                    metric.update(given, [[row[column]] for row in asked])
                values = ", ".join(f"{key} {float(metric.compute()):.3f}" for key, metric in scores.items())
                print(f"{language} {split} {name} ({len(asked)} rows): {values}  [{scores['bleu'].note}]")


if __name__ == "__main__":
    main()
