"""How long variants take, side by side: they take turns in one process, on the same samples, after warm-up calls."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmbert.core.types import Inputs
from mmbert.deploy.compress.variant import Variant

#: Calls of a variant, each time its turn comes, before those that count.
WARM_UP = 3


def measure_latency(
    variants: Sequence[Variant], batches: Mapping[str, Sequence[Mapping[str, Inputs]]], rounds: int
) -> dict[str, dict[str, Any]]:
    """Latencies by variant: ``p50_ms``, ``p95_ms``, ``calls``, and ``speedup``, the first variant's p50 over its own.

    ``speedup`` is the median over rounds of the ratio of the round's medians, so that what slows the machine for a
    while slows both.

    Args:
        variants: the first is the one that others are compared with.
        batches: prepared tensors by variant.
        rounds: how often each has its turn; from one to the next the order turns.
    """
    taken: dict[str, list[list[float]]] = {variant.name: [] for variant in variants}
    for number in range(rounds):
        shift = number % len(variants)
        for variant in [*variants[shift:], *variants[:shift]]:
            taken[variant.name].append(one_turn(variant, batches[variant.name]))
    first = np.array([np.median(turn) for turn in taken[variants[0].name]])
    found = {}
    for variant in variants:
        turns = taken[variant.name]
        calls = 1000 * np.concatenate([np.asarray(turn) for turn in turns])
        found[variant.name] = {
            "p50_ms": float(np.quantile(calls, 0.5)),
            "p95_ms": float(np.quantile(calls, 0.95)),
            "calls": len(calls),
            "speedup": float(np.median(first / np.array([np.median(turn) for turn in turns]))),
        }
    return found


def one_turn(variant: Variant, batches: Sequence[Mapping[str, Inputs]]) -> list[float]:
    """Seconds of one call for each batch, after some that do not count."""
    for place in range(WARM_UP):
        variant.run(batches[place % len(batches)], None)
    taken = []
    for inputs in batches:
        began = time.perf_counter()
        variant.run(inputs, None)
        taken.append(time.perf_counter() - began)
    return taken
