"""mvsa: tweets with a picture, each annotated as positive, neutral or negative; the two annotations become one label.

The rule is that of Xu and Mao 2017, "MultiSentiNet: A Deep Semantic Network for Multimodal Sentiment Analysis", CIKM:
equal annotations stay; neutral gives way to the other; positive beside negative is left out. Of three annotators two
must agree, for the words and for the picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmbert.core.errors import DataError
from mmbert.data.sets.base import DataCard, PreparedData, TableRow
from mmbert.data.sets.grouping import caption_key, draw_grouped, duplicate_groups

SENTIMENTS_OF_MVSA = ("positive", "neutral", "negative")
LABEL_FILE = "labelResultAll.txt"
SHARES_OF_MVSA = {"test": 0.1, "val": 0.1}  # the usual 8 : 1 : 1


class Mvsa(PreparedData):
    """MVSA-Single or MVSA-Multiple, whichever the folder holds; drawn splits of 8 : 1 : 1, equal tweets together.

    Columns: ``text``, ``image``, ``sentiment``, ``text_sentiment``, ``image_sentiment``, ``id``.

    Args:
        split_seed: of the draw.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    card = DataCard(
        name="mvsa",
        version=1,
        licence="research",
        homepage="https://mcrlab.net/research/mvsa-sentiment-analysis-on-multi-view-social-data/",
        holds=(LABEL_FILE, "data/*.txt"),
        archives=("MVSA*.zip|MVSA*.tar.gz",),
        fetch="Download MVSA-single or MVSA-multiple from "
        "https://mcrlab.net/research/mvsa-sentiment-analysis-on-multi-view-social-data/",
        citation="Niu et al. 2016, Sentiment Analysis on Multi-View Social Data, MMM",
        metric="accuracy and weighted F1; the splits are random and differ between papers",
        figure="MultiSentiNet: accuracy 69.8 (Single), 68.9 (Multiple) (Xu and Mao 2017)",
    )

    def __init__(self, split_seed: int = 0, **options: Any) -> None:
        self.split_seed = split_seed
        super().__init__(built_with={"split_seed": split_seed}, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The tweets that have a label, in the order of the label file."""
        found: list[dict[str, Any]] = []
        left: Counter[str] = Counter()
        for name, words, picture in annotations_of(raw / LABEL_FILE):
            both = agreed(words), agreed(picture)
            label = merged(*both)
            if label is None:
                left["no two annotators agree" if None in both else "one is positive, the other negative"] += 1
                continue
            text = tweet(raw / "data" / f"{name}.txt")
            parts = {"text_sentiment": both[0], "image_sentiment": both[1]}
            found.append({"id": name, "text": text, "image": raw / "data" / f"{name}.jpg", "sentiment": label, **parts})
        for reason, count in left.items():
            self.note(f"{count:,} tweets are left out: {reason}")
        groups = duplicate_groups([[caption_key(row["text"])] if row["text"] else [] for row in found])
        splits = draw_grouped(groups, [row["sentiment"] for row in found], SHARES_OF_MVSA, self.split_seed)
        for row, split in zip(found, splits, strict=True):
            yield {**row, "split": split}


def annotations_of(path: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each tweet's number, and how each annotator labelled its words and its picture.

    Raises:
        DataError: a line is of another form.
    """
    for number, line in enumerate(path.read_text("utf-8").splitlines()[1:], start=2):
        if not line.strip():
            continue
        name, *pairs = line.split("\t")
        annotators = [pair.strip().lower().split(",") for pair in pairs if pair.strip()]
        if not annotators or any(len(pair) != 2 or not set(pair) <= set(SENTIMENTS_OF_MVSA) for pair in annotators):
            raise DataError(
                f"{path}, line {number}: '{line.strip()}' is no number with pairs such as positive,neutral."
            )
        yield name.strip(), [pair[0] for pair in annotators], [pair[1] for pair in annotators]


def agreed(annotated: Sequence[str]) -> str | None:
    """What more than half of the annotators say; None if no sentiment has so many."""
    sentiment, count = Counter(annotated).most_common(1)[0]
    return sentiment if 2 * count > len(annotated) else None


def merged(words: str | None, picture: str | None) -> str | None:
    """The label of a tweet from the annotations of its words and of its picture; None if it has none."""
    if words is None or picture is None or {words, picture} == {"positive", "negative"}:
        return None
    return picture if words == "neutral" else words


def tweet(path: Path) -> str:
    """The words of a tweet. The files mix encodings: what is no UTF-8 is read as Latin-1."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return " ".join(text.split())
