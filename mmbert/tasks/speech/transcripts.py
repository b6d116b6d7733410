"""The form that transcripts are learnt and measured in: small letters, no punctuation, white space joined."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

SymbolUnit = Literal["character", "word"]
SYMBOL_UNITS = get_args(SymbolUnit)
#: Beginnings of the Unicode names of letters of scripts that part no words by white space.
SCRIPTS_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")


@dataclass(frozen=True)
class TranscriptForm:
    """How a transcript is written before it is learnt, and before errors are counted; and its symbols.

    Texts are brought to Unicode's NFC, and stretches of white space to one blank. Punctuation becomes a blank, but for
    the apostrophe between two letters, which is always written ``'``.

    Attributes:
        unit: what CTC gives at a time.
        lower_case: letters become small.
        punctuation: marks stay (Unicode's categories P).
        spaces: white space parts words; False = there is none, as in Chinese and Japanese.
    """

    unit: SymbolUnit = "character"
    lower_case: bool = True
    punctuation: bool = False
    spaces: bool = True

    def written(self, text: str) -> str:
        """A text in this form; it may be empty."""
        text = unicodedata.normalize("NFC", text)
        if self.lower_case:
            text = unicodedata.normalize("NFC", text.lower())
        if not self.punctuation:
            text = without_punctuation(text)
        return (" " if self.spaces else "").join(text.split())

    def symbols(self, text: str) -> list[str]:
        """A written text -> what CTC gives one after another: characters, blanks among them, or words."""
        return text.split(" ") if self.unit == "word" and text else list(text)

    def joined(self, symbols: Iterable[str]) -> str:
        """Symbols -> a written text: blanks at its ends, and one beside another, are left out."""
        text = (" " if self.unit == "word" else "").join(symbols)
        return (" " if self.spaces else "").join(text.split())

    def words(self, symbols: Sequence[str]) -> list[tuple[str, int, int]]:
        """The words of a sequence of symbols: each with the place of its first symbol and of that after its last.

        Where white space parts no words, each symbol is one.
        """
        if self.unit == "word" or not self.spaces:
            return [(symbol, place, place + 1) for place, symbol in enumerate(symbols) if not symbol.isspace()]
        found, begin = [], 0
        for place, symbol in enumerate([*symbols, " "]):
            if symbol == " ":
                if place > begin:
                    found.append(("".join(symbols[begin:place]), begin, place))
                begin = place + 1
        return found

    def note(self) -> str:
        """The form in words, for results."""
        letters = "small letters" if self.lower_case else "letters as they are"
        marks = "punctuation kept" if self.punctuation else "punctuation taken out, apostrophes within words kept"
        return f"{letters}, {marks}, white space {'joined' if self.spaces else 'taken out'}"


def without_punctuation(text: str) -> str:
    """Marks become blanks; an apostrophe between two letters becomes ``'``."""
    kept = []
    for place, character in enumerate(text):
        beside = text[place - 1 : place] + text[place + 1 : place + 2]
        if character in "'’ʼ" and len(beside) == 2 and beside.isalnum():
            kept.append("'")
        else:
            kept.append(" " if unicodedata.category(character).startswith("P") else character)
    return "".join(kept)


def parts_words(texts: Iterable[str]) -> bool:
    """Whether texts are in a script that parts words by white space: at least half of their letters are."""
    letters = [character for text in texts for character in text if character.isalpha()]
    unspaced = sum(unicodedata.name(letter, "").startswith(SCRIPTS_WITHOUT_SPACES) for letter in letters)
    return 2 * unspaced <= len(letters)
