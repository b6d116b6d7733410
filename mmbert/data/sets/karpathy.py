"""flickr30k, coco: pictures with five captions each, in the splits of Karpathy that retrieval papers use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

from mmbert.core.errors import DataError
from mmbert.core.ranges import OneOf
from mmbert.data.sets.base import DataCard, PreparedData, TableRow

#: ``restval`` is the part of COCO's validation set that trains.
KARPATHY_SPLITS = {"train": "train", "restval": "train", "val": "val", "test": "test"}
KARPATHY_PAGE = "https://cs.stanford.edu/people/karpathy/deepimagesent/"


class KarpathyCaptions(PreparedData):
    """One of the sets; a row is a caption, and the rows of a picture are in one split.

    Columns: ``text`` (the caption), ``image``, ``picture`` (the same for the captions of one picture), ``captions``
    (all of the picture's, as a JSON list), ``id``.

    Args:
        rows_per: ``caption``, or ``picture``: one row each, with the first caption as text.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    listing: ClassVar[str]

    def __init__(self, rows_per: Annotated[str, OneOf("caption", "picture")] = "caption", **options: Any) -> None:
        self.rows_per = rows_per
        super().__init__(built_with={"rows_per": rows_per}, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The captions in the order of the set's table."""
        place = raw / self.listing
        lacking = 0
        for number, entry in enumerate(json.loads(place.read_text("utf-8"))["images"]):
            if entry["split"] not in KARPATHY_SPLITS:
                raise DataError(f"{place}, entry {number + 1}: the split '{entry['split']}' is unknown.")
            picture = self.picture(raw, entry)
            if picture is None:
                lacking += 1
                continue
            captions = [" ".join(sentence["raw"].split()) for sentence in entry["sentences"]]
            row = {
                "split": KARPATHY_SPLITS[entry["split"]],
                "image": picture,
                "picture": entry["filename"],
                "captions": json.dumps(captions, ensure_ascii=False),
            }
            for place_of, caption in enumerate(captions if self.rows_per == "caption" else captions[:1]):
                yield {"id": f"{entry['imgid']}-{place_of}", "text": caption, **row}
        if lacking:
            self.note(f"{lacking} pictures are not there; their captions are left out")

    def picture(self, raw: Path, entry: dict[str, Any]) -> Path | None:
        """Where a picture lies; None if it is not there."""
        folders = [entry.get("filepath", ""), "images", "flickr30k-images", "."]
        return next((path for folder in folders if (path := raw / folder / entry["filename"]).is_file()), None)


class Flickr30k(KarpathyCaptions):
    """Flickr30k: 31,014 pictures; 1,000 each in val and test."""

    listing = "dataset_flickr30k.json"
    card = DataCard(
        name="flickr30k",
        version=1,
        licence="Flickr's terms: research",
        homepage="https://shannon.cs.illinois.edu/DenotationGraph/",
        holds=("dataset_flickr30k.json",),
        fetch=f"Ask for the pictures at https://shannon.cs.illinois.edu/DenotationGraph/, and put "
        f"dataset_flickr30k.json "
        f"of {KARPATHY_PAGE} beside their folder flickr30k-images.",
        citation="Young et al. 2014, From image descriptions to visual denotations, TACL",
        metric="recall at 1, 5 and 10 on the 1,000 pictures of test",
        figure="VSE++: recall at 1 of 52.9 (captions) and 39.6 (pictures) (Faghri et al. 2018, arXiv:1707.05612)",
    )


class Coco(KarpathyCaptions):
    """COCO captions: 123,287 pictures; 5,000 each in val and test."""

    listing = "dataset_coco.json"
    card = DataCard(
        name="coco",
        version=1,
        licence="CC BY 4.0 (captions); Flickr's terms (pictures)",
        homepage="https://cocodataset.org",
        holds=("dataset_coco.json",),
        fetch=f"Download train2014 and val2014 of https://cocodataset.org, and put dataset_coco.json of "
        f"{KARPATHY_PAGE} "
        "beside these folders.",
        citation="Lin et al. 2014, Microsoft COCO, arXiv:1405.0312; Karpathy and Fei-Fei 2015, arXiv:1412.2306",
        metric="recall at 1, 5 and 10 on the 5,000 pictures of test; CIDEr and BLEU-4 of captions",
        figure="VSE++: recall at 1 of 41.3 (captions) and 30.3 (pictures) (Faghri et al. 2018, arXiv:1707.05612)",
    )
