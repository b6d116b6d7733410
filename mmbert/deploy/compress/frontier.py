"""Which variants no other one beats: the Pareto frontier of quality against latency, and against size."""

from __future__ import annotations

import math
from collections.abc import Sequence


def frontier(costs: Sequence[float], qualities: Sequence[float]) -> list[bool]:
    """Which points lie on the Pareto frontier: no other one is as good at less cost, or better at as much.

    Args:
        costs: less is better.
        qualities: more is better; NaN = unknown, which is on no frontier.

    Returns:
        Of two points that are alike both are on it, or neither.
    """
    points = list(zip(costs, qualities, strict=True))
    known = [not (math.isnan(cost) or math.isnan(quality)) for cost, quality in points]
    return [
        there
        and not any(
            other_known and c <= cost and q >= quality and (c < cost or q > quality)
            for (c, q), other_known in zip(points, known, strict=True)
        )
        for (cost, quality), there in zip(points, known, strict=True)
    ]
