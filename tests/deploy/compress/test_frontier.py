"""Which points no other one beats."""

import math

from hypothesis import given
from hypothesis import strategies as st

from mmbert.deploy.compress.frontier import frontier

POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=8)


def test_by_hand():
    #                cheapest, beaten, as good for more, best, unknown
    assert frontier([1, 2, 3, 4, 0], [0.5, 0.4, 0.5, 0.9, math.nan]) == [True, False, False, True, False]
    assert frontier([1, 1], [0.5, 0.5]) == [True, True]


@given(points=POINTS)
def test_whoever_is_off_it_is_beaten_by_one_on_it_and_whoever_is_on_it_by_none(points):
    on = frontier([cost for cost, _ in points], [quality for _, quality in points])
    for (cost, quality), there in zip(points, on, strict=True):
        better = [
            other
            for (c, q), other in zip(points, on, strict=True)
            if c <= cost and q >= quality and (c, q) != (cost, quality)
        ]
        assert there is not bool(better) and (there or any(better))
