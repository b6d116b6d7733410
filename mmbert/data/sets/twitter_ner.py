"""twitter15, twitter17: tweets with a picture, and the persons, places, organisations and others in their words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from mmbert.core.errors import DataError
from mmbert.data.sets.base import DataCard, PreparedData, TableRow
from mmbert.data.sets.conll import iob2, read_sentences, visible

IMAGE_ID = "IMGID:"
TWITTER_FILES = {"train": ("train.txt",), "val": ("valid.txt", "dev.txt"), "test": ("test.txt",)}
UMT_PAGE = "https://github.com/jefferyYu/UMT"


class TwitterNer(PreparedData):
    """One of the two sets.

    Columns: ``text``, ``image`` (empty where the picture is not there), ``words`` and ``tags`` (JSON lists of one
    length, in IOB2), ``id``.
    """

    pictures: ClassVar[str]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The tweets of the three files, in order."""
        lacking = 0
        for split, names in TWITTER_FILES.items():
            path = next((raw / name for name in names if (raw / name).is_file()), None)
            if path is None:
                raise DataError(f"{raw} has none of the files {', '.join(names)} ({split}).")
            for number, sentence in enumerate(map(visible, read_sentences(path, head=IMAGE_ID))):
                if not sentence.words:
                    continue
                if not sentence.head:
                    raise DataError(f"{path}, line {sentence.line}: a tweet without a line {IMAGE_ID}NUMBER before it.")
                picture = raw / self.pictures / f"{sentence.head.removeprefix(IMAGE_ID).strip()}.jpg"
                lacking += not picture.is_file()
                yield {
                    "id": f"{split}-{number}",
                    "split": split,
                    "text": " ".join(sentence.words),
                    "image": picture if picture.is_file() else None,
                    "words": json.dumps(sentence.words, ensure_ascii=False),
                    "tags": json.dumps(iob2(sentence.tags)),
                }
        if lacking:
            self.note(f"the pictures of {lacking} tweets are not there: those samples have their words alone")


class Twitter15(TwitterNer):
    """Twitter-15: 8,257 tweets."""

    pictures = "twitter2015_images"
    card = DataCard(
        name="twitter15",
        version=1,
        licence="Twitter's terms: research",
        homepage=UMT_PAGE,
        holds=("train.txt", "twitter2015_images"),
        archives=("twitter2015*.zip|twitter2015*.tar.gz",),
        fetch=f"Download texts and pictures as {UMT_PAGE} says, into one folder: train.txt, valid.txt, test.txt and "
        "twitter2015_images/.",
        citation="Zhang et al. 2018, Adaptive Co-attention Network for Named Entity Recognition in Tweets, AAAI",
        metric="entity F1 on test",
        figure="UMT with BERT: 73.4 (Yu et al. 2020, ACL)",
    )


class Twitter17(TwitterNer):
    """Twitter-17: 4,819 tweets."""

    pictures = "twitter2017_images"
    card = DataCard(
        name="twitter17",
        version=1,
        licence="Twitter's terms: research",
        homepage=UMT_PAGE,
        holds=("train.txt", "twitter2017_images"),
        archives=("twitter2017*.zip|twitter2017*.tar.gz",),
        fetch=f"Download texts and pictures as {UMT_PAGE} says, into one folder: train.txt, valid.txt, test.txt and "
        "twitter2017_images/.",
        citation="Lu et al. 2018, Visual Attention Model for Name Tagging in Multimodal Social Media, ACL",
        metric="entity F1 on test",
        figure="UMT with BERT: 85.3 (Yu et al. 2020, ACL)",
    )
