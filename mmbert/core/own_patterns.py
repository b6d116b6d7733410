"""A user's own regular expressions for masking: refused early where they are wrong, and limited in time.

A regular expression may take time that doubles with every letter. ``regex`` ends a search that takes too long; nested
repetitions, the usual cause, are refused before.
"""

from __future__ import annotations

import re
from re import _constants as parsed  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from mmbert.core.errors import ConfigError

#: Seconds that one expression may take for one text; after that the whole text is replaced.
MOST_SECONDS = 0.5
REPEATS = (parsed.MAX_REPEAT, parsed.MIN_REPEAT, parsed.POSSESSIVE_REPEAT)


class OwnPattern:
    """A regular expression of Python's syntax, in which case counts.

    Args:
        name: what stands in brackets in place of what it finds.
        regex: the expression.

    Raises:
        ConfigError: it cannot be read, is found in an empty text, or repeats a repetition without a bound.
    """

    def __init__(self, name: str, regex: str) -> None:
        import regex as regex_library

        try:
            tree = parser.parse(regex)
            self.compiled = regex_library.compile(regex)
        except (re.error, regex_library.error, OverflowError, RecursionError) as error:
            raise ConfigError(f"the regular expression of '{name}', {regex}, cannot be read: {error}.") from error
        if repeats_repetition(tree):
            raise ConfigError(
                f"the regular expression of '{name}', {regex}, repeats a repetition, which may take forever: give one "
                "of the two a bound, such as {1,20}."
            )
        if re.compile(regex).search("") is not None:
            raise ConfigError(f"the regular expression of '{name}', {regex}, is found in an empty text too.")

    def replaced(self, text: str, mark: str) -> str:
        """A text with ``mark`` in place of every occurrence; ``mark`` alone if the search takes too long."""
        try:
            done: str = self.compiled.sub(lambda found: mark if found[0] else "", text, timeout=MOST_SECONDS)
        except TimeoutError:
            return mark
        return done

    def found(self, text: str) -> list[tuple[int, int]]:
        """Where in a text it is found, beginnings and ends; everywhere if the search takes too long."""
        try:
            return [each.span() for each in self.compiled.finditer(text, timeout=MOST_SECONDS) if each[0]]
        except TimeoutError:
            return [(0, len(text))]


def repeats_repetition(tree: Any, inside: bool = False) -> bool:
    """Whether something without an upper bound is repeated without one.

    Args:
        tree: a parsed expression.
        inside: whether it stands in such a repetition.
    """
    for code, argument in tree:
        unbounded = code in REPEATS and argument[1] == parsed.MAXREPEAT
        if unbounded and inside:
            return True
        if any(repeats_repetition(part, inside or unbounded) for part in parts_inside(argument)):
            return True
    return False


def parts_inside(argument: Any) -> list[Any]:
    """The expressions that an operation of a parsed expression holds, at any depth of tuples and lists."""
    if isinstance(argument, parser.SubPattern):
        return [argument]
    if isinstance(argument, (tuple, list)):
        return [part for one in argument for part in parts_inside(one)]
    return []
