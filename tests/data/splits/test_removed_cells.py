"""Which cells are removed on purpose, by hand where a sample can lose only one, and their fingerprint."""

import numpy as np
import pytest

from mmbert.data.modalities.registry import modality_named
from mmbert.data.splits.missing import Missing
from mmbert.data.splits.removed_cells import removal_facts, remove_cells, taken_fingerprint
from mmbert.data.tables.table import Table

COLUMNS = {"words": "a", "more": "b"}
INPUTS = dict.fromkeys(COLUMNS, modality_named("text"))


@pytest.fixture
def table(tmp_path):
    """Row 2 has one cell alone, which it keeps."""
    (tmp_path / "t.csv").write_text("a,b\n" + "x,y\nx,y\n,y\nx,y\n")
    return Table(tmp_path / "t.csv")


ROWS = {"train": np.array([0, 2]), "val": np.array([1]), "test": np.array([3])}


def test_every_sample_loses_the_modality_that_may_go(table):
    missing = Missing(rate=1.0, modalities=["more"], splits=["train", "val"])
    taken, realised = remove_cells(missing, table, ROWS, COLUMNS, INPUTS, None)
    assert {name: lost.tolist() for name, lost in taken.items()} == {
        "words": [False] * 4,
        "more": [True, True, False, False],
    }
    assert set(realised) == {"train", "val"}
    facts = removal_facts(missing, taken, realised)
    assert facts["missing"] == {"mechanism": "random", "rate": 1.0, "seed": 0, "realised": realised}
    assert facts["missing_fingerprint"] == taken_fingerprint(taken)


def test_without_a_rate_nothing_is_removed_or_recorded(table):
    taken, realised = remove_cells(Missing(), table, ROWS, COLUMNS, INPUTS, None)
    assert not any(lost.any() for lost in taken.values())
    assert removal_facts(Missing(), taken, realised) == {}


def test_the_fingerprint_changes_with_every_cell_and_not_with_the_order_of_names():
    a, b = np.array([True, False, False]), np.array([False, False, False])
    first = taken_fingerprint({"x": a, "y": b})
    assert first == taken_fingerprint({"y": b, "x": a})
    others = [{"x": b, "y": a}, {"x": a}, {"x": a[:2], "y": b}, {"x": a, "y": ~b}]
    assert len({first, *map(taken_fingerprint, others)}) == 5
