"""Tables of words and tags, a word a line, an empty line between sentences; tags in IOB1 become IOB2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mmbert.core.errors import DataError

#: Letters that are no words: a tokenizer drops them, and the tag would lose its word.
INVISIBLE = ("\ufe0f", "\u200d", "\u200b")


class TaggedSentence(NamedTuple):
    """A sentence of such a table.

    Attributes:
        words: as they stand.
        tags: one for each.
        head: the line before the words where it is none of a word (``IMGID:123``), else empty.
        line: of the first word, counted from 1.
    """

    words: list[str]
    tags: list[str]
    head: str
    line: int


def read_sentences(path: Path, separator: str | None = None, head: str = "") -> Iterator[TaggedSentence]:
    """The sentences of a table.

    Args:
        path: of the file, in UTF-8.
        separator: between the columns; None = white space. The word is the first, the tag the last.
        head: with what a line begins that is no word but the sentence's own.

    Raises:
        DataError: a line has one column alone.
    """
    words: list[str] = []
    tags: list[str] = []
    first_line, first = "", 1
    for number, line in enumerate([*path.read_text("utf-8").split("\n"), ""], start=1):
        if head and line.startswith(head):
            if words:  # no empty line before it
                yield TaggedSentence(words, tags, first_line, first)
            words, tags, first_line, first = [], [], line.strip(), number + 1
        elif not line.strip():
            if words:
                yield TaggedSentence(words, tags, first_line, first)
                words, tags, first_line = [], [], ""
            first = number + 1
        else:
            columns = line.strip("\r\n").split(separator)
            if len(columns) < 2:
                raise DataError(f"{path}, line {number}: '{line.strip()}' has a word and no tag.")
            words.append(columns[0])
            tags.append(columns[-1].strip())


def visible(sentence: TaggedSentence) -> TaggedSentence:
    """The sentence without words of which nothing is seen; an empty word takes the place of none."""
    kept = [
        (word.strip(), tag)
        for word, tag in zip(sentence.words, sentence.tags, strict=True)
        if word.strip() and word.strip() not in INVISIBLE
    ]
    return sentence._replace(words=[word for word, _ in kept], tags=[tag for _, tag in kept])


def iob2(tags: list[str]) -> list[str]:
    """Tags in IOB1, where B- stands only between neighbours of one type, or in IOB2 -> tags in IOB2."""
    found: list[str] = []
    before = "O"
    for tag in tags:
        kind = tag[2:]
        begins = tag.startswith("I-") and before[2:] != kind
        found.append(f"B-{kind}" if begins else tag)
        before = tag
    return found
