"""``PlainText``: text files as samples, for pre-training and for whatever else needs no label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from mmbert.core.home import home
from mmbert.core.ranges import Range
from mmbert.data.datamodule import MultimodalData
from mmbert.data.plain_text.manifest import build_text_manifest
from mmbert.data.plain_text.samples import TextUnit


class PlainText(MultimodalData):
    """Plain text files, UTF-8, packed or not (.gz). They are read line by line into a manifest, once.

    Args:
        path: a file, a folder (with all .txt, .md, .txt.gz and .md.gz below it), a pattern such as ``corpus/*.txt``, or
            a list of these.
        unit: what a sample is: a ``line``, a ``paragraph`` (up to a blank line), or a ``block`` of ``block_words``
            words that runs on over line ends.
        block_words: Chinese and Japanese characters count as words; a word is about 1.3 tokens of BERT.
        folder: where the manifest is kept; None = under MMBERT_HOME, else ~/.cache/mmbert.
        **loading: options of ``MultimodalData``. The manifest has the columns text, file, line and same, which is equal
            for equal texts.

    Raises:
        DataError: a file is missing or no UTF-8, or there is no text in them.
    """

    def __init__(
        self,
        path: str | Path | Sequence[str],
        unit: TextUnit = "line",
        block_words: Annotated[int, Range(1)] = 96,
        folder: str | Path | None = None,
        **loading: Any,
    ) -> None:
        super().__init__(build_text_manifest(home(folder), path, unit, block_words), **loading)
