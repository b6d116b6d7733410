"""``TextPair``: two texts that one encoder reads together, as BERT reads a question and a paragraph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Names of the parts of a cell that holds both.
PAIR_CELL = ("before", "text")


@dataclass(frozen=True)
class TextPair:
    """A text, and another that goes before it in the sequence of tokens.

    Attributes:
        before: a question, a premise; labels are never about it.
        text: what labels are about: in it lie answers, entities, sentences.
    """

    before: str
    text: str

    @property
    def content(self) -> bytes:
        """Bytes that differ between pairs that differ, and from those of a text alone."""
        before, text = (part.encode("utf-8", "surrogatepass") for part in (self.before, self.text))
        return b"\0%d\0" % len(before) + before + text


def text_or_pair(before: str, text: str) -> str | TextPair:
    """The pair; the text alone where nothing but white space goes before it."""
    return TextPair(before, text) if before and not before.isspace() else text


def is_pair_cell(cell: Any) -> bool:
    """Whether a cell is ``{"before": …, "text": …}``."""
    return isinstance(cell, Mapping) and set(cell) == set(PAIR_CELL)
