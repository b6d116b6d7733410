"""Lists that were written into a cell of text: as JSON, as Python or pandas write them, or as NumPy prints an array."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

#: A quoted string, of Python or of JSON.
QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
#: A number or a constant, as Python writes it.
NUMBER_OR_CONSTANT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|True|False|None|nan")
#: What stands between two elements: a comma, or as NumPy has it white space alone.
BETWEEN = re.compile(r"\s*,\s*|\s+")
#: What a list, a tuple or a set begins and ends with.
BRACKETS = {"[": "]", "(": ")", "{": "}"}


def written_list(text: str) -> list[Any] | None:
    """The elements of a list that a text spells, None if it spells none.

    ``["joy", "fear"]`` is JSON; ``['joy', 'fear']`` is what pandas writes of a list, ``['joy' 'fear']`` of an array.
    Of tuples and sets only those of quoted strings are lists here: ``('joy', 'fear')``, ``{'joy', 'fear'}``.
    Numbers that are no JSON come as they are written; None and nan come as None.
    """
    text = text.strip()
    if BRACKETS.get(text[:1]) != text[-1:] or len(text) < 2:
        return None
    if text.startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return elements(text[1:-1])
        return found if isinstance(found, list) else None
    if text.startswith("(") and "," not in text:  # a string in brackets
        return None
    return elements(text[1:-1], numbers=False) or None


def elements(inner: str, numbers: bool = True) -> list[Any] | None:
    """What stands between a list's brackets.

    Args:
        inner: the text between them.
        numbers: whether numbers and constants are allowed, and white space alone between two elements.

    Returns:
        None if it is anything else.
    """
    inner = inner.strip()
    found: list[Any] = []
    place = 0
    while place < len(inner):
        one = QUOTED.match(inner, place) or (NUMBER_OR_CONSTANT.match(inner, place) if numbers else None)
        if one is None:
            return None
        found.append(element_of(one.group()))
        between = BETWEEN.match(inner, one.end())
        if between is None and one.end() < len(inner) or between and not numbers and "," not in between.group():
            return None
        place = between.end() if between else one.end()
    return found


def element_of(written: str) -> str | None:
    """A quoted string's content; a number as it is written, ``1.`` as ``1``; None and nan as None."""
    if written[0] not in "'\"":
        return None if written in ("None", "nan") else written.removesuffix(".")
    if "\\" in written:
        try:
            with warnings.catch_warnings(action="ignore"):  # an escape that Python does not know
                return str(ast.literal_eval(written))
        except (ValueError, SyntaxError):  # half an escape, or a line end within the quotes
            pass
    return written[1:-1]
