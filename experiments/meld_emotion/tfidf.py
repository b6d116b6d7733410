"""TF-IDF and logistic regression on MELD's utterances, in a file like a run's predictions.

    python experiments/meld_emotion/tfidf.py emotion multirun/meld_emotion
    python experiments/meld_emotion/tfidf.py sentiment multirun/meld_sentiment_ordinal

Words and pairs of words that occur in two utterances of train, "!" and "?" too. The weighted F1 of the validation
split chooses C among 0.1, 0.3, 1, 3 and 10, with balanced classes or without. Writes tfidf.parquet into the sweep's
folder, from whose first run it learns where the table lies.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)


def main() -> None:
    """Prints what validation says of each choice, and writes the answers of the best one on validation and test."""
    column, sweep = sys.argv[1], Path(sys.argv[2])
    run = min(path for path in sweep.glob("*/metrics.json"))
    source = json.loads(run.read_text(encoding="utf-8"))["inputs"]["table"]
    table = pd.read_csv(source, keep_default_na=False)
    parts = {split: table[table["split"] == split] for split in ("train", "val", "test")}
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"\b\w+\b|[!?]")
    read = {"train": words.fit_transform(parts["train"]["text"])}
    read |= {split: words.transform(parts[split]["text"]) for split in ("val", "test")}
    found = []
    for weights in (None, "balanced"):
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, class_weight=weights, max_iter=300)
            model.fit(read["train"], parts["train"][column])
            score = f1_score(parts["val"][column], model.predict(read["val"]), average="weighted")
            print(f"C={strength}, class_weight={weights}: val f1_weighted {score:.4f}")
            found.append((score, model))
    score, model = max(found, key=lambda pair: pair[0])
    print(f"chosen: C={model.C}, class_weight={model.class_weight}, {len(words.vocabulary_):,} words and pairs")
    answers = []
    for split in ("val", "test"):
        shares = model.predict_proba(read[split])
        answers.append(
            pd.DataFrame(
                {
                    "row": parts[split].index,
                    "split": split,
                    f"{column}/target": parts[split][column].to_numpy(),
                    f"{column}/prediction": model.classes_[shares.argmax(1)],
                    f"{column}/probabilities": [dict(zip(model.classes_, row, strict=True)) for row in shares.tolist()],
                }
            )
        )
    pd.concat(answers).to_parquet(sweep / "tfidf.parquet")


if __name__ == "__main__":
    main()
