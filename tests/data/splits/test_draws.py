"""Random choices of rows: exact sizes, strata that keep their share, whole groups, even folds."""

import numpy as np
import pytest

from mmbert.core.errors import ConfigError
from mmbert.data.splits.draws import apportion, choose, choose_groups, fold_numbers, generator

STRATA = np.repeat([0, 1, 2], [50, 30, 20])


def test_streams_are_independent_of_each_other_and_seeds_differ():
    first = generator(3, 0).integers(0, 10**9, 4)
    assert (first == generator(3, 0).integers(0, 10**9, 4)).all() and (
        first == generator(-3, 0).integers(0, 10**9, 4)
    ).all()
    assert (first != generator(3, 1).integers(0, 10**9, 4)).any()
    assert (first != generator(4, 0).integers(0, 10**9, 4)).any()


def test_each_stratum_keeps_its_share():
    places = choose(STRATA, None, 0.1, generator(0, 0))
    assert len(set(places.tolist())) == 10
    assert np.bincount(STRATA[places]).tolist() == [5, 3, 2]
    assert sorted(places.tolist()) != sorted(choose(STRATA, None, 0.1, generator(1, 0)).tolist())


@pytest.mark.parametrize(("quotas", "total", "expected"), [([1.2, 2.7, 0.1], 4, [1, 3, 0]), ([0.6, 0.6, 0.8], 2, None)])
def test_whole_numbers_are_nearest_to_the_quotas_and_add_up(quotas, total, expected):
    found = apportion(np.array(quotas), total, generator(0, 0))
    assert found.sum() == total and (np.abs(found - quotas) < 1).all()
    if expected is not None:
        assert found.tolist() == expected
    else:
        assert found[2] == 1  # the largest remainder; which of the equal two is rounded up, chance decides
        drawn = {tuple(apportion(np.array(quotas), total, generator(seed, 0))) for seed in range(20)}
        assert drawn == {(1, 0, 1), (0, 1, 1)}


def test_groups_are_chosen_whole_and_near_the_share():
    groups = np.arange(100) // 5
    places = choose_groups(STRATA, groups, 0.3, generator(0, 0))
    chosen = set(groups[places].tolist())
    assert sorted(places.tolist()) == [place for place in range(100) if groups[place] in chosen]
    assert np.abs(np.bincount(STRATA[places], minlength=3) - np.array([15, 9, 6])).max() <= 5
    assert sorted(choose(STRATA, groups, 0.3, generator(0, 0)).tolist()) == sorted(places.tolist())


def test_folds_are_equal_in_every_stratum_and_keep_groups_whole():
    dealt = fold_numbers(STRATA, None, 5, generator(0, 0))
    for stratum, size in enumerate((10, 6, 4)):
        assert np.bincount(dealt[stratum == STRATA]).tolist() == [size] * 5
    groups = np.arange(100) // 5
    dealt = fold_numbers(STRATA, groups, 5, generator(0, 0))
    assert set(dealt.tolist()) == set(range(5))
    assert all(len(set(dealt[groups == group].tolist())) == 1 for group in range(20))


def test_more_folds_than_rows_or_groups_are_refused():
    with pytest.raises(ConfigError, match="data.folds=5, but there are only 3 rows"):
        fold_numbers(np.zeros(3, int), None, 5, generator(0, 0))
    with pytest.raises(ConfigError, match="data.folds=5, but there are only 2 groups"):
        fold_numbers(np.zeros(8, int), np.arange(8) // 4, 5, generator(0, 0))
