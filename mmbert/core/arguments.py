"""Checks arguments that come from a file against the annotations of the class that they are for.

The ranges are those of ``mmbert/core/ranges.py``. The commands check a config by the source alone
(``mmbert/cli/options``); here the class is there already. ``Annotated`` and ``Literal`` count in any class, plain types
in the package's own: elsewhere an annotation may be a mere hint.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from mmbert.core.ranges import AnyOf, Custom, EachEncoder, Many, OneOf, Range, Rule, String, Switch

PLAIN_RULES: dict[Any, Rule] = {bool: Switch(), int: Range(whole=True), float: Range(), str: String()}
LIST_TYPES = (list, tuple, Sequence, Iterable)


def arguments_complaint(kind: type[Any], arguments: Mapping[str, Any]) -> str | None:
    """What is wrong with the arguments of a class's constructor; None if nothing is seen to be.

    Args:
        kind: the class.
        arguments: by name, as JSON has them.
    """
    try:
        inspect.signature(kind.__init__).bind(None, **arguments)
    except TypeError as error:
        return str(error)
    except ValueError:  # a class written in C shows no signature
        pass
    plain = kind.__module__.startswith("mmbert.")
    for name, hint in constructor_hints(kind).items():
        if name not in arguments:
            continue
        value = arguments[name]
        if value is None:
            if plain and rule_of_hint(hint, plain) is not None and not takes_none(hint):
                return f"{name} has no value, and needs one"
            continue
        rule = rule_of_hint(hint, plain)
        if rule is not None and not rule.accepts(value):
            return f"{name}={shortened(value)}: {rule.complaint(value) or f'{rule.wanted} is wanted here.'}"
    return None


def constructor_hints(kind: type[Any]) -> dict[str, Any]:
    """The types of a constructor's arguments by name, those of its bases too where it hands the rest on to them."""
    hints: dict[str, Any] = {}
    for one in kind.__mro__:
        init = one.__dict__.get("__init__")
        if not inspect.isfunction(init):
            continue
        try:
            hints = {**get_type_hints(init, include_extras=True), **hints}
        except (NameError, AttributeError, TypeError):  # names for type checkers alone
            return hints
        if not any(p.kind is p.VAR_KEYWORD for p in inspect.signature(init).parameters.values()):
            break
    return hints


def rule_of_hint(hint: Any, plain: bool) -> Rule | None:
    """The rule that a type stands for, None if it stands for none; ``None`` in a union is no part of it.

    Args:
        hint: a type, as ``get_type_hints`` gives it with its extras.
        plain: whether types without a range are rules too.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        found = next((one for one in hint.__metadata__ if isinstance(one, Rule)), None)
        return found.for_type(is_whole(arguments[0])) if found is not None else rule_of_hint(arguments[0], plain)
    if origin is Literal:
        return OneOf(*(value for value in arguments if value is not None))
    if origin in (Union, types.UnionType):
        rules = [rule_of_hint(part, plain) for part in arguments if part is not type(None)]
        known = [rule for rule in rules if rule is not None]
        return None if len(known) < len(rules) else known[0] if len(known) == 1 else AnyOf(*known)
    if not plain:
        return None
    if (origin or hint) in LIST_TYPES:
        items = [part for part in arguments if part is not Ellipsis]
        item = rule_of_hint(items[0], plain) if len(set(items)) == 1 else None
        return Many(item) if item is not None else Custom("a list", lambda value: isinstance(value, list))
    if (origin or hint) in (dict, Mapping):
        item = rule_of_hint(arguments[1], plain) if arguments else None
        wanted = "a group of values, {name: value},"
        is_group = Custom(wanted, lambda value: isinstance(value, dict))
        return EachEncoder(item, wanted) if item is not None else is_group
    return PLAIN_RULES.get(hint)


def takes_none(hint: Any) -> bool:
    """Whether a type has ``None`` among its members, or is not known."""
    if get_origin(hint) is Annotated:
        return takes_none(get_args(hint)[0])
    return hint in (Any, None, type(None)) or type(None) in get_args(hint)


def is_whole(hint: Any) -> bool:
    """Whether the numbers of a type are whole: ``int``, ``int | None``, ``list[int]``."""
    leaves = list(leaves_of(hint))
    return int in leaves and float not in leaves


def leaves_of(hint: Any) -> Iterable[Any]:
    """The types that a type is made of."""
    parts = get_args(hint)
    if not parts:
        yield hint
    for part in parts:
        yield from leaves_of(part)


def shortened(value: Any, length: int = 80) -> str:
    """A value as text that fits a message."""
    text = str(value)
    return text if len(text) <= length else f"{text[:length]}…"
