"""Class names: read from label cells, put in an order a person expects, weighed by how rare they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmbert.core.errors import ConfigError, nearest

#: A column with more different numbers than this that hardly repeat holds quantities, not classes.
MANY_CLASSES = 100


def natural_order(names: Iterable[str]) -> list[str]:
    """Numbers first and by value (-3 < 2 < 10), then words alphabetically, upper and lower case alike."""

    def key(name: str) -> tuple[int, float, str, str]:
        number = finite_number(name)
        return (1, 0.0, name.casefold(), name) if number is None else (0, number, "", name)

    return sorted(set(names), key=key)


def finite_number(cell: Any) -> float | None:
    """The cell as a finite number, None if it is none ("nan" and "inf" are words here)."""
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


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
