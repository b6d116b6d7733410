"""squad, squad_v2: questions whose answer is a part of a paragraph of Wikipedia; in version 2 a third has none."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

from mmbert.core.errors import DataError
from mmbert.core.ranges import Range
from mmbert.data.sets.base import DataCard, PreparedData, TableRow

SQUAD_PAGE = "https://rajpurkar.github.io/SQuAD-explorer/"
BUCKETS = 1000


class SquadData(PreparedData):
    """One of the versions.

    Its test answers are kept by a server, so dev is test, and val is drawn from train by article.

    Columns: ``question``, ``context``, ``answers`` (``{"text": [...], "answer_start": [...]}``, both empty where there
    is no answer), ``title``, ``id``.

    Args:
        val_share: of train's articles that become val.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    version: ClassVar[str]

    def __init__(self, val_share: Annotated[float, Range(0, below=1)] = 0.05, **options: Any) -> None:
        self.val_share = val_share
        super().__init__(built_with={"val_share": val_share}, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The questions of train and dev, in the order of the files."""
        for part in ("train", "dev"):
            path = raw / f"{part}-{self.version}.json"
            for article in json.loads(path.read_text("utf-8"))["data"]:
                split = "test" if part == "dev" else "val" if self.is_val(article["title"]) else "train"
                for paragraph in article["paragraphs"]:
                    for entry in paragraph["qas"]:
                        yield {
                            "id": entry["id"],
                            "split": split,
                            "question": entry["question"].strip(),
                            "context": paragraph["context"],
                            "answers": json.dumps(
                                unique_answers(entry, paragraph["context"], path), ensure_ascii=False
                            ),
                            "title": article["title"],
                        }

    def is_val(self, title: str) -> bool:
        """Whether an article is validation; it follows from its title alone."""
        return zlib.crc32(title.encode()) % BUCKETS < round(BUCKETS * self.val_share)


def unique_answers(entry: dict[str, Any], context: str, path: Path) -> dict[str, list[Any]]:
    """The answers of a question, those that are equal once.

    Raises:
        DataError: an answer does not stand where it is said to.
    """
    found = {} if entry.get("is_impossible") else {(one["text"], one["answer_start"]): None for one in entry["answers"]}
    for text, start in found:
        if context[start : start + len(text)] != text:
            raise DataError(f"{path}, question {entry['id']}: the answer '{text}' is not at {start} of its context.")
    return {"text": [text for text, _ in found], "answer_start": [start for _, start in found]}


class Squad(SquadData):
    """SQuAD 1.1: 98,169 questions."""

    version = "v1.1"
    card = DataCard(
        name="squad",
        version=1,
        licence="CC BY-SA 4.0",
        homepage=SQUAD_PAGE,
        holds=("train-v1.1.json", "dev-v1.1.json"),
        fetch=f"Download train-v1.1.json and dev-v1.1.json from {SQUAD_PAGE} into a folder.",
        citation="Rajpurkar et al. 2016, SQuAD: 100,000+ Questions for Machine Comprehension of Text, arXiv:1606.05250",
        metric="exact match and F1 on dev",
        figure="BERT base: 80.8 and 88.5 (Devlin et al. 2019, arXiv:1810.04805)",
    )


class SquadV2(SquadData):
    """SQuAD 2.0: 142,192 questions, a third of them without an answer."""

    version = "v2.0"
    card = DataCard(
        name="squad_v2",
        version=1,
        licence="CC BY-SA 4.0",
        homepage=SQUAD_PAGE,
        holds=("train-v2.0.json", "dev-v2.0.json"),
        fetch=f"Download train-v2.0.json and dev-v2.0.json from {SQUAD_PAGE} into a folder.",
        citation="Rajpurkar et al. 2018, Know What You Don't Know: Unanswerable Questions for SQuAD, arXiv:1806.03822",
        metric="exact match and F1 on dev, questions without an answer included",
        figure="BERT large: 78.7 and 81.9 (Devlin et al. 2019, arXiv:1810.04805)",
    )
