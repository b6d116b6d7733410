"""Lines of a text file become samples: a line, a paragraph, or a block of about equal length."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

#: What a sample is.
TextUnit = Literal["line", "paragraph", "block"]
#: What counts as a word of a block: a Chinese or Japanese character, or what white space separates.
WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\s\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)


class TextSample(NamedTuple):
    """One sample.

    Attributes:
        text: with white space in it as in the file, line ends as blanks.
        line: of the file on which it begins, counted from 1.
    """

    text: str
    line: int


def text_samples(lines: Iterable[tuple[int, str]], unit: TextUnit, block_words: int) -> Iterator[TextSample]:
    """The samples of one file.

    Args:
        lines: number and text.
        unit: ``line``: each that is not blank; ``paragraph``: lines up to a blank one, joined by blanks; ``block``: the
            whole file, line after line, cut after every ``block_words`` words.
        block_words: Chinese and Japanese characters count as words.
    """
    if unit == "line":
        yield from (TextSample(text.strip(), number) for number, text in lines if text.strip())
    elif unit == "paragraph":
        yield from paragraphs(lines)
    else:
        yield from blocks(lines, block_words)


def paragraphs(lines: Iterable[tuple[int, str]]) -> Iterator[TextSample]:
    """Lines up to a blank one, joined by blanks."""
    held: list[str] = []
    first = 0
    for number, text in lines:
        if text.strip():
            first = first if held else number
            held.append(text.strip())
        elif held:
            yield TextSample(" ".join(held), first)
            held = []
    if held:
        yield TextSample(" ".join(held), first)


def blocks(lines: Iterable[tuple[int, str]], words: int) -> Iterator[TextSample]:
    """Pieces of so many words, across line ends; the last one may be shorter."""
    held, count, first = "", 0, 0
    for number, text in lines:
        text, place = text.strip(), 0
        for match in WORD.finditer(text):
            if count == words:
                yield TextSample((held + text[place : match.start()]).strip(), first)
                held, count, place = "", 0, match.start()
            first = number if not count else first
            count += 1
        held += text[place:] + (" " if text else "")
    if held.strip():
        yield TextSample(held.strip(), first)
