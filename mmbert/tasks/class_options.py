"""Class names: read from label cells, put in an order a person expects, weighed by how rare they are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from mmbert.core.errors import ConfigError, nearest
from mmbert.data.labels import finite_number
from mmbert.data.tables.cells import cell_key

#: A column with more different numbers than this that hardly repeat holds quantities, not classes.
MANY_CLASSES = 100


def natural_order(names: Iterable[str]) -> list[str]:
    """Numbers first and by value (-3 < 2 < 10), then words alphabetically, upper and lower case alike."""

    def key(name: str) -> tuple[int, float, str, str]:
        number = finite_number(name)
        return (1, 0.0, name.casefold(), name) if number is None else (0, number, "", name)

    return sorted(set(names), key=key)


class ClassIndex:
    """Finds the class that a label names.

    A name that is written like a class's is that class; else one that is equal to it as cells are: ``0.0`` finds ``0``.

    Args:
        classes: C names.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._written = {name: i for i, name in enumerate(classes)}
        self._keys: dict[str | None, int] = {}
        for i, name in enumerate(classes):
            self._keys.setdefault(cell_key(name), i)

    def find(self, name: str) -> int | None:
        """The class's place, 0 to C - 1; None if there is no such class."""
        place = self._written.get(name)
        return self._keys.get(cell_key(name)) if place is None else place

    def counts(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Numbers by name -> numbers by the names of these classes; of others none."""
        names = list(self._written)
        found: Counter[str] = Counter()
        for name, count in counts.items():
            place = self.find(str(name))
            if place is not None:
                found[names[place]] += int(count)
        return dict(found)


def joined_counts(names: Iterable[str]) -> dict[str, int]:
    """How often each class occurs. Names that are equal as cells are one class, called by the shortest of them.

    Of names as short, the most frequent one counts, and of those the first of the alphabet.
    """
    written = Counter(names)
    same: dict[str | None, list[str]] = {}
    for name in written:
        same.setdefault(cell_key(name), []).append(name)
    return {
        min(group, key=lambda name: (len(name), -written[name], name)): sum(written[name] for name in group)
        for group in same.values()
    }


def checked_classes(classes: Sequence[str], column: str, least: int) -> list[str]:
    """The class names as text.

    Raises:
        ConfigError: there are fewer than ``least``, or one is named twice.
    """
    names = [str(name) for name in classes]
    if len(names) < least:
        raise ConfigError(f"The task on column '{column}' has the classes {names}; it needs at least {least}.")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ConfigError(f"The task on column '{column}' names the class '{twice[0]}' twice.")
    return names


def checked_weights(
    class_weights: str | Sequence[float] | None,
    balanced: Sequence[float] | None,
    classes: Sequence[str],
    column: str,
) -> Tensor | None:
    """What the option ``class_weights`` asks for, as (C,) float32, or None for equal weights.

    Args:
        class_weights: None, ``"balanced"``, or one non-negative number for each class in the order of ``classes``.
        balanced: the weights that ``"balanced"`` means; None if the train split was not counted.
        classes: C names.
        column: for messages.

    Raises:
        ConfigError: another word, a wrong number of weights, a negative one, or nothing to balance by.
    """
    if class_weights is None:
        return None
    if isinstance(class_weights, str):
        if class_weights != "balanced":
            hint = nearest(class_weights, ["balanced", "null"])
            raise ConfigError(f"class_weights='{class_weights}' on column '{column}' is unknown. {hint}")
        if balanced is None:
            raise ConfigError(
                f"class_weights=balanced on column '{column}' needs class_counts, which training learns from the "
                "train split. Outside of training pass the result of Task.fit_labels, or the weights themselves."
            )
        return torch.tensor(balanced, dtype=torch.float32)
    weights = [float(weight) for weight in class_weights]
    if len(weights) != len(classes):
        raise ConfigError(
            f"class_weights on column '{column}' has {len(weights)} numbers for {len(classes)} classes. "
            f"Give one for each of {', '.join(classes)}, in this order."
        )
    if not all(math.isfinite(w) and w >= 0 for w in weights) or not any(weights):
        raise ConfigError(f"class_weights={weights} on column '{column}': give finite numbers >= 0, not all of them 0.")
    return torch.tensor(weights, dtype=torch.float32)


def checked_smoothing(label_smoothing: float, column: str) -> float:
    """The option ``label_smoothing``.

    Raises:
        ConfigError: it lies outside [0, 1).
    """
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"label_smoothing={label_smoothing} on column '{column}' must be at least 0 and below 1.")
    return float(label_smoothing)


def count_of(name: str, counts: Mapping[str, int]) -> int:
    """Train samples of a class, at least 1, so that a class the train split lacks gets a finite weight."""
    return max(int(counts.get(name, 0)), 1)
