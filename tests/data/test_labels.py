"""Label cells as text, lists and numbers."""

import pytest

from mmbert.core.errors import DataError
from mmbert.data.labels import (
    as_number,
    finite_number,
    is_decorated_number,
    is_missing_word,
    na_option,
    split_labels,
)
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel


def test_a_list_that_is_none_is_named():
    with pytest.raises(DataError, match="looks like a list but is none"):
        split_labels('["a"')


@pytest.mark.parametrize("cell", ["seven", "", "nan", "inf", "1,5", "1e39", "-1e39", "1_000", 10**400, [1.0], {}])
def test_what_is_no_finite_number_in_single_precision(cell):
    with pytest.raises(DataError, match="is no finite number"):
        as_number(cell)


@pytest.mark.parametrize(
    ("cell", "number"), [("1e2", 100.0), (" 3 ", 3.0), ("inf", None), ("nan", None), ("1_0", None), (None, None)]
)
def test_finite_numbers(cell, number):
    assert finite_number(cell) == number


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("a| b |", ["a", "b"]),
        (7.0, ["7"]),
        ('["joy", "", null, 1.0, true]', ["joy", "1", "True"]),
        ("['joy', 'fear']", ["joy", "fear"]),
        ("['joy' 'fear']", ["joy", "fear"]),  # a NumPy array, as pandas writes it
        (["a", None, " b ", float("nan"), ""], ["a", "b"]),
        ("[]", []),
        ("(a)|b", ["(a)", "b"]),
    ],
)
def test_names_of_a_multilabel_cell(cell, names):
    assert split_labels(cell) == names


@pytest.mark.parametrize("cell", ['[["a"]]', [["a"], ["b"]], '[{"a": 1}]'])
def test_lists_of_lists_are_no_labels(cell):
    with pytest.raises(DataError, match="holds lists; a list of names is wanted"):
        split_labels(cell)


@pytest.mark.parametrize(
    "cell", ["0,5", "-1,25", "10%", "12.5 %", "1,234", "1.234.567,8", "$5", "5 €", "\u22123", "1'000"]
)
def test_numbers_that_only_a_person_reads(cell):
    assert is_decorated_number(cell)
    with pytest.raises(DataError, match="is no finite number; write it with a decimal point and without signs"):
        as_number(cell)


@pytest.mark.parametrize("cell", ["5", "0.5", "-3", "1e3", "5 kg", "1,2,3", "12-13", "1:30", "", "%", "a,5", 0.5, None])
def test_what_is_written_as_a_number_or_is_none(cell):
    assert not is_decorated_number(cell)


def test_words_for_missing_values():
    assert all(map(is_missing_word, ["NA", "n/a", " NaN ", "null", "-", "?", "None", "missing"]))
    assert not is_missing_word("none", beside_numbers=False) and is_missing_word("NA", beside_numbers=False)
    assert not any(map(is_missing_word, ["no", "0", "nano"]))
    assert na_option(["NA", "nan"]) == "data.na_values=[NA,nan]"
    assert na_option(["n/a", "-"]) == """'data.na_values=["n/a", "-"]'"""


def test_a_label_that_may_mean_none_is_told_how_to_say_so():
    with pytest.raises(
        DataError, match=r"^'NA' is no finite number; if it means that there is no label: data.na_values="
    ):
        as_number("NA")
    with pytest.raises(
        DataError, match=r"'n/a' is no class of the train split; .*no label: 'data.na_values=\[\"n/a\"\]'"
    ):
        Classification(1, "label", ["a", "b"]).encode({"label": "n/a"}, {})
    with pytest.raises(DataError, match=r"'-' never occurs in the train split; .*no label: "):
        Multilabel(1, "label", ["a", "b"]).encode({"label": "a|-"}, {})
    with pytest.raises(DataError, match="^'much' is no finite number$"):
        as_number("much")
