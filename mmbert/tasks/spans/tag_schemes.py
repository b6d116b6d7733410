"""Tagging schemes: which letters before a type say that a word begins, continues or ends an entity.

| scheme | letters | |
|---|---|---|
| IOB2, also called BIO | B I O | every entity begins with B |
| IOB1 | B I O | B only where an entity follows another of its type at once |
| IOE2 | I E O | every entity ends with E |
| IOE1 | I E O | E only where an entity is followed by another of its type at once |
| IOBES | B I E S O | S = an entity of one word |
| BMES | B M E S O | IOBES with M for I; seqeval reads it as IOBES |
| BILOU | B I L U O | IOBES with L for E and U for S |
| none | | tags are plain classes, such as parts of speech: there are no entities |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

from mmbert.core.errors import ConfigError

Scheme = Literal["IOB2", "IOB1", "IOE2", "IOE1", "IOBES", "BMES", "BILOU", "none"]
SCHEMES = get_args(Scheme)
LETTERS = {"IOB2": "BIO", "IOB1": "BIO", "IOE2": "IEO", "IOE1": "IEO", "IOBES": "BIESO", "BMES": "BMESO"}
LETTERS |= {"BILOU": "BILUO"}
#: The same letters in the words of IOBES.
AS_IOBES = {"BMES": {"M": "I"}, "BILOU": {"L": "E", "U": "S"}}
OUTSIDE = "O"


def split_tag(tag: str) -> tuple[str, str]:
    """``B-PER`` -> B and PER; ``O`` -> O and nothing; of bare letters the type is empty too."""
    return tag[:1], tag[2:] if tag[1:2] in ("-", "_") else tag[1:]


def is_entity_tag(tag: str) -> bool:
    """Whether a tag is a letter alone, or a letter, a hyphen and a type."""
    return tag == OUTSIDE or (tag[:1] in "BIESMLU" and (len(tag) == 1 or tag[1] == "-" and len(tag) > 2))


def guess_scheme(sequences: Iterable[Sequence[str]]) -> Scheme:
    """The scheme that tags of the train split are written in.

    B I O and I E O are each two schemes, which differ in entities that have no neighbour of their type: the scheme that
    the greater part of these follows is taken.
    """
    rows = [list(tags) for tags in sequences]
    tags = {tag for row in rows for tag in row}
    letters = {tag[:1] for tag in tags} - {OUTSIDE}
    if not letters or not all(map(is_entity_tag, tags)):
        return "none"
    if letters <= {"B", "I"}:
        return "IOB1" if lone_entities(rows, "I") > lone_entities(rows, "B") else "IOB2"
    if letters <= {"I", "E"}:
        reverse = [row[::-1] for row in rows]
        return "IOE1" if lone_entities(reverse, "I") > lone_entities(reverse, "E") else "IOE2"
    for scheme in ("IOBES", "BMES", "BILOU"):
        if letters <= set(LETTERS[scheme]):
            return scheme  # type: ignore[return-value]
    return "none"


def lone_entities(rows: Sequence[Sequence[str]], letter: str) -> int:
    """How many entities that do not follow another of their type at once begin with a letter."""
    count = 0
    for row in rows:
        before = ""
        for tag in row:
            first, kind = split_tag(tag)
            count += first == letter and (before in ("", OUTSIDE) or split_tag(before)[1] != kind)
            before = tag
    return count


def check_scheme(scheme: Scheme, tags: Sequence[str], column: str) -> None:
    """Refuses tags that are none of the scheme.

    Raises:
        ConfigError: names the first.
    """
    if scheme == "none":
        return
    wrong = [tag for tag in tags if tag[:1] not in LETTERS[scheme] or not is_entity_tag(tag)]
    if wrong:
        raise ConfigError(
            f"The tag '{wrong[0]}' on column '{column}' is none of the scheme {scheme}, whose letters are "
            f"{' '.join(LETTERS[scheme])}. Name another scheme, or scheme=none for tags that are plain classes."
        )


def seqeval_tags(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """Tags as seqeval knows them: BMES is IOBES with another letter."""
    return [f"I{tag[1:]}" if tag[:1] == "M" else tag for tag in tags] if scheme == "BMES" else list(tags)


def seqeval_scheme(scheme: Scheme) -> Any:
    """The scheme's class in seqeval."""
    from seqeval import scheme as schemes

    return getattr(schemes, "IOBES" if scheme == "BMES" else scheme)


def group_tag(tags: Sequence[str], scheme: Scheme) -> str:
    """Tags of words that share one token -> the tag that the token has to learn."""
    if scheme not in ("IOBES", "BMES", "BILOU") or len(tags) == 1:
        return tags[0]
    names = AS_IOBES.get(scheme, {})
    back = {new: old for old, new in names.items()}
    (first, kind), last = split_tag(tags[0]), names.get(tags[-1][:1], tags[-1][:1])
    first = names.get(first, first)
    if first == OUTSIDE:
        return tags[0]
    letter = {(True, True): "S", (True, False): "B", (False, True): "E", (False, False): "I"}[
        first in "BS", last in "ES"
    ]
    return joined(back.get(letter, letter), kind)


def ungrouped_tags(tag: str, size: int, scheme: Scheme) -> list[str]:
    """The tag of a token -> those of the ``size`` words that it holds: the first has it, the others go on with it."""
    letter, kind = split_tag(tag)
    if size == 1 or letter == OUTSIDE or scheme == "none":
        return [tag] * size
    if scheme in ("IOB2", "IOB1", "IOE2", "IOE1"):
        inside = joined("I", kind)
        return [inside] * (size - 1) + [tag] if letter == "E" else [tag] + [inside] * (size - 1)
    names = AS_IOBES.get(scheme, {})
    back = {new: old for old, new in names.items()}
    letter = names.get(letter, letter)
    begin, inside, end = (joined(back.get(one, one), kind) for one in "BIE")
    middle = [inside] * (size - 2)
    return [begin if letter in "BS" else inside, *middle, end if letter in "ES" else inside]


def joined(letter: str, kind: str) -> str:
    """``B`` and ``PER`` -> ``B-PER``."""
    return f"{letter}-{kind}" if kind else letter
