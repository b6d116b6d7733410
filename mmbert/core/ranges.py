"""What values an argument may take, written beside it: ``num_heads: Annotated[int, Range(1)] = 4``.

    dropout: Annotated[float, Range(0, below=1)] = 0.1       # a number of at least 0 and below 1
    read: Annotated[str, OneOf("last", "mean")] = "last"
    channels: Annotated[Sequence[int], Many(Range(1))]        # a list of whole numbers of at least 1
    missing: Annotated[Mapping[str, Any], OptionsOf(Missing)] # a group of options, those of another class

At run time these are plain annotations and change nothing. The commands read them from the source, without importing
it, and check the config against them before torch is imported (``mmbert/cli/options``). Whether a number must be whole
follows from the annotated type. A ``Literal`` is a range of its own. None is always allowed: a class that needs a value
checks that itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mmbert.core.errors import nearest


class Rule:
    """What an option may be.

    Attributes:
        wanted: the end of the sentence "... is wanted here".
        names: the choices, among which a misspelt one has a nearest; empty where there are none.
    """

    wanted: str = ""
    names: tuple[str, ...] = ()

    def accepts(self, value: Any) -> bool:
        """Whether a value, never None, is allowed."""
        raise NotImplementedError

    def for_type(self, whole: bool) -> Rule:
        """The same rule for an argument whose numbers are whole, or are not."""
        return self

    def complaint(self, value: Any) -> str | None:
        """What is wrong with a value, as the end of a message; None if nothing is, also for an interpolation."""
        if value is None or isinstance(value, str) and value.startswith("${") or self.accepts(value):
            return None
        if self.names and isinstance(value, str):
            return f"not one of the choices. {nearest(value, self.names)}"
        return f"{self.wanted} is wanted here."


def is_finite_number(value: Any) -> bool:
    """Whether a value is a finite number; Python's booleans, which are integers too, are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_integer(value: Any) -> bool:
    """Whether a value is an integer and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class Range(Rule):
    """A number between bounds, whole where the annotated type is ``int``.

    Attributes:
        at_least: the lowest value; None = no lowest.
        at_most: the highest value; None = no highest.
        above: a bound that itself is not allowed.
        below: a bound that itself is not allowed.
        whole: whether only integers are allowed; set from the annotated type.
    """

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    whole: bool = False

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """``a number of at least 0 and below 1``."""
        bounds = [
            f"{word} {bound if isinstance(bound, int) else format(bound, 'g')}"
            for word, bound in (
                ("of at least", self.at_least),
                ("above", self.above),
                ("of at most" if self.at_least is None and self.above is None else "at most", self.at_most),
                ("below", self.below),
            )
            if bound is not None
        ]
        return " ".join(["a whole number" if self.whole else "a number", " and ".join(bounds)]).strip()

    def accepts(self, value: Any) -> bool:
        """Whether it is a number, not NaN or infinite, within the bounds."""
        return (
            (is_integer(value) if self.whole else is_finite_number(value))
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def for_type(self, whole: bool) -> Rule:
        """The same bounds for integers, or for all numbers."""
        return replace(self, whole=whole)


class Switch(Rule):
    """True or false; what the plain type ``bool`` means too."""

    wanted = "true or false"

    def accepts(self, value: Any) -> bool:
        """Whether it is a boolean."""
        return isinstance(value, bool)


class String(Rule):
    """Any string, described in words: ``String("the name of an encoder (text)")``."""

    def __init__(self, wanted: str = "a text") -> None:
        self.wanted = wanted

    def accepts(self, value: Any) -> bool:
        """Whether it is a string."""
        return isinstance(value, str)


class CellValues(Rule):
    """A value as it stands in a table's cell, or a list of such values: words, numbers, truth values, null."""

    wanted = "a word, or a list of words,"

    def accepts(self, value: Any) -> bool:
        """Whether it is a single value, or a list of single ones."""
        return not any(isinstance(one, (list, dict)) for one in (value if isinstance(value, list) else [value]))


class OneOf(Rule):
    """One of some words or numbers, or a config node that builds an object (``_target_``)."""

    def __init__(self, *values: Any) -> None:
        self.values = values
        self.wanted = f"one of {', '.join(map(str, values))}"
        self.names = tuple(dict.fromkeys(map(str, values)))

    def accepts(self, value: Any) -> bool:
        """Whether it is among them; the type counts too, because 1 == True."""
        listed = any(value == one and type(value) is type(one) for one in self.values)
        return listed or isinstance(value, dict) and "_target_" in value


class Many(Rule):
    """A list of values that each keep a rule.

    Args:
        item: the rule of each.
        length: how many there must be; None = any number.
    """

    def __init__(self, item: Rule, length: int | None = None) -> None:
        self.item, self.length = item, length
        count = f"{length} values" if length else "values"
        self.wanted = f"a list of {count}, each {item.wanted},"

    def accepts(self, value: Any) -> bool:
        """Whether it is such a list."""
        right_length = isinstance(value, list) and (self.length is None or len(value) == self.length)
        return right_length and all(map(self.item.accepts, value))

    def for_type(self, whole: bool) -> Rule:
        """A list of integers, or of any numbers."""
        return Many(self.item.for_type(whole), self.length)


class EachEncoder(Rule):
    """A value for each encoder, by its name.

    Args:
        item: the rule of each value.
        wanted: the end of the sentence "... is wanted here".
        or_one: whether one value for all encoders is allowed too.
    """

    def __init__(self, item: Rule, wanted: str, or_one: bool = False) -> None:
        self.item, self.wanted, self.or_one = item, wanted, or_one

    def accepts(self, value: Any) -> bool:
        """Whether it is a dictionary of right values, or one right value where that is allowed."""
        if isinstance(value, dict):
            return all(map(self.item.accepts, value.values()))
        return self.or_one and self.item.accepts(value)

    def for_type(self, whole: bool) -> Rule:
        """Integers, or any numbers."""
        return EachEncoder(self.item.for_type(whole), self.wanted, self.or_one)


class AnyOf(Rule):
    """A value that keeps one of several rules."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules
        self.wanted = " or ".join(rule.wanted for rule in rules)
        self.names = tuple(name for rule in rules for name in rule.names)

    def accepts(self, value: Any) -> bool:
        """Whether one of the rules accepts it."""
        return any(rule.accepts(value) for rule in self.rules)

    def for_type(self, whole: bool) -> Rule:
        """Every rule for integers, or for any numbers."""
        return AnyOf(*(rule.for_type(whole) for rule in self.rules))


class CountOrShare(Rule):
    """An integer counts things, a float is a share of all of them: 500 steps, or 0.1 of the steps.

    Args:
        wanted: the end of the sentence "... is wanted here".
        below_one: whether the share 1.0 is refused.
    """

    def __init__(self, wanted: str, below_one: bool = False) -> None:
        self.wanted, self.below_one = wanted, below_one

    def accepts(self, value: Any) -> bool:
        """Whether it is such a count or share."""
        if is_integer(value):
            return bool(value >= 0)
        return isinstance(value, float) and 0 <= value <= 1 and not (self.below_one and value == 1)


class Custom(Rule):
    """A rule given by a function, for options that no class of ours declares; annotations are not read with it."""

    def __init__(self, wanted: str, test: Callable[[Any], bool]) -> None:
        self.wanted, self.test = wanted, test

    def accepts(self, value: Any) -> bool:
        """What the function says."""
        return bool(self.test(value))


class OptionsOf(Rule):
    """A group of options: the arguments of another class, which have ranges of their own, and perhaps some more.

    Args:
        owner: the class; its dotted path where it is read from the source; None = only ``more``.
        more: rules of options that are not arguments of the class.
    """

    wanted = "a group of options, {name: value},"

    def __init__(self, owner: Any, **more: Rule) -> None:
        self.owner, self.more = owner, more

    def accepts(self, value: Any) -> bool:
        """Whether it is a dictionary; its entries are checked one by one, each as an option."""
        return isinstance(value, dict)
