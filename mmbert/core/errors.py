"""The errors a user can cause. A command prints their message alone and exits with code 2."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from mmbert.core.shown_text import printable


class MmbertError(Exception):
    """Base of every error that a user can cause; the message says what, where and what to do next."""

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(without_worker_traceback(message)))


class ConfigError(MmbertError):
    """An option is unknown, has a wrong value, or contradicts another."""


class DataError(MmbertError):
    """A table, a row or a file cannot be used; the message names the file and the row."""


class InputError(MmbertError):
    """A module was called with tensors or values that break its contract."""


class TrainingError(MmbertError):
    """Training cannot go on; the message says where it stopped and what to try."""


class WeightsError(MmbertError):
    """Pretrained weights cannot be had; the message names what can be used instead."""


def without_worker_traceback(message: str) -> str:
    """The message alone. torch re-raises a loader worker's error with the worker's traceback as its message."""
    if not str(message).startswith("Caught "):
        return message
    return re.split(r"\nmmbert\.core\.errors\.\w+: ", str(message))[-1].rstrip()


#: Choices that a message lists: a table may have thousands of classes or columns.
MOST_CHOICES = 60
#: Characters of each: a cell may hold a whole text.
LONGEST_CHOICE = 80


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint such as ``Did you mean 'concat'? Choices: concat, mean.`` for an unknown word."""
    known = [str(choice) for choice in choices]
    short = [choice for choice in known if len(choice) <= LONGEST_CHOICE]
    close = difflib.get_close_matches(str(word), short, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    more = f" and {len(known) - MOST_CHOICES} more" if len(known) > MOST_CHOICES else ""
    listed = [choice if len(choice) <= LONGEST_CHOICE else f"{choice[:LONGEST_CHOICE]}…" for choice in known]
    return f"{hint}Choices: {', '.join(listed[:MOST_CHOICES])}{more}." if known else hint.strip()
