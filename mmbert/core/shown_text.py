"""Text of others where it is shown: names, cells and messages that a terminal or a page must not take for orders.

A class's or a file's name may hold anything: an escape sequence that rewrites the terminal, HTML, the end of a table's
cell. HTML pages use ``html.escape``; here is the same for terminals and for Markdown.
"""

from __future__ import annotations

import re
import unicodedata

#: Characters that are no text: all of Unicode's control characters, and those that turn the direction of what follows.
TURNING = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
#: What begins something in a line of Markdown: HTML and entities, a cell's end, code, a link.
MARKDOWN = re.compile(r"[&<>|`\[\]]")
AS_ENTITY = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def printable(text: object) -> str:
    """Text for a terminal: what would be an order to it is written out as in Python; lines and tabs stay."""
    return "".join(written_out(letter) for letter in str(text))


def written_out(letter: str) -> str:
    """A character as it is, or as Python writes it where it is no text."""
    plain = letter in "\n\t" or not (letter in TURNING or unicodedata.category(letter) == "Cc")
    return letter if plain else letter.encode("unicode_escape").decode("ascii")


def markdown_text(text: object) -> str:
    """Text for a paragraph or a cell of Markdown, in one line: it is shown as it is, whatever is in it."""
    line = " ".join(printable(text).split())
    return MARKDOWN.sub(lambda found: AS_ENTITY.get(found[0], f"\\{found[0]}"), line)


def markdown_code(text: object) -> str:
    """Text as code in a paragraph or a cell of Markdown, in one line; in a cell a bar must be escaped even there."""
    line = " ".join(printable(text).split())
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}".replace("|", "\\|")
