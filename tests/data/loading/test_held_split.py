"""A split held in memory gives the batches that reading and collating its samples gives, number for number."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.data.augment.augmentation import Augmentation
from mmbert.data.loading import held_split as module
from mmbert.data.loading.cached import POOLED, StoredTokens
from mmbert.data.loading.collate import Collate
from mmbert.data.loading.dataset import SampleDataset
from mmbert.data.loading.held_split import HeldSplits, held_split
from mmbert.data.loading.loaders import make_loader
from mmbert.data.loading.samplers import Seen
from mmbert.data.tables.table import Table
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.regression import Regression

ROWS = 12


class Never:
    """A processor of inputs that are all stored."""

    kind = "text"

    def prepare(self, raw):
        return raw

    def collate(self, prepared):
        return {"mask": torch.zeros(len(prepared), 1, dtype=torch.bool)}


class Source:
    """Stored values by row: sequences of one to four tokens, or vectors alone."""

    def __init__(self, tokens, rows=range(ROWS), seed=0):
        random = np.random.default_rng(seed)
        made = [random.standard_normal((int(random.integers(1, 5)), 3)).astype(np.float16) for _ in range(ROWS)]
        self.values = [StoredTokens(one if tokens else None, one.mean(0)) for one in made]
        self.rows = rows

    def row(self, row):
        return self.values[row] if row in self.rows else None


SOURCES = {"text": Source(tokens=True), "face": Source(tokens=False, seed=1)}
LABELLED = st.lists(st.sampled_from(["a,0.5,x|y", "b,,x", ",2.5,", ",,"]), min_size=ROWS, max_size=ROWS)
PRESENT = st.lists(st.sampled_from(["there,there", "there,", ",there"]), min_size=ROWS, max_size=ROWS)
PLACES = st.lists(st.integers(-4, 3), min_size=1, max_size=8)


def tasks():
    return {
        "label": Classification(4, "label", ["a", "b"]).without_weights(),
        "number": Regression(4, "number").without_weights(),
        "tags": Multilabel(4, "tags", ["x", "y"]).without_weights(),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("held")


def dataset_of(folder, present=("there,there",) * ROWS, labels=("a,0.5,x|y",) * ROWS, rows=(), **options):
    path = folder / "m.csv"
    lines = [f"{inputs},{label}" for inputs, label in zip(present, labels, strict=True)]
    path.write_text("\n".join(["text,face,label,number,tags", *lines]) + "\n")
    processors = {"text": Never(), "face": Never()}
    options = {"tasks": tasks(), "sources": SOURCES, **options}
    return SampleDataset(
        Table(path), rows or list(range(ROWS)), {name: name for name in processors}, processors, **options
    )


def flat(batch):
    tensors = {f"{name}/{key}": one for name, part in batch.inputs.items() for key, one in part.items()}
    tensors |= {f"{name}/{key}": one for name, part in batch.targets.items() for key, one in part.items()}
    return {**tensors, "rows": batch.rows}


def assert_same(held, read):
    held, read = flat(held), flat(read)
    for name in set(read) | set(held):
        if name.partition("/")[0] in SOURCES and f"{name.partition('/')[0]}/{POOLED}" not in read:
            # nobody of the batch has it: what is read has no stored vector to learn the width from
            assert not held[f"{name.partition('/')[0]}/mask"].any()
            continue
        assert held[name].dtype == read[name].dtype, name
        assert torch.equal(held[name].nan_to_num(9e9), read[name].nan_to_num(9e9)), name


@settings(max_examples=60, deadline=None)
@given(PRESENT, LABELLED, PLACES, st.booleans(), st.lists(st.booleans(), min_size=ROWS, max_size=ROWS))
def test_batches_are_those_that_are_read(folder, present, labels, places, with_epoch, taken):
    left = [row for row in range(ROWS) if row % 3]
    dataset = dataset_of(folder, present, labels, left, taken={"face": np.array(taken)})
    held = held_split(dataset)
    if held is None:  # a modality that no sample has
        assert any(all(dataset[place].prepared[name] is None for place in range(len(left))) for name in SOURCES)
        return
    asked = [(3, place) for place in places] if with_epoch else places
    assert len(held) == len(left)
    assert_same(held.__getitems__(asked), Collate(dataset.processors, None, dataset.tasks)([dataset[i] for i in asked]))
    assert_same(held[asked[0]], Collate(dataset.processors, None, dataset.tasks)([dataset[asked[0]]]))


@pytest.mark.parametrize("resumed", [False, True])
def test_a_loader_gives_the_same_batches_in_the_same_order(folder, resumed):
    dataset = dataset_of(folder, labels=["a,1,x", "b,2,y", ",,"] * 4)
    read, held = (make_loader(dataset, 5, 0, False, 7, shuffle=True, held=one) for one in (None, held_split(dataset)))
    for loader in (read, held):
        loader.sampler.set_epoch(2)
        if resumed:
            loader.sampler.skip_once(Seen(5, 1))
    before = torch.get_rng_state()
    for _ in range(2):
        for one, other in zip(list(held), list(read), strict=True):
            assert_same(one, other)
    assert torch.equal(torch.get_rng_state(), before)  # dropout draws from it


def test_what_is_selected_is_a_copy(folder):
    held = held_split(dataset_of(folder))
    held[0].inputs["text"][POOLED].zero_()
    assert held[0].inputs["text"][POOLED].any()


class Odd(Regression):
    """Its targets depend on who stands beside."""

    def collate(self, targets):
        return {"label": torch.tensor(targets, dtype=torch.float64) - np.mean(targets)}


REFUSED = {
    "a row that is not stored": lambda: {"sources": {**SOURCES, "face": Source(False, range(ROWS - 1))}},
    "an encoder that learns": lambda: {"sources": {"text": SOURCES["text"]}},
    "samples that change": lambda: {"augment": Augmentation(modality_dropout=0.5)},
    "tasks that change samples": lambda: {"changing": True},
    "targets that depend on the batch": lambda: {"tasks": {"odd": Odd(4, "number").without_weights()}},
    "alignments": lambda: {"aligned": ("text",)},
}


@pytest.mark.parametrize("why", REFUSED)
def test_other_splits_are_read(folder, why):
    assert held_split(dataset_of(folder, **REFUSED[why]())) is None


def test_a_row_that_is_left_out_has_the_split_read(folder):
    labels = ["a,0.5,x"] * (ROWS - 1) + ["unheard,0.5,x"]
    assert held_split(dataset_of(folder, labels=labels, skip=True)) is None


def test_a_split_that_takes_too_much_memory_is_read(folder, monkeypatch):
    longest = max(one.tokens.size for one in SOURCES["text"].values)
    needed = 4 * ROWS * (longest + 3 + 3)
    monkeypatch.setattr(module, "HELD_BYTES", needed)
    assert held_split(dataset_of(folder)) is not None
    monkeypatch.setattr(module, "HELD_BYTES", needed - 1)
    assert held_split(dataset_of(folder)) is None


def test_a_split_is_held_once_until_its_samples_change(folder):
    splits, dataset = HeldSplits(), dataset_of(folder)
    first = splits.of("val", dataset)
    same = SampleDataset(dataset.table, dataset.rows, dataset.columns, dataset.processors, dataset.tasks)
    same.sources = dict(dataset.sources)
    assert splits.of("val", same) is first
    for change in (
        {"rows": dataset.rows[1:]},
        {"taken": {"face": np.ones(ROWS, bool)}},
        {"sources": {**SOURCES, "text": Source(True, seed=5)}},
        {"tasks": tasks()},
        {"drop": frozenset({"face"})},
    ):
        other = SampleDataset(dataset.table, dataset.rows, dataset.columns, dataset.processors, dataset.tasks)
        other.sources = dict(dataset.sources)
        for name, value in change.items():
            setattr(other, name, value)
        before = splits.of("val", same)
        assert splits.of("val", other) is not before, change
    assert HeldSplits().of("train", dataset_of(folder, changing=True)) is None
