"""What a word is: stretches of a text that carry one tag each, and the tokens in which they begin."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from mmbert.core.errors import DataError

#: What carries a tag: what white space separates; the same with punctuation marks apart; every character.
Unit = Literal["white_space", "punctuation", "character"]
UNITS = get_args(Unit)
PATTERNS = {
    "white_space": re.compile(r"\S+"),
    "punctuation": re.compile(r"\w+|[^\w\s]"),
    "character": re.compile(r"\S"),
}
#: Ranges of characters that are written without spaces between words: kana, Han.
UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")

#: Where something begins and ends in a text, in characters.
Extent = tuple[int, int]


def unit_extents(text: str, unit: Unit) -> list[Extent]:
    """Where each word begins and ends.

    A character that combines with the one before it, such as the accent of a decomposed é, belongs to that one.
    """
    found: list[Extent] = []
    for match in PATTERNS[unit].finditer(text):
        begin, end = match.span()
        joins = all(map(is_mark, text[begin:end]))
        if joins and found and found[-1][1] == begin:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found


def is_mark(character: str) -> bool:
    """Whether a character is no letter of its own but belongs to the one before it."""
    return unicodedata.category(character) in ("Mn", "Me", "Mc") or character in "\u200d\ufe0e\ufe0f"


def with_marks(text: str, end: int) -> int:
    """Where a stretch of a text really ends: after the marks that belong to its last character."""
    while 0 < end < len(text) and is_mark(text[end]):
        end += 1
    return end


def cuts_character(text: str, place: int) -> bool:
    """Whether a place lies within a character and the marks that belong to it."""
    return 0 < place < len(text) and is_mark(text[place]) and not text[place - 1].isspace()


def is_unspaced(texts: Sequence[str]) -> bool:
    """Whether most letters of some texts belong to a script without spaces between words, such as Chinese."""
    letters = sum(character.isalpha() for text in texts for character in text)
    return 2 * sum(len(UNSPACED.findall(text)) for text in texts) > letters


def first_tokens(words: Sequence[Extent], alignment: Mapping[str, Any]) -> list[int]:
    """For each word the token that holds its first character, -1 where there is none: it was cut off, or is no token.

    Args:
        words: in order.
        alignment: of the text; see ``Task.encode``. A token that begins with white space begins after it.
    """
    text = alignment["text"]
    offsets, special = np.asarray(alignment["offsets"]), np.asarray(alignment["word_ids"]) < 0
    places = np.full(len(text) + 1, -1, np.int64)  # by character, its token
    for token in range(len(offsets) - 1, -1, -1):
        begin, end = offsets[token].tolist()
        if not special[token] and end > begin:
            places[begin : min(end, len(text))] = token
    first = [int(places[begin]) for begin, _ in words]
    # what the tokenizer drops at a word's beginning, such as a mark without width, leaves its first token further on
    return [
        place if place >= 0 else next((int(one) for one in places[begin:end] if one >= 0), -1)
        for place, (begin, end) in zip(first, words, strict=True)
    ]


def named_unit(words: Sequence[str], text: str) -> str | None:
    """The unit by which a text falls into just these words; None if there is none."""
    cut = {unit: [text[begin:end] for begin, end in unit_extents(text, unit)] for unit in UNITS}
    return next((unit for unit in UNITS if cut[unit] == list(words)), None)


def check_label_words(words: Sequence[str], text: str, unit: Unit) -> None:
    """Refuses words of a label that are not those of its text.

    Raises:
        DataError: names the first that differs, and the unit that would fit.
    """
    here = [text[begin:end] for begin, end in unit_extents(text, unit)]
    if here == list(words):
        return
    other = named_unit(words, text)
    place = next((i for i, (a, b) in enumerate(zip(words, here, strict=False)) if a != b), min(len(words), len(here)))
    given, found = (repr(one[place]) if place < len(one) else "the end" for one in (list(words), here))
    hint = f"They fit with unit={other}" if other else "Give the text as the words joined by blanks"
    raise DataError(
        f"the label's word {place + 1} is {given}, the text's is {found} (unit={unit}, {len(words)} and {len(here)} "
        f"words). {hint}"
    )
