"""How an answer is scored against reference answers: as SQuAD's scripts do, or as CMRC 2018's does for Chinese.

SQuAD      Rajpurkar et al. 2016, 2018, arXiv:1606.05250 and arXiv:1806.03822: capitals, punctuation marks, the
           articles a, an, the and the amount of white space do not count; F1 is over words
CMRC 2018  Cui et al. 2019, arXiv:1810.07366: capitals and marks do not count; F1 is the longest run of characters
           that both have. Differs from the script: what is neither Chinese nor kana is cut into words and marks
           by a pattern, where the script asks nltk; kana are single characters here
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

Scoring = Literal["auto", "squad", "cmrc"]
SCORINGS = get_args(Scoring)
#: What each is called in a note.
RULES = {
    "squad": "SQuAD's rules",
    "cmrc": "CMRC 2018's rules",
    "auto": "SQuAD's rules; CMRC 2018's for texts in scripts without spaces",
}

ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
MARKS = str.maketrans("", "", string.punctuation)
#: What the script of CMRC 2018 takes for marks.
CMRC_MARKS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
SINGLE = re.compile(r"[\u4e00-\u9fa5\u3040-\u30ff]")


def squad_text(answer: str) -> str:
    """An answer as SQuAD's scripts compare it."""
    return " ".join(ARTICLES.sub(" ", answer.lower().translate(MARKS)).split())


def squad_exact(reference: str, answer: str) -> float:
    """1 if they are equal as SQuAD compares them, else 0."""
    return float(squad_text(reference) == squad_text(answer))


def squad_f1(reference: str, answer: str, empty_agrees: bool) -> float:
    """F1 over words.

    Args:
        reference: a right answer.
        answer: the one to be scored.
        empty_agrees: two answers of which no word is left are equal, as in version 2.0; in version 1.1 they are not.
    """
    true, given = squad_text(reference).split(), squad_text(answer).split()
    if empty_agrees and not (true and given):
        return float(true == given)
    same = sum((Counter(true) & Counter(given)).values())
    return harmonic(same, len(given), len(true))


def harmonic(same: int, given: int, true: int) -> float:
    """F1 of so many in common."""
    if not same:
        return 0.0
    precision, recall = same / given, same / true
    return 2 * precision * recall / (precision + recall)


def cmrc_text(answer: str) -> str:
    """An answer as CMRC 2018's script compares it."""
    return "".join(character for character in answer.lower().strip() if character not in CMRC_MARKS)


def cmrc_exact(reference: str, answer: str) -> float:
    """1 if they are equal as CMRC 2018 compares them, else 0."""
    return float(cmrc_text(reference) == cmrc_text(answer))


def cmrc_pieces(answer: str) -> list[str]:
    """Characters of Chinese, words of what stands between."""
    pieces: list[str] = []
    other = ""
    for character in [*answer.lower().strip(), None]:
        if character in CMRC_MARKS:
            continue
        if character is not None and not SINGLE.match(character):
            other += character
            continue
        pieces += re.findall(r"\w+|[^\w\s]", other)
        other = ""
        pieces += [] if character is None else [character]
    return pieces


def cmrc_f1(reference: str, answer: str) -> float:
    """F1 of the longest run of pieces that both have."""
    true, given = cmrc_pieces(reference), cmrc_pieces(answer)
    longest, before = 0, [0] * (len(given) + 1)
    for piece in true:
        here = [0] * (len(given) + 1)
        for place, other in enumerate(given):
            if piece == other:
                here[place + 1] = before[place] + 1
                longest = max(longest, here[place + 1])
        before = here
    return harmonic(longest, len(given), len(true))


def answer_scores(references: Sequence[str], answer: str, chinese: bool, version2: bool) -> tuple[float, float]:
    """Exact match and F1, the best over the references.

    Args:
        references: the right answers; none = there is no answer (version 2.0).
        answer: the text that was found.
        chinese: by CMRC's rules.
        version2: by those of SQuAD 2.0: references of which nothing is left do not count, and without any the right
            answer is the empty one.
    """
    if chinese:
        each = [(cmrc_exact(one, answer), cmrc_f1(one, answer)) for one in references or [""]]
    else:
        kept = [one for one in references if squad_text(one)] or [""] if version2 else list(references)
        each = [(squad_exact(one, answer), squad_f1(one, answer, version2)) for one in kept]
    return max(exact for exact, _ in each), max(f1 for _, f1 in each)


def overlap_scores(references: Sequence[tuple[float, float]], answer: tuple[float, float]) -> tuple[float, float]:
    """Of stretches of time: their overlap as a share of both together (IoU), and F1 over moments; the best each.

    Lee et al. 2018, arXiv:1804.00320 (spoken SQuAD) call the first AOS, the audio overlapping score.
    """
    best = (0.0, 0.0)
    for begin, end in references:
        common = max(0.0, min(end, answer[1]) - max(begin, answer[0]))
        lengths = (end - begin) + (answer[1] - answer[0])
        if common > 0:
            best = max(best[0], common / (lengths - common)), max(best[1], 2 * common / lengths)
    return best
