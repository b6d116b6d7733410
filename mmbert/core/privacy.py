"""What of its samples a run may write: the config's ``privacy`` as one object, asked by whatever writes or logs.

What is read, trained on and measured never passes through here, so no number depends on it (docs/privacy.md).
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.own_patterns import OwnPattern
from mmbert.core.personal_data import PERSONAL_PATTERNS, PersonalPattern
from mmbert.core.ranges import Rule

#: Stands in files where a sample would be quoted.
WITHHELD = "withheld: privacy.samples=false"


class Privacy:
    """The settings of a run.

    Args:
        samples: whether samples, and what quotes them, may be written at all.
        mask: names of ``PERSONAL_PATTERNS`` and own expressions, ``{name: regex}``; what they find is replaced by
            ``[name]``.

    Raises:
        ConfigError: a name is unknown, or an expression cannot be used.
    """

    def __init__(self, samples: bool = True, mask: Iterable[Any] = ()) -> None:
        self.samples = samples
        self.mask = list(mask)
        self.patterns = mask_patterns(self.mask)

    @classmethod
    def of(cls, options: Mapping[str, Any] | None) -> Privacy:
        """That of a config's node ``privacy``; without one, of an earlier version, nothing is kept back."""
        given = options or {}
        samples = given.get("samples")
        return cls(True if samples is None else bool(samples), plain_entries(given.get("mask") or ()))

    @classmethod
    def strictest(cls, several: Sequence[Privacy]) -> Privacy:
        """What all of several allow."""
        entries: list[Any] = []
        for one in several:
            entries += [entry for entry in one.mask if entry not in entries]
        return cls(all(one.samples for one in several), without_namesakes(entries))

    @property
    def hides(self) -> bool:
        """Whether anything is kept back or masked."""
        return not self.samples or bool(self.patterns)

    def masked(self, text: str) -> str:
        """A text with every pattern's finds replaced by its name in brackets."""
        for name, pattern in self.patterns.items():
            text = pattern.replaced(text, f"[{name}]")
        return text

    def spans(self, text: str) -> list[tuple[int, int, str]]:
        """Where in a text patterns find something, in their order and none inside another, with the name of each."""
        found = sorted((*span, name) for name, pattern in self.patterns.items() for span in pattern.found(text))
        joined: list[tuple[int, int, str]] = []
        for first, last, name in found:
            if joined and first < joined[-1][1]:
                joined[-1] = (joined[-1][0], max(last, joined[-1][1]), joined[-1][2])
            else:
                joined.append((first, last, name))
        return joined

    def masked_value(self, value: Any) -> Any:
        """A value of JSON's types with all texts in it masked; keys of dictionaries stay."""
        if isinstance(value, str):
            return self.masked(value)
        if isinstance(value, Mapping):
            return {key: self.masked_value(part) for key, part in value.items()}
        return [self.masked_value(part) for part in value] if isinstance(value, (list, tuple)) else value

    def quote(self, value: Any) -> Any:
        """What may be written of a value that quotes a sample: masked, or None."""
        if value is None or not self.hides:
            return value
        return self.masked_value(value) if self.samples else None

    def message(self, text: str) -> str:
        """What may be written of a message that may quote a sample."""
        return self.masked(text) if self.samples else WITHHELD

    def error(self, error: BaseException) -> BaseException:
        """An error as trackers may show it: another of the same name, with ``message`` of its message."""
        if not self.hides:
            return error
        return type(type(error).__name__, (Exception,), {})(self.message(str(error)))

    def traceback_of(self, error: BaseException) -> str:
        """Where an error was raised; without samples the places in the code alone, for messages quote values."""
        if self.samples:
            return self.masked("".join(traceback.format_exception(error)))
        return "".join(traceback.format_tb(error.__traceback__))


class MaskPatterns(Rule):
    """The rule of ``privacy.mask``: each entry is a pattern's name or ``{name: regex}``."""

    wanted = f"a list of patterns ({', '.join(PERSONAL_PATTERNS)}) and own ones, {{name: regex}},"

    def accepts(self, value: Any) -> bool:
        """Whether all of it can be used."""
        return self.complaint(value) is None

    def complaint(self, value: Any) -> str | None:
        """What is wrong, with the entry at fault; None if nothing is."""
        if value is None or isinstance(value, str) and value.startswith("${"):
            return None
        if not isinstance(value, (list, tuple)):
            return f"{self.wanted} is wanted here."
        try:
            mask_patterns(value)
        except ConfigError as error:
            return str(error)
        return None


def mask_patterns(entries: Iterable[Any]) -> dict[str, PersonalPattern | OwnPattern]:
    """The patterns of ``privacy.mask`` by name, the user's own first.

    Raises:
        ConfigError: names the entry at fault.
    """
    own: dict[str, PersonalPattern | OwnPattern] = {}
    known = set()
    for entry in entries:
        if isinstance(entry, str):
            if entry not in PERSONAL_PATTERNS:
                raise ConfigError(f"there is no pattern '{entry}'. {nearest(entry, PERSONAL_PATTERNS)}")
            known.add(entry)
            continue
        if not isinstance(entry, Mapping) or not entry:
            raise ConfigError(f"{entry} is neither a pattern's name nor {{name: regex}}.")
        for name, regex in entry.items():
            if not isinstance(name, str) or not name.isidentifier() or name in PERSONAL_PATTERNS or name in own:
                why = "is taken" if name in PERSONAL_PATTERNS or name in own else "is no plain word"
                raise ConfigError(f"the name '{name}' of an own pattern {why}.")
            if not isinstance(regex, str) or not regex:
                raise ConfigError(f"the regular expression of '{name}' is no text: put quotes around it.")
            own[name] = OwnPattern(name, regex)
    return own | {name: pattern for name, pattern in PERSONAL_PATTERNS.items() if name in known}


def plain_entries(entries: Iterable[Any]) -> list[Any]:
    """The entries of ``privacy.mask`` as plain texts and dictionaries."""
    return [
        entry if isinstance(entry, str) else dict(entry) if isinstance(entry, Mapping) else entry for entry in entries
    ]


def without_namesakes(entries: Sequence[Any]) -> list[Any]:
    """The entries of several runs, where own expressions of one name but unlike get numbers."""
    found: list[Any] = []
    taken: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, str):
            found.append(entry)
            continue
        for name, regex in entry.items():
            called, number = name, 2
            while taken.get(called, regex) != regex:
                called, number = f"{name}_{number}", number + 1
            if called not in taken:
                taken[called] = regex
                found.append({called: regex})
    return found
