"""Drawn splits: exact shares, strata that keep theirs, groups that stay whole, folds that cover every row once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.splits.draws import apportion, choose, fold_numbers, generator
from mmbert.data.splits.splits import Drawing, few_shot, group_codes, split_rows
from mmbert.data.tables.fingerprint import file_fingerprint, splits_fingerprint
from mmbert.data.tables.table import Table


def table(folder, rows, header="text,label,speaker"):
    path = folder / "m.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def people(tmp_path):
    """90 rows: two thirds are 'a', every three neighbours are one speaker's, the last speaker is not known."""
    rows = [f"t{i},{'aab'[i % 3]},{f's{i // 3}' if i < 87 else ''}" for i in range(90)]
    return table(tmp_path, rows)


def labels(data, split):
    return data.cells("label", split)


# shares


def test_shares_are_exact_and_every_row_is_somewhere_once(people):
    data = MultimodalData(people, split={"val": 0.1, "test": 0.2}, label="label")
    assert {name: len(rows) for name, rows in data.rows.items()} == {"train": 63, "val": 9, "test": 18}
    assert sorted(np.concatenate(list(data.rows.values()))) == list(range(90))
    assert all((np.diff(rows) > 0).all() for rows in data.rows.values())


def test_classes_keep_their_shares(people):
    data = MultimodalData(people, split={"val": 0.1, "test": 0.2}, label="label")
    assert [labels(data, split).count("b") for split in ("train", "val", "test")] == [21, 3, 6]
    counts = {
        labels(MultimodalData(people, split={"val": 0.1, "test": 0.2, "stratify": None, "seed": s}), "val").count("b")
        for s in range(12)
    }
    assert len(counts) > 1, "without strata the shares move with the seed"


def test_the_seed_alone_decides(people):
    def rows(split_seed, **options):
        return splits_fingerprint(
            MultimodalData(people, split={"val": 0.1, "test": 0.2, "seed": split_seed}, **options).rows
        )

    assert rows(0) == rows(0, seed=7, batch_size=3)
    assert len({rows(seed) for seed in range(5)}) == 5


def test_a_column_that_lacks_val_has_it_drawn_from_train_and_keeps_its_test(tmp_path):
    path = table(tmp_path, [f"t{i},a,{'test' if i >= 16 else 'train'}" for i in range(20)], "text,label,split")
    data = MultimodalData(path, split={"val": 0.25})
    assert [len(data.rows[name]) for name in ("train", "val", "test")] == [12, 4, 4]
    assert data.rows["test"].tolist() == [16, 17, 18, 19]


def test_rows_that_a_column_names_are_never_drawn_anew_in_silence(tmp_path):
    path = table(tmp_path, [f"t{i},a,{'val' if i < 4 else 'train'}" for i in range(20)], "text,label,split")
    with pytest.raises(ConfigError, match=r"names 4 rows 'val' in its column 'split', and data.split.val would draw"):
        MultimodalData(path, split={"val": 0.1}, splits={"train": "train", "val": "val"})
    anew = MultimodalData(path, {"split": None}, {"train": "train", "val": "val"}, split={"val": 0.5})
    assert len(anew.rows["val"]) == 10


@settings(max_examples=60, deadline=None)
@given(
    strata=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 9),
)
def test_any_strata_give_the_exact_number_and_miss_their_own_share_by_less_than_one(strata, share, seed):
    strata = np.array(strata)
    chosen = choose(strata, None, share, generator(seed, 0))
    assert len(chosen) == len(set(chosen.tolist())) == round(share * len(strata))
    for value in np.unique(strata):
        assert abs((strata[chosen] == value).sum() - share * (strata == value).sum()) < 1


def test_the_largest_remainders_are_rounded_up():
    assert apportion(np.array([1.6, 2.5, 0.9]), 5, generator(0, 0)).tolist() == [2, 2, 1]


# groups


def test_a_group_is_never_in_two_splits(people):
    data = MultimodalData(people, split={"val": 0.2, "test": 0.2, "group": "speaker"}, label="label")
    speakers = {split: set(data.cells("speaker", split)) - {None} for split in data.rows}
    assert not speakers["train"] & speakers["val"] | speakers["train"] & speakers["test"]
    assert not speakers["val"] & speakers["test"]
    assert [len(data.rows[split]) for split in ("val", "test")] == pytest.approx([18, 18], abs=3)
    assert labels(data, "test").count("b") == pytest.approx(6, abs=1)


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.integers(0, 8), min_size=12, max_size=60),
    folds=st.integers(2, 3),
    seed=st.integers(0, 5),
    grouped=st.booleans(),
)
def test_folds_cover_every_row_once_and_keep_groups_whole(groups, folds, seed, grouped):
    groups = np.array(groups)
    if len(set(groups.tolist())) < folds:
        return
    strata = groups % 2
    dealt = fold_numbers(strata, groups if grouped else None, folds, generator(seed, 2))
    assert set(dealt.tolist()) <= set(range(folds))
    if grouped:
        assert all(len(set(dealt[groups == g].tolist())) == 1 for g in set(groups.tolist()))
    else:
        sizes = np.bincount(dealt, minlength=folds)
        assert sizes.max() - sizes.min() <= 1
        for value in np.unique(strata):
            shares = np.bincount(dealt[strata == value], minlength=folds)
            assert shares.max() - shares.min() <= 1


def test_folds_make_every_row_test_once(people):
    runs = [MultimodalData(people, folds=5, fold=i, label="label", split={"group": "speaker"}) for i in range(5)]
    assert sorted(np.concatenate([run.rows["test"] for run in runs])) == list(range(90))
    for run in runs:
        assert sorted(np.concatenate(list(run.rows.values()))) == list(range(90))
        assert len(run.rows["val"]) == pytest.approx(7, abs=3)


# few shot


def test_few_shot_takes_so_many_of_each_class_from_train_alone(people):
    options = {"split": {"val": 0.1, "test": 0.2}, "label": "label"}
    data = MultimodalData(people, per_class=5, **options)
    whole = MultimodalData(people, **options)
    assert sorted(labels(data, "train")) == ["a"] * 5 + ["b"] * 5
    assert set(data.rows["train"]) <= set(whole.rows["train"])
    assert data.rows["test"].tolist() == whole.rows["test"].tolist()
    other = MultimodalData(people, per_class=5, split={**options["split"], "seed": 0}, label="label")
    assert other.rows["train"].tolist() == data.rows["train"].tolist()


def test_a_class_with_too_few_rows_is_named(people):
    with pytest.raises(DataError, match="data.per_class=30: the class 'b' of 'label' has 21 rows in train"):
        MultimodalData(people, per_class=30, split={"val": 0.1, "test": 0.2}, label="label")


def test_few_shot_can_take_all_of_a_rare_class(people):
    options = {"split": {"val": 0.1, "test": 0.2}, "label": "label"}
    whole = MultimodalData(people, **options)
    data = MultimodalData(people, per_class=30, per_class_rare="keep", **options)
    there = list(labels(whole, "train"))
    assert there.count("a") > 30 and there.count("b") == 21
    assert sorted(labels(data, "train")) == ["a"] * 30 + ["b"] * 21


# mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": {"val": 1.5}}, r"data.split.val=1.5: a share of the rows between 0 and 1"),
        ({"split": {"val": 0.5, "test": 0.5}}, "leave no row to train on"),
        ({"folds": 5}, "data.folds=K and data.fold=I belong together"),
        ({"folds": 5, "fold": 5}, "data.fold=5: folds are counted from 0 to 4"),
        ({"folds": 5, "fold": 0, "split": {"test": 0.1}}, "both make a test split"),
        ({"folds": 91, "fold": 0}, "data.folds=91, but there are only 90 rows"),
        ({"split": {"val": 0.1}}, "There is no split 'test'.*data.split.test=0.1.*data.splits.test=null"),
        ({"split": {"val": 0.001, "test": 0.1}}, "The split 'val' has no row: data.split.val=0.001 of 90 rows"),
        ({"columns": {"split": None}}, "Without a split column the splits are drawn"),
    ],
)
def test_drawings_that_cannot_be(people, options, message):
    with pytest.raises(ConfigError, match=message):
        MultimodalData(people, **options)


def test_columns_that_are_not_there(people):
    with pytest.raises(DataError, match="no column 'speker'. Did you mean 'speaker'"):
        MultimodalData(people, split={"val": 0.1, "test": 0.1, "group": "speker"})
    with pytest.raises(
        DataError, match="no column 'split'.*or draw the splits: data.split.val=0.1 data.split.test=0.1"
    ):
        MultimodalData(people)


# fingerprints


def test_fingerprints_change_with_what_they_stand_for(people, tmp_path):
    first = file_fingerprint(people)
    (tmp_path / "copy.csv").write_bytes(people.read_bytes())
    assert file_fingerprint(tmp_path / "copy.csv") == first
    people.write_text(people.read_text().replace("t0", "t1", 1))
    assert file_fingerprint(people) != first
    rows = {"train": np.array([0, 1]), "val": np.array([2])}
    assert splits_fingerprint(rows) == splits_fingerprint(dict(reversed(rows.items())))
    assert splits_fingerprint(rows) != splits_fingerprint({"train": np.array([0]), "val": np.array([1, 2])})


# the functions themselves


def test_rows_are_those_that_the_column_names(tmp_path):
    path = table(tmp_path, ["t0,tr,s", "t1,dev,s", "t2,tr,", "t3,te,r", "t4,other,"], "text,split,speaker")
    names = {"train": "tr", "val": "dev", "test": "te"}
    rows = split_rows(Table(path), "split", names, Drawing())
    assert {name: list(part) for name, part in rows.items()} == {"train": [0, 2], "val": [1], "test": [3]}
    assert list(split_rows(Table(path), "split", names, Drawing(), only=["all"])["all"]) == [0, 1, 2, 3, 4]
    codes = group_codes(Table(path), "speaker", np.arange(5))
    assert codes[0] == codes[1] and len(set(codes)) == 4  # s twice, r, and two rows of a group each


def test_few_shot_takes_so_many_rows_of_each_class(tmp_path):
    cells = Table(table(tmp_path, ["x,a,", "x,a,", "x,b,", "x,,", "x,a,", "x,b,"]))
    rows = np.array([1, 2, 3, 5])  # one a, two b, one without a label
    assert list(few_shot(cells, rows, "label", 1, seed=0))[0] == 1
    assert list(few_shot(cells, rows, "label", 2, seed=0, keep_rare=True)) == [1, 2, 5]
    with pytest.raises(DataError, match="the class 'a' of 'label' has 1 rows"):
        few_shot(cells, rows, "label", 2, seed=0)


@pytest.mark.parametrize("seed", range(4))
def test_groups_and_classes_are_the_same_however_they_are_written(tmp_path, seed):
    """Twelve speakers of six rows, written in three ways; two classes, written in four."""
    speakers = ["s{}", "s{} ", " s{}"]
    rows = [f"t{i},{['cat', ' cat', '1', '1.0'][i % 4]},{speakers[i % 3].format(i // 6)}" for i in range(72)]
    path = table(tmp_path, rows)
    options = {"label": "label", "split": {"val": 0.2, "test": 0.2, "group": "speaker", "seed": seed}}
    data = MultimodalData(path, **options)
    held = [{cell.strip() for cell in data.cells("speaker", split)} for split in ("train", "val", "test")]
    assert sum(map(len, held)) == len(set.union(*held)) == 12
    few = MultimodalData(path, per_class=3, **options)
    assert sorted({"cat": "cat", "1.0": "1"}.get(c.strip(), c.strip()) for c in labels(few, "train")) == [
        *["1"] * 3,
        *["cat"] * 3,
    ]
    alone = MultimodalData(path, label="label", split={"val": 0.25, "test": 0.25, "seed": seed})
    assert [sum("cat" in cell for cell in labels(alone, split)) for split in ("train", "val", "test")] == [18, 9, 9]
