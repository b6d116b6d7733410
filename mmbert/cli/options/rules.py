"""The kinds of rules that options keep: a whole number from a range, one of some words, a list, ..."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmbert.core.errors import nearest


@dataclass(frozen=True)
class Rule:
    """What an option may be.

    Attributes:
        wanted: the end of the sentence "... is wanted here", or the choices.
        accepts: whether a value, never None, is right.
        names: the choices among which a misspelt one has a nearest.
    """

    wanted: str
    accepts: Callable[[Any], bool]
    names: tuple[str, ...] = ()

    def complaint(self, value: Any) -> str | None:
        """What is wrong with a value, or None."""
        if value is None or isinstance(value, str) and value.startswith("${") or self.accepts(value):
            return None
        if self.names and isinstance(value, str):
            return f"not one of the choices. {nearest(value, self.names)}"
        return f"{self.wanted} is wanted here."


def is_number(value: Any) -> bool:
    """A finite number, and not one of Python's booleans, which are numbers too."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """A whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def whole(at_least: int, at_most: int | None = None) -> Rule:
    """A whole number from a range."""
    upper = f" and at most {at_most}" if at_most is not None else ""
    return Rule(
        f"a whole number of at least {at_least}{upper}",
        lambda v: is_whole(v) and v >= at_least and (at_most is None or v <= at_most),
    )


def number(at_least: float = 0, below: float | None = None, at_most: float | None = None) -> Rule:
    """A number from a range."""
    upper = f" and below {below:g}" if below is not None else f" and at most {at_most:g}" if at_most is not None else ""
    return Rule(
        f"a number of at least {at_least:g}{upper}",
        lambda v: is_number(v) and v >= at_least and (below is None or v < below) and (at_most is None or v <= at_most),
    )


def positive() -> Rule:
    """A number above zero."""
    return Rule("a number above 0", lambda v: is_number(v) and v > 0)


def switch() -> Rule:
    """True or false."""
    return Rule("true or false", lambda v: isinstance(v, bool))


def one_of(*names: Any) -> Rule:
    """One of some words or numbers, or a node that builds an object of the user's own."""
    return Rule(
        f"one of {', '.join(map(str, names))}",
        # the kind counts too, for 1 == True
        lambda v: any(v == n and type(v) is type(n) for n in names) or isinstance(v, dict) and "_target_" in v,
        tuple(dict.fromkeys(map(str, names))),
    )


def many(item: Rule, length: int | None = None) -> Rule:
    """A list."""
    count = f"{length} values" if length else "values"
    return Rule(
        f"a list of {count}, each {item.wanted},",
        lambda v: isinstance(v, list) and (length is None or len(v) == length) and all(map(item.accepts, v)),
    )


def either(*rules: Rule) -> Rule:
    """Any of several rules."""
    return Rule(
        " or ".join(rule.wanted for rule in rules),
        lambda v: any(rule.accepts(v) for rule in rules),
        tuple(name for rule in rules for name in rule.names),
    )


def share_or_count() -> Rule:
    """How Lightning says "some of the batches"."""
    return Rule(
        "a number of batches (10) or a share of them (0.1)",
        lambda v: is_whole(v) and v >= 0 or isinstance(v, float) and 0 <= v <= 1,
    )
