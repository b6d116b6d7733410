"""Folds: every row is held out once, and neither it nor its group is ever trained on meanwhile."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.analysis.data_quality.folds import make_folds
from mmbert.core.errors import ConfigError


@given(st.integers(0, 10**6), st.integers(2, 6), st.booleans())
@settings(deadline=None, max_examples=40)
def test_no_row_and_no_group_is_on_both_sides(seed, count, grouped):
    random = np.random.default_rng(seed)
    size = int(random.integers(30, 90))
    rows = np.sort(random.choice(1000, size, replace=False))
    strata = random.integers(4, size=size)
    groups = random.integers(-1, 15, size=size) if grouped else None
    folds = list(make_folds(rows, strata, groups, count, seed))
    assert np.sort(np.concatenate([fold.held_out for fold in folds])).tolist() == rows.tolist()
    group_of = {} if groups is None else {int(row): int(g) for row, g in zip(rows, groups, strict=True) if g >= 0}
    for fold in folds:
        seen = np.concatenate([fold.train, fold.val])
        assert sorted([*seen, *fold.held_out]) == rows.tolist()
        held = {group_of[row] for row in fold.held_out.tolist() if row in group_of}
        assert not held & {group_of[row] for row in seen.tolist() if row in group_of}
        assert len(fold.val) and len(fold.train) > len(fold.val)


def test_a_class_with_fewer_members_than_folds_is_dealt_out():
    strata = np.array([0] * 20 + [1] * 3)
    folds = list(make_folds(np.arange(23), strata, None, 5, 0))
    assert sum((strata[fold.held_out] == 1).sum() for fold in folds) == 3
    assert max((strata[fold.held_out] == 1).sum() for fold in folds) == 1


def test_too_few_groups():
    with pytest.raises(ConfigError, match="folds=5: there are only 2 groups"):
        list(make_folds(np.arange(10), np.zeros(10, int), np.arange(10) % 2, 5, 0))
