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
from mmbert.core.file_names import named_file
from mmbert.data.augment.corruptions import Degradation, degraded_text
from mmbert.data.augment.text import TextAugmentation
from mmbert.data.modalities.base import CellFacts, Modality, span_of_cell
from mmbert.data.modalities.processor import Processor
from mmbert.data.modalities.subtitles import text_between
from mmbert.data.modalities.text_pair import TextPair, is_pair_cell, text_or_pair
from mmbert.data.tables.cells import cell_excerpt, decoded, is_empty

#: Characters of an example.
EXAMPLE_TEXT_CHARACTERS = 400
#: Characters from which on the words of a text are not held in memory all at once.
LONG_TEXT = 2**20


class TextModality(Modality):
    """Whatever stands in the cell, numbers too, as a ``str``; of two columns read together a ``TextPair``.

    Of a part of a recording (``Span``) whose cell names subtitles, what is said in it.
    """

    kind = "text"
    noun = "text"
    names_files = False
    shown_as = "text"
    length_unit = "characters"
    libraries = ("torch", "transformers", "tokenizers")
    python_example = '"..."'
    augmentation = TextAugmentation
    duplicates = "whose text is in '{0}' too"

    def read(self, cell: Any, folder: str | Path, max_seconds: float | None = None) -> str | TextPair:
        """See ``Modality``; where nothing goes before a text of a pair, it is that text."""
        if is_subtitle_part(cell):
            return text_between(named_file(folder, cell["path"]), span_of_cell(cell))
        if not is_pair_cell(cell):
            return self.read_one(cell)
        before, text = cell["before"], self.read_one(cell["text"])
        return text if is_empty(before) else text_or_pair(self.read_one(before), text)

    def read_one(self, cell: Any) -> str:
        """The text of a cell of one column.

        Bytes are text in UTF-8, and a list of words, or JSON of one, is the words with blanks.
        """
        if isinstance(cell, bytes):
            return decoded(cell)
        words = words_of_list(cell)
        if words is not None:
            return " ".join(words)
        if isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes):
            raise DataError(f"a text is needed, not {cell_excerpt(cell)}")
        return str(cell)

    def from_python(self, value: Any, processor: Processor) -> Any:
        """See ``Modality``; two strings are a pair, the one that labels are about as the second."""
        two = isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(part, str) for part in value)
        return text_or_pair(*value) if two else value

    def labelled_part(self, raw: Any) -> Any:
        """See ``Modality``: of a pair the second."""
        return raw.text if isinstance(raw, TextPair) else raw

    def content(self, cell: Any, folder: str | Path) -> bytes:
        """See ``Modality``: the text in UTF-8."""
        if is_pair_cell(cell) or is_subtitle_part(cell):
            raw = self.read(cell, folder)
            return raw.content if isinstance(raw, TextPair) else raw.encode("utf-8", "surrogatepass")
        return cell if isinstance(cell, bytes) else str(cell).encode("utf-8", "surrogatepass")

    def length(self, cell: Any, folder: str | Path) -> float:
        """See ``Modality``: characters."""
        return float(self.size(cell, folder))

    def size(self, cell: Any, folder: str | Path) -> int:
        """See ``Modality``: characters."""
        if is_subtitle_part(cell):
            try:
                return len(text_between(named_file(folder, cell["path"]), span_of_cell(cell)))
            except DataError:  # whoever reads it will say what is wrong with it
                return 0
        if is_pair_cell(cell):
            return sum(self.size(part, folder) for part in cell.values() if part is not None)
        return len(cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell))

    def made_up(self, processor: Processor, random: np.random.Generator) -> tuple[list[Any], list[Any]]:
        """See ``Modality``: short and long; then nothing, white space, one character, and far more than models take."""
        long = "a much longer text, of many more words than the others in this batch have"
        ordinary: list[str | TextPair] = ["what do you get", "a", long, "日本語 🙂"]
        unusual: list[str | TextPair] = ["", " \n\t", "🙂", "a\x00b", "many words " * 3000]
        if getattr(processor, "has_room_for_pairs", False):
            ordinary.append(TextPair("what", "do you get"))
            unusual += [TextPair("🙂", ""), TextPair("many words " * 300, "many words " * 3000)]
        return ordinary, unusual

    def inspect(self, cell: Any, folder: Path, options: Mapping[str, Any]) -> CellFacts:
        """See ``Modality``: characters and words; texts that differ in case or white space alone are the same."""
        raw = self.read(cell, folder)
        parts = [raw.before, raw.text] if isinstance(raw, TextPair) else [raw]
        digest, words = hashlib.blake2b(digest_size=16), 0
        for number, text in enumerate(parts):
            digest.update(b"\0" * number)
            for place, word in enumerate(words_of(text)):
                same = " " * bool(place) + unicodedata.normalize("NFC", word).casefold()
                digest.update(same.encode("utf-8", "surrogatepass"))
                words += 1
        return CellFacts(digest=digest.digest(), quantities={"characters": sum(map(len, parts)), "words": words})

    def corrupted(
        self, raw: Any, processor: Processor, level: float, random: np.random.Generator, options: Degradation
    ) -> Any:
        """See ``Modality``: misspelt words, or words left out."""
        if not isinstance(raw, TextPair):
            return processor.prepare(degraded_text(raw, level, random, options))
        before, text = (degraded_text(part, level, random, options) for part in (raw.before, raw.text))
        return processor.prepare(text_or_pair(before, text))

    def example_html(self, cell: Any, folder: Path) -> str:
        """See ``Modality``: its beginning."""
        raw = self.read(cell, folder)
        parts = [raw.before, raw.text] if isinstance(raw, TextPair) else [raw]
        cut = [part if len(part) <= EXAMPLE_TEXT_CHARACTERS else f"{part[:EXAMPLE_TEXT_CHARACTERS]}…" for part in parts]
        return "<br>".join(map(escape, cut))


MODALITY = TextModality()


def is_subtitle_part(cell: Any) -> bool:
    """Whether a cell is a part of a recording, with its subtitles' file; see ``mmbert.data.tables.derived_columns``."""
    return isinstance(cell, Mapping) and "start" in cell and isinstance(cell.get("path"), str)


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
