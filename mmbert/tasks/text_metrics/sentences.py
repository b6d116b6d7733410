"""Where the sentences of a text begin and end, also of texts in Chinese and Japanese."""

from __future__ import annotations

import re

#: What may stand between the end of a sentence and the next one.
CLOSING_MARKS = "\"'”’»）)\\]」』】》"
#: A full stop of Chinese or Japanese ends a sentence by itself; a Latin one only before white space or at the end.
END = re.compile(rf"[。！？｡]+[{CLOSING_MARKS}]*|[.!?…]+[{CLOSING_MARKS}]*(?=\s|$)|\n+")
#: Words before a full stop that end no sentence.
ABBREVIATIONS = frozenset(
    ["mr", "mrs", "ms", "dr", "prof", "vs", "etc", "e.g", "i.e", "cf", "fig", "bzw", "z.b", "d.h"]
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """The sentences as (begin, end) in characters, without white space at their ends; blank ones are left out.

    A sentence ends after ``. ! ?`` before white space, after ``。！？`` anywhere, and at every line end. A full stop
    after a single letter, after one of ``ABBREVIATIONS`` or before a small letter ends none.
    """
    spans = []
    begin = 0
    for found in END.finditer(text):
        if found.group().startswith(".") and not ends_sentence(text, begin, found):
            continue
        spans.append((begin, found.end()))
        begin = found.end()
    spans.append((begin, len(text)))
    return [tight for tight in (stripped(text, *span) for span in spans) if tight[0] < tight[1]]


def ends_sentence(text: str, begin: int, stop: re.Match[str]) -> bool:
    """Whether a full stop ends the sentence that began at ``begin``."""
    words = text[begin : stop.start()].split()
    last = words[-1].lstrip("\"'“‘«(").lower() if words else ""
    following = text[stop.end() :].lstrip()[:1]
    alone = len(last) == 1 and last.isalpha() and last not in ("i", "a")
    return not (last in ABBREVIATIONS or alone or following.islower())


def stripped(text: str, begin: int, end: int) -> tuple[int, int]:
    """A span without the white space at its ends."""
    inner = text[begin:end]
    return begin + len(inner) - len(inner.lstrip()), end - (len(inner) - len(inner.rstrip()))


def sentence_texts(text: str) -> list[str]:
    """The sentences themselves."""
    return [text[begin:end] for begin, end in sentence_spans(text)]
