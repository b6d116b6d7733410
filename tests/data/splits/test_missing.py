"""Modalities taken away on purpose: rates and dependence that are declared, draws that depend on nothing else."""

import csv
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.errors import ConfigError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.modalities.registry import modality_named
from mmbert.data.splits.missing import Missing, rank_scores, tilted
from mmbert.data.splits.removed_cells import taken_fingerprint
from mmbert.data.tables.table import Table
from mmbert.training.build import build

COLUMNS = {"text": "text", "image": "image", "audio": "audio"}
INPUTS = dict.fromkeys(("text", "image", "audio"), modality_named("text"))  # sizes are letters: no files are needed
ROWS = 4000
MECHANISMS = ["random", "label", "value", "exclusive"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """4,000 rows of three texts of 1 to 60 letters and a label of five classes; some cells are empty."""
    path = tmp_path_factory.mktemp("missing") / "table.csv"
    random = np.random.default_rng(7)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, "label", "number"])
        writer.writeheader()
        for row in range(ROWS):
            cells = {name: "x" * int(random.integers(1, 61)) for name in COLUMNS}
            if row % 10 == 0:
                cells["audio"] = ""
            if row % 20 == 0:
                cells["image"] = ""  # one modality alone
            writer.writerow({**cells, "label": "abcde"[int(random.integers(5))], "number": row / 7})
    return Table(path)


def draw(table, rows=None, **options):
    rows = np.arange(ROWS) if rows is None else rows
    return Missing(**options).draw(table, rows, COLUMNS, INPUTS, "label")


def presence(table):
    return np.stack([~table.empty(column) for column in COLUMNS.values()], 1)


@settings(deadline=None, max_examples=20)
@given(rate=st.floats(0.02, 1), mechanism=st.sampled_from(MECHANISMS), seed=st.integers(0, 1000))
def test_as_many_samples_are_incomplete_as_declared_and_none_loses_all(table, rate, mechanism, seed):
    taken, there = draw(table, rate=rate, mechanism=mechanism, seed=seed), presence(table)
    able = there.sum(1) > 1
    share = taken[able].any(1).mean()
    # chances differ between samples, so the variance is at most that of equal ones; 4.5 deviations
    assert abs(share - rate) <= 4.5 * math.sqrt(rate * (1 - rate) / able.sum()) + 1e-12
    assert not (taken & ~there).any() and not taken[~able].any()
    assert ((there & ~taken).sum(1) >= 1).all()
    if mechanism == "exclusive":
        assert set((there & ~taken).sum(1)[taken.any(1)]) == {1}


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_row_alone_decides_and_larger_rates_add_samples(table, mechanism):
    whole = draw(table, rate=0.4, mechanism=mechanism)
    shuffled = np.random.default_rng(0).permutation(ROWS)
    assert np.array_equal(draw(table, shuffled, rate=0.4, mechanism=mechanism), whole[shuffled])
    assert not np.array_equal(draw(table, rate=0.4, mechanism=mechanism, seed=1), whole)
    more = draw(table, rate=0.8, mechanism=mechanism)
    assert (more.any(1) >= whole.any(1)).all()
    both = whole.any(1)
    assert np.array_equal(more[both], whole[both])  # and they lose what they lost before


def test_completely_at_random_depends_on_nothing(table):
    taken, there = draw(table, rate=0.6, mechanism="random"), presence(table)
    full = there.all(1)
    lost = taken[full]
    patterns, counts = np.unique(lost[lost.any(1)], axis=0, return_counts=True)
    assert len(patterns) == 6  # every proper part of three
    assert counts == pytest.approx(counts.sum() / 6, rel=0.2)
    labels = np.array(table.column("label"))
    assert [lost.any(1)[labels[full] == c].mean() for c in "abcde"] == pytest.approx([0.6] * 5, abs=0.08)
    sizes = np.array([len(cell or "") for cell in table.column("text")])[full]
    assert lost[sizes > 30, 0].mean() == pytest.approx(lost[sizes <= 30, 0].mean(), abs=0.05)


@settings(deadline=None, max_examples=8)
@given(rate=st.floats(0.3, 0.6), seed=st.integers(0, 100))
def test_classes_differ_as_the_model_says(table, rate, seed):
    """Log-odds of being incomplete lie evenly over 2 · strength, in some order of the classes."""
    taken = draw(table, rate=rate, mechanism="label", seed=seed, strength=1.5)
    able = presence(table).sum(1) > 1
    labels = np.array(table.column("label"))
    shares = np.sort([taken[able & (labels == c)].any(1).mean() for c in "abcde"])
    odds = np.log(shares / (1 - shares))
    assert odds[-1] - odds[0] == pytest.approx(3.0, abs=0.7)
    assert np.all(np.diff(odds) > 0.05)  # 0.75 apart, less what chance does to the shares of some hundred rows


def test_large_cells_are_lost_more_often_each_by_its_own_size(table):
    taken, there = draw(table, rate=0.5, mechanism="value"), presence(table)
    full = there.all(1)
    for place, name in enumerate(COLUMNS):
        sizes = np.array([len(cell or "") for cell in table.column(name)])[full]
        small, large = (taken[full][part, place].mean() for part in (sizes <= 15, sizes > 45))
        assert large > 3 * small, name


def test_chances_by_hand():
    # two samples, log-odds apart by 1, mean chance 0.5: they are a and a + 1 with a = -1/2
    chances = tilted(np.array([0.0, 1.0]), 0.5)
    assert chances == pytest.approx([1 / (1 + math.exp(0.5)), 1 / (1 + math.exp(-0.5))], abs=1e-9)
    assert tilted(np.zeros(3), 0.3) == pytest.approx([0.3] * 3)
    assert tilted(np.array([0.0, 5.0]), 1.0).tolist() == [1, 1]
    scores = rank_scores(np.array([5.0, 9, 9, 1]), np.array([True, True, True, False]))
    assert scores == pytest.approx([-2 / 3, 1 / 3, 1 / 3, 0])  # ranks 1, 2.5, 2.5 of three


def test_only_what_may_go_goes(table):
    taken = draw(table, rate=0.9, modalities=["image"])
    assert taken[:, 1].mean() > 0.8 and not taken[:, [0, 2]].any()
    pair = draw(table, rate=1.0, mechanism="exclusive", modalities=["text", "audio"])
    there = presence(table)
    both = there[:, 0] & there[:, 2]
    assert (pair[both][:, [0, 2]].sum(1) == 1).all() and not pair[:, 1].any()


def test_sizes_of_cells(tmp_path):
    (tmp_path / "five").write_bytes(b"12345")

    def size(cell, kind):
        return modality_named(kind).size(cell, tmp_path)

    assert (size("five", "audio"), size("gone", "image")) == (5, 0)
    assert size({"bytes": b"123", "path": None}, "image") == 3
    assert size({"bytes": None, "path": "five"}, "image") == 5
    assert size("some words", "text") == 10
    assert (size([[1.0, 2.0], [3.0, 4.0]], "features"), size("five", "features")) == (4, 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 1.2}, "rate=1.2: a share of the samples from 0 to 1"),
        ({"mechanism": "lable"}, "mechanism=lable is unknown. Did you mean 'label'"),
        ({"strength": -1}, "strength=-1: a number from 0 to 20"),
        ({"rate": 0.5, "splits": ["trian"]}, "data.missing.splits names 'trian'. Did you mean 'train'"),
    ],
)
def test_mistakes_are_told(digits, options, message):
    with pytest.raises(ConfigError, match=message):
        MultimodalData(digits, missing=options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mechanism": "label", "column": "nmber"}, "column=nmber: Did you mean 'number'"),
        ({"mechanism": "label", "column": "number"}, "no classes"),
        ({"modalities": []}, "no row has another modality"),
        ({"mechanism": "exclusive", "modalities": ["text"]}, "no row has two modality"),
    ],
)
def test_what_cannot_be_drawn_is_told(table, options, message):
    with pytest.raises(ConfigError, match=message):
        draw(table, rate=0.5, **options)


def test_without_classes_a_column_is_asked_for(table):
    with pytest.raises(ConfigError, match="no task has classes. Name the column: data.missing.column=COLUMN"):
        Missing(0.5, "label").draw(table, np.arange(ROWS), COLUMNS, INPUTS, None)


# ---------------------------------------------------------------------------------------------------------- in the data


def lacking(data, split):
    """Which modalities each sample of a split lacks, as the model sees it."""
    batches = list(data.loader(split))
    return {
        int(row): tuple(name for name in batch.inputs if not bool(batch.inputs[name]["mask"][place].any()))
        for batch in batches
        for place, row in enumerate(batch.rows)
    }


def test_the_model_sees_what_was_drawn_in_every_epoch_and_with_workers(compose_tiny):
    words = ["data.missing.rate=0.5", "data.missing.splits=[train]", "data.missing.mechanism=exclusive"]
    data = build(compose_tiny(*words)).data
    seen = lacking(data, "train")
    assert lacking(data, "train") == seen  # the next epoch
    assert lacking(build(compose_tiny(*words, "data.num_workers=2", "data.batch_size=5")).data, "train") == seen
    for row, gone in seen.items():
        assert set(gone) >= {name for name, taken in data.taken.items() if taken[row]}
    assert 10 <= sum(len(gone) == 2 for gone in seen.values()) <= 38
    assert not any(lacking(data, "val").values())
    facts = data.facts()
    assert facts["missing"]["rate"] == 0.5 and set(facts["missing"]["realised"]) == {"train"}
    share = facts["missing"]["realised"]["train"]["incomplete"]
    assert share == pytest.approx(sum(len(gone) == 2 for gone in seen.values()) / 48, abs=1e-6)
    assert json.dumps(facts)
    assert facts["missing_fingerprint"] == taken_fingerprint(data.taken)


def test_the_draw_is_the_same_without_a_modality_and_rows_with_nothing_left_go(compose_tiny):
    parts = build(compose_tiny("data.missing.rate=0.9", "data.missing.mechanism=exclusive"))
    before = {name: taken.copy() for name, taken in parts.data.taken.items()}
    data = parts.data
    data.drop = ("text",)
    data.bind(data.processors, data.tasks)
    assert all(np.array_equal(before[name], data.taken[name]) for name in before)
    left_out = [row for row in data.skipped if before["image"][row] and before["audio"][row]]
    assert left_out and len(left_out) == len(data.skipped)


def test_nothing_is_said_where_nothing_is_taken(compose_tiny):
    data = build(compose_tiny()).data
    assert "missing" not in data.facts() and data.taken == {}


def test_a_class_loses_the_same_however_its_cells_are_written(tmp_path):
    def taken(classes):
        path = tmp_path / "t.csv"
        rows = [f"{'x' * (row % 7 + 1)},y,z,{classes[row % len(classes)]}" for row in range(600)]
        path.write_text("\n".join(["text,image,audio,label", *rows]))
        return draw(Table(path), np.arange(600), rate=0.5, mechanism="label", seed=3)

    plain = taken(["a", "b", "0", "a", "b", "0"])
    assert (taken([" a", " b", "0.0", "a", "b ", "0"]) == plain).all()
    assert (taken(["a", "b", "0", "c", "b", "0"]) != plain).any()
