"""Label cells become targets and come back as labels."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmbert.core.errors import DataError
from mmbert.core.types import UNLABELLED
from mmbert.data.labels import ClassLabels, MultiLabels, NumberLabels, as_number, class_name, split_labels

NAMES = st.lists(st.text("abcdefg01 é", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=8, unique=True)


def test_classes_are_numbered_in_their_order():
    labels = ClassLabels(["b", "a", "7"])
    assert [int(labels.encode(cell)) for cell in ("b", "a", "7", 7, 7.0, " a ", None)] == [0, 1, 2, 2, 2, 1, UNLABELLED]
    assert labels.encode("b").dtype == torch.int64
    assert labels.encode("b").shape == ()
    assert [labels.decode(torch.tensor(i)) for i in (2, 0, UNLABELLED)] == ["7", "b", None]


def test_a_class_with_leading_zeros_is_its_own():
    labels = ClassLabels(["007", "7"])
    assert [int(labels.encode("007")), int(labels.encode("7"))] == [0, 1]


def test_an_unknown_class_is_told_with_the_nearest():
    with pytest.raises(
        DataError, match=r"the label 'dgo' is no class of the train split. Did you mean 'dog'\? Choices: cat, dog"
    ):
        ClassLabels(["cat", "dog"]).encode("dgo")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("even|prime", [1, 1, 0]),
        (" prime | even ", [1, 1, 0]),
        ("negative", [0, 0, 1]),
        ('["prime"]', [0, 1, 0]),
        (["negative", "even"], [1, 0, 1]),
        ("[]", [0, 0, 0]),
        ([], [0, 0, 0]),
        ("even|even", [1, 0, 0]),
    ],
)
def test_properties_are_zeros_and_ones(cell, expected):
    assert MultiLabels(["even", "prime", "negative"]).encode(cell).tolist() == expected


def test_nobody_labelled_is_not_the_same_as_nothing_holds():
    labels = MultiLabels(["a", "b"])
    assert labels.encode(None).isnan().all()
    assert labels.encode(None).shape == (2,)
    assert [labels.decode(labels.encode(None)), labels.decode(labels.encode("[]"))] == [None, []]


def test_properties_with_another_separator():
    assert MultiLabels(["a|b", "c"], separator=";").encode("a|b; c").tolist() == [1, 1]


def test_an_unknown_property_is_told_with_the_nearest():
    with pytest.raises(DataError, match=r"the label 'evn' never occurs in the train split. Did you mean 'even'\?"):
        MultiLabels(["even", "odd"]).encode("odd|evn")
    with pytest.raises(DataError, match="looks like a JSON list but is none"):
        split_labels('["a"')


@given(names=NAMES, data=st.data())
def test_any_labels_come_back(names, data):
    one = data.draw(st.sampled_from(names))
    assert ClassLabels(names).decode(ClassLabels(names).encode(one)) == one
    some = data.draw(st.lists(st.sampled_from(names), unique=True))
    labels = MultiLabels(names)
    assert labels.decode(labels.encode(some)) == [name for name in names if name in some]


@pytest.mark.parametrize(("cell", "expected"), [("-1.5e3", -1500.0), (7, 7.0), (" 2 ", 2.0), ("007", 7.0)])
def test_numbers(cell, expected):
    target = NumberLabels().encode(cell)
    assert (target.tolist(), target.dtype, target.shape) == (expected, torch.float32, ())
    assert NumberLabels().decode(target) == expected


def test_a_missing_number():
    assert math.isnan(NumberLabels().encode(None))
    assert NumberLabels().decode(torch.tensor(math.nan)) is None


@pytest.mark.parametrize("cell", ["seven", "", "nan", "inf", "1,5", "1e39", "-1e39", 10**400, [1.0], {}])
def test_what_is_no_finite_number_in_single_precision(cell):
    with pytest.raises(DataError, match="is no finite number"):
        as_number(cell)


def test_the_largest_number_is_one():
    assert torch.isfinite(NumberLabels().encode(3.4028234e38))


@pytest.mark.parametrize(
    ("cell", "name"), [(7, "7"), (7.0, "7"), (7.5, "7.5"), ("7", "7"), (True, "True"), (" a b ", "a b")]
)
def test_class_names(cell, name):
    assert class_name(cell) == name
