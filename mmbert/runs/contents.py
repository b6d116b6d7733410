"""What stands in the JSON and YAML files of a run's folder, as shapes that a file is held against when it is read.

A shape is one of the words below, ``[shape]`` (a list of such things) or ``{key: shape}``. A key that ends in ``!``
must be there, ``...`` stands for all keys that are not named; others need not be there. None is allowed wherever a key
need not be there, and among texts and numbers in a list. So a damaged file is one message that names the place, and
who reads it need not be on his guard.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

#: Numbers beyond are no measurements; their squares would overflow.
LARGEST_MEASUREMENT = 1e150


def is_measurement(value: Any) -> bool:
    """Whether a value is a finite number of ordinary size, and no boolean."""
    return is_int64(value) or isinstance(value, float) and abs(value) < LARGEST_MEASUREMENT


def is_int64(value: Any) -> bool:
    """Whether a value is a whole number that 64 bits hold."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


ANY_TEXT = ("a text", lambda value: isinstance(value, str))
ANY_NUMBER = ("a number", is_measurement)
ANY_WHOLE = ("a whole number", is_int64)
ANY_FLAG = ("true or false", lambda value: isinstance(value, bool))
ANYTHING = ("anything", lambda value: True)

#: In ``metrics.json`` and ``evaluation.json``: how a metric was computed, by its name.
METRIC_NOTES = "metric_notes"

CONFIG_SHAPE: dict[Any, Any] = {
    "fusion": {"_target_": ANY_TEXT, ...: ANYTHING},
    "encoders": {...: ANYTHING},
    "tasks": {...: ANYTHING},
    "seed": ANY_WHOLE,
    "privacy": {"mask": [ANYTHING], ...: ANYTHING},
    "study": {"name": ANY_TEXT, "question": ANY_TEXT, "axes": [ANY_TEXT], "metric": ANY_TEXT, ...: ANYTHING},
    ...: ANYTHING,
}
METRICS_SHAPE: dict[Any, Any] = {
    "checkpoint": {"path": ANY_TEXT, "monitor": ANY_TEXT, "value": ANY_NUMBER, ...: ANYTHING},
    "inputs": {
        "table": ANY_TEXT,
        "encoders": {...: {"column!": ANY_TEXT, "kind!": ANY_TEXT, "shown_as": ANY_TEXT, ...: ANYTHING}},
        ...: ANYTHING,
    },
    METRIC_NOTES: {...: ANY_TEXT},
    "seed": ANY_WHOLE,
    **dict.fromkeys(("epochs", "steps", "wall_seconds", "fit_seconds", "step_milliseconds"), ANY_NUMBER),
    **dict.fromkeys(("peak_memory_mib", "parameters_trained", "flops_forward"), ANY_NUMBER),
    **dict.fromkeys(("splits_fingerprint", "data_fingerprint"), ANY_TEXT),
    ...: ANYTHING,
}
ENVIRONMENT_SHAPE: dict[Any, Any] = {
    "git": dict.fromkeys(("package", "folder"), {"commit": ANY_TEXT, "dirty": ANY_FLAG, ...: ANYTHING})
    | {...: ANYTHING},
    "packages": {...: ANY_TEXT},
    "cpu": {...: ANYTHING},
    "gpus": [ANYTHING],
    ...: ANYTHING,
}
JOB_SHAPE: dict[Any, Any] = {"hash": ANY_TEXT, "command": ANY_TEXT, "overrides": [ANY_TEXT], ...: ANYTHING}
ERROR_SHAPE: dict[Any, Any] = {"type": ANY_TEXT, "message": ANY_TEXT, "traceback": ANY_TEXT, ...: ANYTHING}
PRUNED_SHAPE: dict[Any, Any] = {"validations": ANY_WHOLE, "value": ANY_NUMBER, ...: ANYTHING}
SHARES_SHAPE: dict[Any, Any] = {"modalities!": [ANY_TEXT], "mean!": [ANY_NUMBER], ...: ANYTHING}
DIAGNOSTICS_SHAPE: dict[Any, Any] = {
    "val_by_epoch": [{"epoch!": ANY_WHOLE, ...: SHARES_SHAPE}],
    ...: {...: SHARES_SHAPE},
}
MEASURED_SHAPE: dict[Any, Any] = {"metrics!": {...: ANY_NUMBER}, ...: ANYTHING}
ROBUSTNESS_SHAPE: dict[Any, Any] = {
    "splits": {
        ...: {
            "clean": {"metrics": {...: ANY_NUMBER}, ...: ANYTHING},
            "subsets": [{"modalities!": [ANY_TEXT], "samples!": ANY_WHOLE, **MEASURED_SHAPE}],
            "noise": [{"modalities!": [ANY_TEXT], "level!": ANY_NUMBER, **MEASURED_SHAPE}],
            "missing": [{"mechanism!": ANY_TEXT, "rate!": ANY_NUMBER, **MEASURED_SHAPE}],
            ...: ANYTHING,
        }
    },
    ...: ANYTHING,
}
HYDRA_SHAPE: dict[Any, Any] = {
    "hydra": {"runtime": {"choices": {...: ANYTHING}, ...: ANYTHING}, ...: ANYTHING},
    ...: ANYTHING,
}
OVERRIDES_SHAPE = [ANYTHING]


def shaped(shape: Any) -> Callable[[Any], str | None]:
    """What says where a file's content has another shape."""
    return lambda content: shape_fault(content, shape)


def shape_fault(value: Any, shape: Any, where: str = "") -> str | None:
    """Where a value has another shape than it should, and what it should be; None if it has that shape."""
    return next(shape_faults(value, shape, where), None)


def shape_faults(value: Any, shape: Any, where: str) -> Iterator[str]:
    """Every place where a value has another shape."""
    named = where or "all of it"
    if isinstance(shape, tuple):
        wanted, fits = shape
        if not fits(value):
            yield f"{named} is {shown_value(value)}, but should be {wanted}"
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{named} is {shown_value(value)}, but should be a list"
            return
        for number, item in enumerate(value):
            if item is not None or not isinstance(shape[0], tuple):
                yield from shape_faults(item, shape[0], f"{where}[{number}]")
    elif not isinstance(value, Mapping):
        yield f"{named} is {shown_value(value)}, but should be a group of values by name"
    else:
        yield from group_faults(value, shape, where)


def group_faults(value: Mapping[Any, Any], shape: Mapping[Any, Any], where: str) -> Iterator[str]:
    """Every place of a dictionary that has another shape."""
    needed = {str(key)[:-1]: inner for key, inner in shape.items() if key is not ... and key.endswith("!")}
    named = {**{key: inner for key, inner in shape.items() if key is not ... and not key.endswith("!")}, **needed}
    for key in needed:
        if value.get(key) is None:
            yield f"{where or 'it'} has no '{key}'"
    for key, inner in value.items():
        if not isinstance(key, str):
            yield f"{where or 'it'} has the name {shown_value(key)}, which is no text"
        elif inner is not None:
            yield from shape_faults(inner, named.get(key, shape.get(..., ANYTHING)), f"{where}.{key}" if where else key)


def metrics_fault(content: Mapping[str, Any]) -> str | None:
    """What is wrong with ``metrics.json``: keys with a ``/`` are metrics, and those are numbers."""
    measured = {key: ANY_NUMBER for key in content if "/" in str(key)}
    return shape_fault(content, {**METRICS_SHAPE, **measured})


def diagnostics_fault(content: Mapping[str, Any]) -> str | None:
    """What is wrong with ``diagnostics.json``: each modality has one mean."""
    wrong = shape_fault(content, DIAGNOSTICS_SHAPE)
    if wrong:
        return wrong
    groups = [*content.values(), *(content.get("val_by_epoch") or [])]
    shares = [part for group in groups if isinstance(group, Mapping) for part in group.values() if part is not None]
    for part in shares:
        if isinstance(part, Mapping) and len(part["modalities"]) != len(part["mean"]):
            return f"there are {len(part['modalities'])} modalities and {len(part['mean'])} means"
    return None


def shown_value(value: Any) -> str:
    """A value as a message shows it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:60]}…"
