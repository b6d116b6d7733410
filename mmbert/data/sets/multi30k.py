"""multi30k: Flickr30k's captions in English, German, French and Czech, with the picture."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from mmbert.core.errors import DataError
from mmbert.core.ranges import OneOf
from mmbert.data.sets.base import DataCard, PreparedData, TableRow

LANGUAGES = ("en", "de", "fr", "cs")
#: Own name of a split -> names of its files.
MULTI30K_PARTS = {"train": ("train",), "val": ("val",)}
#: The lists of pictures: their folder is image_splits, their names differ over the versions.
PICTURE_LISTS = ("{}.txt", "{}_images.txt")
PICTURE_FOLDERS = ("flickr30k-images", "images", ".")


class Multi30k(PreparedData):
    """Multi30k, task 1: one translation a picture.

    Columns: ``en``, ``de``, ``fr``, ``cs`` (those that are there), ``image`` (empty where the pictures are not there),
    ``id``.

    Args:
        test: which test set: ``test_2016_flickr``, ``test_2017_flickr``, ``test_2017_mscoco`` or ``test_2018_flickr``.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    card = DataCard(
        name="multi30k",
        version=1,
        licence="CC BY-NC-SA 4.0 (texts); Flickr's terms (pictures)",
        homepage="https://github.com/multi30k/dataset",
        holds=("**/train.en*", "**/val.en*"),
        archives=("multi30k*.zip|multi30k*.tar.gz|dataset-master.zip",),
        fetch="Clone https://github.com/multi30k/dataset; for pictures put flickr30k-images beside it.",
        citation="Elliott et al. 2016, Multi30K: Multilingual English-German Image Descriptions, arXiv:1605.00459",
        metric="BLEU and METEOR of English to German, test_2016_flickr",
        figure="doubly-attentive decoder: BLEU-4 of 36.5, without the picture 33.7 (Calixto et al. 2017, "
        "arXiv:1702.01287)",
    )

    def __init__(
        self,
        test: Annotated[
            str, OneOf("test_2016_flickr", "test_2017_flickr", "test_2017_mscoco", "test_2018_flickr")
        ] = "test_2016_flickr",
        **options: Any,
    ) -> None:
        self.test = test
        super().__init__(built_with={"test": test}, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The sentences of train, val and the test set, in the order of the files."""
        for split, part in {"train": "train", "val": "val", "test": self.test}.items():
            texts = {name: lines for name in LANGUAGES if (lines := sentences_of(raw, part, name)) is not None}
            if "en" not in texts:
                raise DataError(f"{raw} has no file {part}.en or {part}.en.gz.")
            sizes = {name: len(lines) for name, lines in texts.items()}
            if len(set(sizes.values())) > 1:
                raise DataError(f"{raw}: the files of {part} are not parallel: {sizes} lines.")
            pictures = picture_list(raw, part)
            if pictures is not None and len(pictures) != sizes["en"]:
                raise DataError(f"{raw}: {len(pictures)} pictures are listed for {sizes['en']} sentences of {part}.")
            places = [None] * sizes["en"] if pictures is None else [picture_at(raw, name) for name in pictures]
            if None in places:
                self.note(f"{part}: {places.count(None)} of {len(places)} pictures are not there")
            for number, place in enumerate(places):
                row = {name: lines[number] for name, lines in texts.items()}
                yield {"id": f"{part}-{number}", "split": split, "image": place, **row}


def sentences_of(raw: Path, part: str, language: str) -> list[str] | None:
    """The lines of a file, packed or not; None if there is none. Files of tokenised text are no such file."""
    for name in (f"{part}.{language}", f"{part}.{language}.gz"):
        found = sorted(path for path in raw.glob(f"**/{name}") if path.parent.name != "tok")
        if found:
            content = found[0].read_bytes()
            text = (gzip.decompress(content) if name.endswith(".gz") else content).decode("utf-8")
            return [line.strip() for line in text.removesuffix("\n").split("\n")]
    return None


def picture_list(raw: Path, part: str) -> list[str] | None:
    """The names of a part's pictures, a line a sentence; None if no list is there."""
    for pattern in PICTURE_LISTS:
        for path in sorted(raw.glob(f"**/image_splits/{pattern.format(part)}")):
            # a list may name the picture and, behind #, the caption
            return [line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    return None


def picture_at(raw: Path, name: str) -> Path | None:
    """Where a picture lies; None if it is not there."""
    return next((path for folder in PICTURE_FOLDERS if (path := raw / folder / name).is_file()), None)
