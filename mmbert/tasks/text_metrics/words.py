"""Words of a text in any script, for metrics that count them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

#: Scripts written without spaces between words, by the beginning of a character's Unicode name, and a language of each.
UNSPACED_SCRIPTS = {
    "CJK": "zh",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "THAI": "th",
    "LAO": "lo",
    "KHMER": "km",
    "MYANMAR": "my",
}
#: How a manner of cutting is called in the notes on metrics.
BY_CHARACTER = "by character"
BY_WORD = "runs of letters, marks and digits in lower case, unspaced scripts by character"


def unspaced_language(character: str) -> str | None:
    """The language of a character's script, if that is written without spaces; None of any other character."""
    if character < "\u0e00":  # most texts are asked about letter by letter
        return None
    name = unicodedata.name(character, "")
    return next((language for script, language in UNSPACED_SCRIPTS.items() if name.startswith(script)), None)


class WordTokenizer:
    """Cuts a text into words: letters, marks and digits in lower case; of unspaced scripts each character is a word.

    It has the method that ``rouge_score`` asks of a tokenizer, whose own keeps a to z and 0 to 9 alone.
    """

    def tokenize(self, text: str) -> list[str]:
        """The words, in order; punctuation is left out, a combining mark stays with its character."""
        words: list[str] = []
        inside = False  # a word that may go on
        for character in unicodedata.normalize("NFC", text).lower():
            kind = unicodedata.category(character)[0]
            if kind == "M" and words:
                words[-1] += character
            elif kind not in "LMN":
                inside = False
            elif unspaced_language(character) is not None:
                words.append(character)
                inside = False
            elif inside:
                words[-1] += character
            else:
                words.append(character)
                inside = True
        return words


def guess_language(texts: Iterable[str]) -> str:
    """What can be told from the letters of some texts.

    Returns:
        ``zh``, ``ja``, ``th``, ``lo``, ``km`` or ``my`` where at least a tenth of the letters are of a script without
        spaces (Japanese if kana are a tenth of those); ``ascii`` where no letter is beyond a to z; else ``other``.
    """
    found: dict[str, int] = {}
    letters = beyond = 0
    for text in texts:
        for character in text:
            if character.isalpha():
                letters += 1
                beyond += character > "\x7f"
                language = unspaced_language(character)
                if language is not None:
                    found[language] = found.get(language, 0) + 1
    unspaced = sum(found.values())
    if unspaced and unspaced >= letters / 10:
        if found.get("ja", 0) >= (found.get("ja", 0) + found.get("zh", 0)) / 10 > 0:
            return "ja"
        return max(found, key=lambda language: found[language])
    return "other" if beyond else "ascii"


def bleu_tokenizer(language: str) -> str:
    """The tokenizer of sacrebleu for references in a language: an ISO code, or what ``guess_language`` gives."""
    if language.split("-")[0] in ("zh", "yue"):
        return "zh"
    if language == "ja":
        return "ja-mecab"
    return "char" if language in UNSPACED_SCRIPTS.values() else "13a"


def words_of_rouge(language: str) -> WordTokenizer | None:
    """What ROUGE cuts texts by; None = the tokenizer of ``rouge_score``, which is made for English."""
    return None if language in ("en", "ascii") else WordTokenizer()
