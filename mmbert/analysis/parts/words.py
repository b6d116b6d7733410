"""Word pieces joined into the words that a reader sees.

A word is a run of letters and digits, with an apostrophe or hyphen inside; a character of a script without spaces
(Chinese, Japanese, Thai, ...) is a word of its own, and so is a mark of punctuation. What the tokenizer thinks a piece
is does not matter: its offsets say which characters it covers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmbert.core.privacy import Privacy

#: Letters of scripts that have no spaces between words: Thai to Myanmar, Khmer, kana, Han, and their extensions.
SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
WORD_SHAPE = re.compile(rf"[{SPACELESS}]|(?:(?![{SPACELESS}])[\w])+(?:['’\-](?:(?![{SPACELESS}])[\w])+)*|[^\w\s]")


@dataclass(frozen=True)
class Word:
    """A word of a text, or what stands for one that is masked.

    Attributes:
        text: as it is shown.
        before: the white space before it.
        value: the sum over its pieces.
    """

    text: str
    before: str
    value: float


def word_spans(text: str, hidden: Sequence[tuple[int, int, str]] = ()) -> list[tuple[int, int, str]]:
    """Beginning, end and what is shown of each word of a text.

    Args:
        text: any.
        hidden: stretches of which only the name is shown, as ``Privacy.spans`` gives them; each is one word, and what
            is left of words that it cuts are words.
    """
    spans, place = [], 0
    for first, last, name in [*hidden, (len(text), len(text), "")]:
        spans += [(place + m.start(), place + m.end(), m[0]) for m in WORD_SHAPE.finditer(text[place:first])]
        if last > first:
            spans.append((first, last, f"[{name}]"))
        place = last
    return spans


def word_sums(text: str, offsets: np.ndarray, values: np.ndarray, privacy: Privacy | None = None) -> list[Word]:
    """The words of a text with the sums of their pieces.

    A piece belongs to the word in which its first character lies, and of white space to the word after it. Pieces
    without characters (special tokens) belong to none.

    Args:
        text: that was tokenised.
        offsets: (L, 2) int64 beginning and end of each piece in characters.
        values: (L,) of each piece.
        privacy: its patterns' finds are shown by their names; None = all is shown.
    """
    spans = word_spans(text, privacy.spans(text) if privacy is not None else ())
    sums = np.zeros(len(spans))
    word_at = np.full(len(text), len(spans) - 1)
    place = 0
    for number, (_, last, _) in enumerate(spans):
        word_at[place:last] = number
        place = last
    for (first, last), value in zip(offsets.tolist(), values.tolist(), strict=True):
        if spans and first < last:
            sums[word_at[first]] += value
    ends = [0, *(last for _, last, _ in spans)]
    return [
        Word(shown, text[end:first], float(total))
        for (first, _, shown), end, total in zip(spans, ends, sums, strict=False)
    ]
