"""Numbers of explanations with their intervals, as tables in the terminal show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def number(found: Mapping[str, Any]) -> str:
    """``+0.123 [+0.101, +0.150]``."""
    return with_interval(found, lambda value: f"{value:+.{decimals(value)}f}")


def magnitude(found: Mapping[str, Any]) -> str:
    """``0.123 [0.101, 0.150]``: what is never below 0 needs no sign."""
    return with_interval(found, lambda value: f"{value:.{decimals(value)}f}")


def decimals(value: float) -> int:
    """Three digits behind the point, fewer of large numbers, so that a table keeps within 80 columns."""
    return 3 if abs(value) < 9.9995 else 2 if abs(value) < 99.995 else 1


def percent(found: Mapping[str, Any]) -> str:
    """``12.3 % [10.1, 15.0]``."""
    return with_interval(found, lambda value: f"{100 * value:.1f}", " %")


def with_interval(found: Mapping[str, Any], shown: Callable[[float], str], unit: str = "") -> str:
    """A value and its interval, where there are any."""
    if found["value"] is None:
        return "–"
    value = f"{shown(found['value'])}{unit}"
    return value if found["low"] is None else f"{value} [{shown(found['low'])}, {shown(found['high'])}]"
