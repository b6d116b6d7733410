"""The terminal, as all commands write to it: text is shown as it is, and none of it is an order to the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from mmbert.core.shown_text import printable


class PlainConsole(Console):
    """rich's console, whose strings are text alone: no markup unless asked for, no colouring of numbers, no escapes.

    Args:
        markup: whether ``[red]`` in a string is an order; what comes from others must then pass ``rich.markup.escape``.
        **options: of ``rich.console.Console``.
    """

    def __init__(self, markup: bool = False, **options: Any) -> None:
        super().__init__(highlight=False, markup=markup, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """See rich: every string that is printed, and every cell and title of a table, comes through here."""
        return super().render_str(printable(text), **options)
