"""Class numbers become names wherever in a cell they stand."""

import datasets
import pyarrow as pa
import pytest

from mmbert.core.errors import DataError
from mmbert.data.datasets_library.class_names import named_column, naming_of, namings

MOODS = datasets.ClassLabel(names=["neg", "pos"])
NAMES = ("neg", "pos")


def test_where_class_numbers_stand_is_read_from_the_features():
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": MOODS,
            "labels": datasets.List(MOODS),
            "deep": datasets.List(datasets.LargeList(MOODS)),
            "turn": {"who": datasets.Value("string"), "mood": MOODS},
            "turns": datasets.List({"mood": datasets.List(MOODS), "text": datasets.Value("string")}),
            "numbers": datasets.List(datasets.Value("int64")),
        }
    )
    assert namings(features) == {
        "label": NAMES,
        "labels": [NAMES],
        "deep": [[NAMES]],
        "turn": {"mood": NAMES},
        "turns": [{"mood": [NAMES]}],
    }
    assert naming_of(datasets.Image()) is None


@pytest.mark.parametrize(
    ("cells", "naming", "named"),
    [
        ([0, 1, None, -1], NAMES, ["neg", "pos", None, None]),
        ([[0, 1], [], None, [-1, 1]], [NAMES], [["neg", "pos"], [], None, [None, "pos"]]),
        ([[[0], []], None], [[NAMES]], [[["neg"], []], None]),
        ([{"mood": 1, "n": 3}, None], {"mood": NAMES}, [{"mood": "pos", "n": 3}, None]),
        ([[{"mood": [1, 0]}]], [{"mood": [NAMES]}], [[{"mood": ["pos", "neg"]}]]),
        (["pos", None], NAMES, ["pos", None]),
        ([None, None], NAMES, [None, None]),
    ],
)
def test_numbers_become_names(cells, naming, named):
    whole = pa.array(cells)
    column = pa.chunked_array([whole.slice(0, 1), whole.slice(1)], whole.type)
    assert named_column(column, naming, "here").to_pylist() == named


@pytest.mark.parametrize(("cells", "naming"), [([0, 2], NAMES), ([[2]], [NAMES]), ([{"mood": 2}], {"mood": NAMES})])
def test_a_number_without_a_name_is_refused_with_its_place(cells, naming):
    with pytest.raises(DataError, match="set, split 'test': the class number 2 has no name; .* 2 classes: neg, pos"):
        named_column(pa.chunked_array([pa.array(cells)]), naming, "set, split 'test'")
