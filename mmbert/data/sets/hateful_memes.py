"""hateful_memes: 10,000 pictures with words on them; hateful or not, which often only both together tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from mmbert.core.errors import DataError
from mmbert.core.ranges import OneOf
from mmbert.data.sets.base import DataCard, PreparedData, TableRow


class HatefulMemes(PreparedData):
    """Hateful Memes.

    Columns: ``text``, ``image``, ``hateful`` (no, yes; empty in a test file without labels), ``id``.

    Args:
        phase: ``seen`` = the first phase's dev and test, which papers report; ``unseen`` = those of the final phase.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    card = DataCard(
        name="hateful_memes",
        version=1,
        licence="Hateful Memes Challenge Dataset License: research",
        homepage="https://ai.meta.com/tools/hatefulmemes/",
        holds=("train.jsonl", "img/*.png"),
        archives=("hateful_memes*.zip|hateful_memes*.tar.gz",),
        fetch="Accept the licence at https://ai.meta.com/tools/hatefulmemes/, and unpack what it gives.",
        citation="Kiela et al. 2020, The Hateful Memes Challenge, arXiv:2005.04790",
        metric="AUROC and accuracy on test",
        figure="text BERT: AUROC 0.651; VisualBERT pre-trained on COCO: 0.714 (Kiela et al. 2020)",
    )

    def __init__(self, phase: Annotated[str, OneOf("seen", "unseen")] = "seen", **options: Any) -> None:
        self.phase = phase
        super().__init__(built_with={"phase": phase}, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The memes of train, dev and test, in the order of the files."""
        lacking = 0
        for split, part in (("train", "train"), ("val", "dev"), ("test", "test")):
            names = [f"{part}.jsonl"] if part == "train" else [f"{part}_{self.phase}.jsonl", f"{part}.jsonl"]
            path = next((raw / name for name in names if (raw / name).is_file()), None)
            if path is None:
                raise DataError(f"{raw} has none of {' and '.join(names)}.")
            for line in filter(str.strip, path.read_text("utf-8").splitlines()):
                meme = json.loads(line)
                picture = raw / meme["img"]
                lacking += not picture.is_file()
                yield {
                    "id": meme["id"],
                    "split": split,
                    "text": meme["text"],
                    "image": picture if picture.is_file() else None,
                    "hateful": None if meme.get("label") is None else ("no", "yes")[int(meme["label"])],
                }
        if lacking:
            self.note(f"{lacking} pictures are not there: those samples have their text alone")
