"""Text: a cell is the text itself."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import DataError
from mmbert.data.augment.corruptions import Degradation, degraded_text
from mmbert.data.augment.text import TextAugmentation
from mmbert.data.modalities.base import CellFacts, Modality
from mmbert.data.modalities.processor import Processor
from mmbert.data.tables.cells import cell_excerpt, decoded

#: Characters of an example.
EXAMPLE_TEXT_CHARACTERS = 400
#: Characters from which on the words of a text are not held in memory all at once.
LONG_TEXT = 2**20


class TextModality(Modality):
    """Whatever stands in the cell, numbers too, as a ``str``."""

    kind = "text"
    noun = "text"
    names_files = False
    shown_as = "text"
    length_unit = "characters"
    libraries = ("torch", "transformers", "tokenizers")
    python_example = '"..."'
    augmentation = TextAugmentation
    duplicates = "whose text is in '{0}' too"

    def read(self, cell: Any, folder: str | Path, max_seconds: float | None = None) -> str:
        """See ``Modality``; bytes are text in UTF-8, and a list of words, or JSON of one, is the words with blanks."""
        if isinstance(cell, bytes):
            return decoded(cell)
        words = words_of_list(cell)
        if words is not None:
            return " ".join(words)
        if isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes):
            raise DataError(f"a text is needed, not {cell_excerpt(cell)}")
        return str(cell)

    def content(self, cell: Any, folder: str | Path) -> bytes:
        """See ``Modality``: the text in UTF-8."""
        return cell if isinstance(cell, bytes) else str(cell).encode("utf-8", "surrogatepass")

    def length(self, cell: Any, folder: str | Path) -> float:
        """See ``Modality``: characters."""
        return float(self.size(cell, folder))

    def size(self, cell: Any, folder: str | Path) -> int:
        """See ``Modality``: characters."""
        return len(cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell))

    def made_up(self, processor: Processor, random: np.random.Generator) -> tuple[list[str], list[str]]:
        """See ``Modality``: short and long; then nothing, white space, one character, and far more than models take."""
        long = "a much longer text, of many more words than the others in this batch have"
        return ["what do you get", "a", long, "日本語 🙂"], ["", " \n\t", "🙂", "a\x00b", "many words " * 3000]

    def inspect(self, cell: Any, folder: Path, options: Mapping[str, Any]) -> CellFacts:
        """See ``Modality``: characters and words; texts that differ in case or white space alone are the same."""
        text = self.read(cell, folder)
        digest, count = hashlib.blake2b(digest_size=16), 0
        for count, word in enumerate(words_of(text), 1):  # noqa: B007 - the last number is theirs
            same = " " * (count > 1) + unicodedata.normalize("NFC", word).casefold()
            digest.update(same.encode("utf-8", "surrogatepass"))
        return CellFacts(digest=digest.digest(), quantities={"characters": len(text), "words": count})

    def corrupted(
        self, raw: str, processor: Processor, level: float, random: np.random.Generator, options: Degradation
    ) -> Any:
        """See ``Modality``: misspelt words, or words left out."""
        return processor.prepare(degraded_text(raw, level, random, options))

    def example_html(self, cell: Any, folder: Path) -> str:
        """See ``Modality``: its beginning."""
        text = self.read(cell, folder)
        return escape(text if len(text) <= EXAMPLE_TEXT_CHARACTERS else f"{text[:EXAMPLE_TEXT_CHARACTERS]}…")


MODALITY = TextModality()


def words_of_list(cell: Any) -> list[str] | None:
    """The words of a text that was taken apart before, such as the column ``tokens`` of CoNLL; None if it was not."""
    found = cell
    if isinstance(cell, str) and cell.startswith('["') and cell.endswith('"]'):
        try:
            found = json.loads(cell)
        except ValueError:
            return None
    if isinstance(found, (list, tuple)) and found and all(isinstance(word, str) for word in found):
        return list(found)
    return None


def words_of(text: str) -> Iterator[str]:
    """What white space separates; of a text of megabytes one after the other, and not all at once."""
    return iter(text.split()) if len(text) <= LONG_TEXT else (word.group() for word in re.finditer(r"\S+", text))
