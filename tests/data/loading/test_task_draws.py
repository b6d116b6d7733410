"""How often tasks come in an epoch, counted; by seed, in processes and after an interruption."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.errors import ConfigError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.loading import length_buckets, samplers
from mmbert.data.loading.length_buckets import BucketedOrder
from mmbert.data.loading.samplers import SeededSampler, Seen
from mmbert.data.loading.task_draws import TaskDraws
from mmbert.tasks.classification import Classification
from mmbert.tasks.regression import Regression


def places(**counts):
    """Places of tasks whose labelled samples are apart."""
    found, start = {}, 0
    for name, count in counts.items():
        found[name], start = np.arange(start, start + count), start + count
    return found


@pytest.mark.parametrize(
    ("how", "quotas"),
    [
        ("balanced", {"rare": 500, "usual": 500}),
        ("proportional", {"rare": 100, "usual": 900}),
        ("sqrt", {"rare": 250, "usual": 750}),  # roots 10 and 30
    ],
)
def test_tasks_come_as_often_as_asked(how, quotas):
    apart = places(rare=100, usual=900)
    draws = TaskDraws.of(apart, how, 1000)
    assert draws.quotas == quotas
    seen = Counter(SeededSampler(range(1000), seed=0, draws=draws))
    for name, quota in quotas.items():
        counts = [seen[place] for place in apart[name]]
        assert sum(counts) == quota and max(counts) - min(counts) <= 1  # each as often as the others, give or take one
    assert (
        draws.described() == f"rare {quotas['rare']:,} (of 100 labelled), usual {quotas['usual']:,} (of 900 labelled)"
    )


@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=5),
    size=st.integers(1, 200),
    how=st.sampled_from(["balanced", "sqrt", "proportional"]),
    seed=st.integers(0, 5),
)
@settings(deadline=None, max_examples=50)
def test_parts_are_whole_and_make_the_epoch(sizes, size, how, seed):
    apart = places(**{f"t{i}": count for i, count in enumerate(sizes)})
    draws = TaskDraws.of(apart, how, size)
    assert sum(draws.quotas.values()) == (size if any(sizes) else 0)
    if any(sizes):
        order = list(SeededSampler(range(size), seed, draws=draws))
        assert len(order) == size and set(order) <= {place for found in apart.values() for place in found}
        if how == "balanced":
            assert max(draws.quotas.values()) - min(draws.quotas.values()) <= 1


def test_the_order_follows_from_seed_and_epoch_and_goes_on_where_it_stopped():
    draws = TaskDraws.of(places(rare=3, usual=40), "balanced", 43)
    sampler = SeededSampler(range(43), seed=0, draws=draws)
    epochs = [list(sampler) for _ in range(3)]
    again = SeededSampler(range(43), seed=0, draws=draws)
    again.set_epoch(2)
    again.skip_once(Seen(10, 1))
    assert list(again) == epochs[2][10:] and epochs[0] != epochs[1]
    assert list(SeededSampler(range(43), seed=1, draws=draws)) not in epochs


@pytest.mark.parametrize("by_length", [False, True])
def test_processes_share_the_draws(monkeypatch, by_length):
    draws = TaskDraws.of(places(rare=4, usual=60), "balanced", 64)
    seen = Counter()
    for rank in range(2):
        monkeypatch.setattr(samplers, "rank_and_world_size", lambda rank=rank: (rank, 2))
        order = (
            BucketedOrder(range(64), 3, np.arange(64.0), 8, draws=draws)
            if by_length
            else SeededSampler(range(64), 3, draws=draws)
        )
        own = list(order)
        assert len(own) == 32
        seen.update(own)
    assert sum(seen[place] for place in range(4)) == 32 and sum(seen.values()) == 64
    assert length_buckets.POOL > 1


def test_of_a_table_the_filled_cells_count(tmp_path):
    rows = [
        "text,kind,size,split",
        *(f"w{i},{'ab'[i % 2] if i < 4 else ''},{i if i >= 4 else ''},train" for i in range(20)),
    ]
    (tmp_path / "t.csv").write_text("\n".join([*rows, "v,a,1,val", "w,b,2,test"]) + "\n")
    data = MultimodalData(tmp_path / "t.csv", num_workers=0)
    data.tasks = {"kind": Classification(2, "kind", ["a", "b"]), "size": Regression(2, "size")}
    draws = data.draw_by_task("balanced", data.tasks)
    assert draws.quotas == {"kind": 10, "size": 10}
    assert draws.places["kind"].tolist() == [0, 1, 2, 3] and len(draws.places["size"]) == 16
    assert data.notes[-1] == (
        "task_sampling: samples of an epoch by task: kind 10 (of 4 labelled), size 10 (of 16 labelled)"
    )
    with pytest.raises(ConfigError, match="task_sampling=balancd: Did you mean 'balanced'"):
        data.draw_by_task("balancd", data.tasks)
