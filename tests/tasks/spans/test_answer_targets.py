"""Targets of questions: their tensors by hand, and the labels that are read back from them."""

import pytest
from torch import tensor

from mmbert.core.types import UNLABELLED
from mmbert.tasks.spans.answer_cells import AnswerPlaces
from mmbert.tasks.spans.answer_targets import (
    code_points,
    collated_targets,
    label_of_target,
    question_target,
    reference_texts,
    spelt_text,
)

TEXT = {
    "text": "to be or",
    "offsets": tensor([[0, 0], [0, 2], [3, 5], [6, 8], [0, 0]]),
    "word_ids": tensor([-1, 0, 1, 2, -1]),
}


def test_an_answer_is_its_tokens_its_places_and_its_letters():
    target = question_target(AnswerPlaces(((3.0, 8.0), (0.0, 2.0))), TEXT, seconds=False)
    assert (int(target["state"]), int(target["first"]), int(target["last"])) == (1, 2, 3)
    assert target["extents"].tolist() == [[-1, -1], [0, 2], [3, 5], [6, 8], [-1, -1]]
    assert spelt_text(target["text"].tolist()) == "to be or" and target["flags"].tolist() == [False] * 3
    batch = collated_targets([None, target])
    assert batch["state"].tolist() == [UNLABELLED, 1] and batch["references"].shape == (2, 2, 5)
    assert reference_texts(batch, 1) == ["be or", "to"] and reference_texts(batch, 0) == []


def test_an_answer_beyond_the_last_token_is_marked_as_cut():
    short = {"text": TEXT["text"], "offsets": TEXT["offsets"][:3], "word_ids": TEXT["word_ids"][:3]}
    target = question_target(AnswerPlaces(((3.0, 8.0),)), short, seconds=False)
    assert int(target["first"]) == UNLABELLED and target["flags"].tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("places", "two_columns", "label"),
    [
        (AnswerPlaces(()), False, []),
        (AnswerPlaces(((3.0, 5.0),), plain=True), False, "be"),
        (AnswerPlaces(((3.0, 5.0),)), True, "be"),
        (AnswerPlaces(((3.0, 5.0), (0.0, 2.0)), plain=True), False, ["be", "to"]),
        (AnswerPlaces(((3.0, 5.0),)), False, {"text": ["be"], "answer_start": [3]}),
    ],
)
def test_labels_are_read_back_in_their_own_form(places, two_columns, label):
    batch = collated_targets([question_target(places, TEXT, seconds=False), None])
    assert label_of_target(batch, 0, two_columns, seconds=False) == label
    assert label_of_target(batch, 1, two_columns, seconds=False) is None


def test_code_points_spell_any_text():
    assert spelt_text([*code_points("日本 🙂").tolist(), -1, -1]) == "日本 🙂"
