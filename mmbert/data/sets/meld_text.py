"""meld_text: the transcripts of MELD, 13,708 utterances of the series Friends with emotion and sentiment.

The text and the labels alone; sound and picture are not in these three tables. The splits are the set's own.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from mmbert.core.errors import DataError
from mmbert.core.ranges import Range
from mmbert.data.sets.base import DataCard, PreparedData, TableRow

MELD_SPLITS = {"train": "train", "val": "dev", "test": "test"}
EMOTIONS = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")
SENTIMENTS = ("negative", "neutral", "positive")
MELD_COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
#: Bytes of the code page 1252, which older copies hold as control characters: curly quotes, dashes, the ellipsis.
CODE_PAGE_1252 = {
    byte: bytes([byte]).decode("cp1252") for byte in range(0x80, 0xA0) if byte not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}


class MeldText(PreparedData):
    """The transcripts of MELD.

    Columns: ``text``, ``context`` (the utterances before it in the dialogue, each with its speaker; empty for the
    first one), ``context_and_text``, ``speaker``, ``emotion`` (7), ``sentiment`` (3), ``sentiment_level`` (0, 1, 2 =
    negative, neutral, positive), ``dialogue``, ``utterance``, ``season``, ``episode``, ``start``, ``end``, ``id``.

    Args:
        context: how many utterances before it are in the column ``context``.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    card = DataCard(
        name="meld_text",
        version=1,
        licence="GPL-3.0",
        homepage="https://github.com/declare-lab/MELD",
        holds=("train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv"),
        archives=("meld_text*.tar.gz|MELD-master.zip|MELD*.zip",),
        fetch="Download train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv from data/MELD of "
        "https://github.com/declare-lab/MELD into a folder.",
        citation="Poria et al. 2019, MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations, "
        "arXiv:1810.02508",
    )

    def __init__(self, context: Annotated[int, Range(0)] = 1, **options: Any) -> None:
        self.context = context
        super().__init__(built_with={"context": context}, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The utterances of train, val and test, in the order of the files."""
        for split, part in MELD_SPLITS.items():
            path = raw / f"{part}_sent_emo.csv"
            dialogue, before = "", list[str]()
            for line, cells in enumerate(meld_table(path), start=2):
                if cells["Dialogue_ID"] != dialogue:
                    dialogue, before = cells["Dialogue_ID"], []
                text, speaker = repaired(cells["Utterance"]), repaired(cells["Speaker"])
                context = " ".join(before[-self.context :]) if self.context else ""
                yield {
                    "id": f"{split}-{dialogue}-{cells['Utterance_ID']}",
                    "split": split,
                    "text": text,
                    "context": context,
                    "context_and_text": f"{context} {speaker}: {text}".strip(),
                    "speaker": speaker,
                    "emotion": one_of(cells["Emotion"], EMOTIONS, "Emotion", path, line),
                    "sentiment": (level := one_of(cells["Sentiment"], SENTIMENTS, "Sentiment", path, line)),
                    "sentiment_level": SENTIMENTS.index(level),
                    "dialogue": f"{split}-{dialogue}",
                    "utterance": cells["Utterance_ID"],
                    "season": cells.get("Season"),
                    "episode": cells.get("Episode"),
                    "start": cells.get("StartTime"),
                    "end": cells.get("EndTime"),
                }
                before.append(f"{speaker}: {text}")


def meld_table(path: Path) -> Iterator[dict[str, str]]:
    """The rows of one of the three tables, by its columns.

    Raises:
        DataError: it lacks a column.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        absent = [name for name in MELD_COLUMNS if name not in (reader.fieldnames or ())]
        if absent:
            raise DataError(f"{path} lacks the column {absent[0]}; it has {', '.join(reader.fieldnames or ['none'])}.")
        yield from reader


def one_of(cell: str, known: tuple[str, ...], column: str, path: Path, line: int) -> str:
    """A label, in small letters.

    Raises:
        DataError: it is none of the known ones.
    """
    label = cell.strip().lower()
    if label not in known:
        raise DataError(f"{path}, row {line}, column {column}: '{cell}' is none of {', '.join(known)}.")
    return label


def repaired(text: str) -> str:
    """The text with quotes and dashes where older copies of the tables hold control characters; spaces are one."""
    return " ".join(text.translate(CODE_PAGE_1252).split())
