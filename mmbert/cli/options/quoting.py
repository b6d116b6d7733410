"""Quotes values that Hydra's grammar refuses, such as names in Chinese or with accents, before Hydra reads them.

Hydra reads unquoted values of ASCII letters, digits and a few signs alone: ``data.columns.text=文本`` is an error and
``data.columns.text='文本'``, in a shell ``"data.columns.text='文本'"``, is right. Words that Hydra can read are left as
they are, and so are those that quotes would give another meaning: unknown functions, unbalanced brackets.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

#: What Hydra reads by itself, as a rule; words of these characters alone are not looked at.
NEEDS_NOTHING = re.compile(r"[\w./:,\-+@~$\[\]{}=]*", re.ASCII)
CALL = re.compile(r"([A-Za-z_]\w*)\((.*)\)", re.ASCII | re.DOTALL)
#: Functions of Hydra's whose arguments are values.
WITH_VALUES = {"choice", "shuffle", "sort", "tag", "glob", "str", "extend_list"}
CLOSING = {"(": ")", "[": "]", "{": "}"}
#: Options that name a column; one may be called 123 or true.
NAMES_COLUMN = re.compile(
    r"\+{0,2}(data\.columns\.[^.=]+|tasks\.[^.=]+\.column|data\.split\.(group|stratify)|data\.missing\.column)"
)


def quoted_words(words: Sequence[str]) -> list[str]:
    """The words of a command line, those among them quoted that Hydra cannot read otherwise. Flags are left alone."""
    given = [word if word.startswith("-") else column_word(word) for word in words]
    return [word if word.startswith("-") or NEEDS_NOTHING.fullmatch(word) else quoted_word(word) for word in given]


def column_word(word: str) -> str:
    """``data.columns.text=123`` with quotes around what Hydra would take for a number or a truth value."""
    key, _, value = word.partition("=")
    if not value or not NAMES_COLUMN.fullmatch(key):
        return word
    return f"{key}={','.join(in_quotes(name) if is_no_text(name) else name for name in split_elements(value))}"


def is_no_text(value: str) -> bool:
    """Whether Hydra's grammar reads a word as a number or a truth value."""
    if not is_readable(f"key={value}"):
        return False
    return isinstance(OverridesParser.create().parse_override(f"key={value}").value(), (bool, int, float))


def quoted_word(word: str) -> str:
    """``key=value`` with what is needed of the value in quotes; the word as it is where that does not help."""
    key, equals, value = word.partition("=")
    if not equals or is_readable(word):
        return word
    quoted = f"{key}={','.join(map(quoted_element, split_elements(value)))}"
    return quoted if is_readable(quoted) else word


def quoted_element(text: str) -> str:
    """One of the values that commas separate: a list, a mapping, a function, or a word."""
    bare = text.strip(" \t")
    function = CALL.fullmatch(bare)
    if is_readable(f"key={text}") or bare[:1] in ("'", '"'):
        return text
    if bare[:1] == "[" and bare[-1:] == "]":
        return f"[{','.join(map(quoted_element, split_elements(bare[1:-1])))}]"
    if bare[:1] == "{" and bare[-1:] == "}":
        pairs = [element.partition(":") for element in split_elements(bare[1:-1])]
        return "{" + ",".join(f"{key}{colon}{quoted_element(value)}" for key, colon, value in pairs) + "}"
    if function is not None:
        name, arguments = function.groups()
        return f"{name}({','.join(map(quoted_element, split_elements(arguments)))})" if name in WITH_VALUES else text
    return text if not bare or bare[0] in "[{" or "=" in bare else in_quotes(bare)


def in_quotes(text: str) -> str:
    """A text as a quoted value of Hydra's grammar."""
    mark = '"' if "'" in text and '"' not in text else "'"
    escaped = re.sub(rf"(\\*)({mark}|$)", lambda found: found[1] * 2 + (f"\\{mark}" if found[2] else ""), text)
    return f"{mark}{escaped}{mark}"


def split_elements(text: str) -> list[str]:
    """``a,[b,c],'d,e'`` -> ``a``, ``[b,c]``, ``'d,e'``: parted by commas that stand in no brackets and no quotes."""
    elements, start, open_brackets, place = [], 0, [""], 0
    while place < len(text):
        letter = text[place]
        if letter in "'\"" and not text[start:place].strip("[{( \t"):
            place = closing_quote(text, place)
        elif letter in CLOSING:
            open_brackets.append(CLOSING[letter])
        elif letter == open_brackets[-1]:
            open_brackets.pop()
        elif letter == "," and len(open_brackets) == 1:
            elements.append(text[start:place])
            start = place + 1
        place += 1
    return [*elements, text[start:]]


def closing_quote(text: str, place: int) -> int:
    """The place of the quote that closes the one at ``place``; the text's end if there is none."""
    found = re.compile(rf"(?<!\\)(\\\\)*{text[place]}").search(text, place + 1)
    return len(text) if found is None else found.end() - 1


@functools.cache
def is_readable(word: str) -> bool:
    """Whether Hydra's grammar takes a word."""
    try:
        OverridesParser.create().parse_overrides([word])
    except HydraException:
        return False
    return True
