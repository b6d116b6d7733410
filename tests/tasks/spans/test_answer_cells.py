"""Cells with answers, and what of them is refused."""

import pytest

from mmbert.core.errors import DataError
from mmbert.tasks.spans.answer_cells import (
    answers_of_cell,
    check_within_sound,
    checked_extent,
    extent_of_cells,
    located_answers,
)

TEXT = "In Rome, not in rome."


def found(cell, text=TEXT):
    return located_answers(answers_of_cell(cell), text)


def test_answers_as_tables_write_them():
    assert found({"text": ["Rome", "In Rome"], "answer_start": [3, 0]}) == [(3, 7), (0, 7)]
    assert found('{"text": ["Rome"], "answer_start": [3]}') == [(3, 7)]
    assert found({"text": "Rome", "answer_start": [3]}) == [(3, 7)]
    assert found("Rome") == found(["Rome"]) == found('["Rome"]') == [(3, 7)]
    assert found({"text": [], "answer_start": []}) == found([]) == found("[]") == []
    assert found("in") == [(13, 15)] and found(1990, "the 1990s") == [(4, 8)] and found("[sic]", "so [sic]") == [(3, 8)]
    assert found("e", "cafe\u0301 e") == [(6, 7)]  # the first e is a part of é


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("Paris", "'Paris' does not stand in the text"),
        (
            {"text": ["Rome"], "answer_start": [4]},
            "said to begin at character 4, where the text has 'ome,'; it stands at 3",
        ),
        ({"text": ["Rome"], "answer_start": [40]}, "lies at characters 40 to 44, the text has 21"),
        ({"text": ["Rome"], "answer_start": [-1]}, "lies at characters -1 to 3"),
        ({"text": ["Rome"], "answer_start": []}, "not as many texts as places"),
        ({"text": ["Rome"]}, "not as many texts as places"),
        ({"text": [""], "answer_start": [0]}, "an answer that is no text"),
        ({"text": ["Rome"], "answer_start": ["3"]}, "a place that is no whole number"),
        ("{no", "looks like an object but is no JSON"),
        (["Rome", ""], "is no list of answers"),
        ([["Rome"]], "is no list of answers"),
    ],
)
def test_answers_that_are_none_are_refused(cell, message):
    with pytest.raises(DataError, match=message):
        found(cell)


def test_stretches_are_within_the_text_forwards_and_of_whole_characters():
    assert checked_extent(TEXT, 3, 7) == (3, 7)
    for extent, message in (
        ((7, 3), "ends at character 3, where it has not begun"),
        ((3, 3), "one past"),
        ((15, 30), "has 21"),
    ):
        with pytest.raises(DataError, match=message):
            checked_extent(TEXT, *extent)
    with pytest.raises(DataError, match="cuts a letter from its accent in 'cafe\u0301'"):
        checked_extent("cafe\u0301", 0, 4)


def test_two_cells_say_where_an_answer_lies():
    assert extent_of_cells("3", 7.0, whole=True) == (3.0, 7.0) and extent_of_cells(0.5, "1.25", whole=False) == (
        0.5,
        1.25,
    )
    assert extent_of_cells(-1, "-1", whole=True) is None
    for cells, whole, message in (
        ((3, None), True, "from '3' to 'None'.*whole numbers"),
        ((3.5, 7), True, "whole numbers"),
        (("x", 7), False, "numbers, seconds"),
        ((7, 3), True, "must begin at 0 or later"),
        ((-1, 3), True, "must begin at 0 or later"),
    ):
        with pytest.raises(DataError, match=message):
            extent_of_cells(*cells, whole=whole)


def test_an_answer_after_the_end_of_its_sound_is_refused_unless_the_encoder_cut_it():
    times = [[0.0, 0.5], [0.5, 1.0], [1.0, 1.5]]
    check_within_sound([(0.2, 1.5), (1.0, 2.4)], {"times": times, "max_seconds": 10.0})  # two tokens' time is rounding
    with pytest.raises(DataError, match="from 0.5 to 3 seconds, the sound ends at about 1.50"):
        check_within_sound([(0.2, 1.5), (0.5, 3.0)], {"times": times, "max_seconds": 10.0})
    check_within_sound([(0.5, 3.0)], {"times": times, "max_seconds": 1.5})
    check_within_sound([(0.5, 3.0)], {"times": times})  # an encoder that does not say where it cuts
    check_within_sound([], {"times": times, "max_seconds": 10.0})
