"""VQA v2: rare answers are no class, pictures keep their split, and the shares are those of the official rule."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.sets.vqa_v2 import ANSWERS, QUESTIONS, VqaV2, vqa_scores
from prepared_sets import built


def write(folder, part, entries):
    questions = [{"question_id": n, "image_id": image, "question": f"what {n}?"} for n, image, _ in entries]
    annotations = [
        {
            "question_id": n,
            "image_id": image,
            "multiple_choice_answer": answers[0],
            "answers": [{"answer": a, "answer_confidence": "yes", "answer_id": i} for i, a in enumerate(answers)],
            "question_type": "what",
            "answer_type": "other",
        }
        for n, image, answers in entries
    ]
    (folder / QUESTIONS.format(part)).write_text(json.dumps({"questions": questions}))
    (folder / ANSWERS.format(part)).write_text(json.dumps({"annotations": annotations}))
    (folder / part).mkdir(exist_ok=True)
    for _, image, _ in entries:
        Image.new("RGB", (2, 2)).save(folder / part / f"COCO_{part}_{image:012d}.jpg")


@pytest.fixture
def folder(tmp_path):
    write(
        tmp_path,
        "train2014",
        [(1, 9, ["Dog"] * 10), (2, 9, ["cat"] * 10), (3, 1001, ["dog"] * 10), (4, 500, ["dog"] * 10)],
    )
    write(tmp_path, "val2014", [(5, 42, ["cat", *["dog"] * 2, *["cat"] * 7]), (6, 42, ["dog"] * 10)])
    return tmp_path


def test_questions_become_rows(folder, tmp_path):
    _, rows = built(VqaV2, folder, tmp_path / "home", min_count=2)
    assert [(row["id"], row["split"], row["answer"]) for row in rows] == [
        ("1", "val", "dog"),  # pictures 9 and 1001 end in less than 050
        ("2", "val", ""),
        ("3", "val", "dog"),
        ("4", "train", "dog"),
        ("5", "test", ""),
        ("6", "test", "dog"),
    ]
    assert json.loads(rows[4]["scores"]) == {"cat": 1.0, "dog": 0.6}
    assert rows[3]["image"].endswith("train2014/COCO_train2014_000000000500.jpg")


def test_a_question_without_annotation_is_named(folder, tmp_path):
    path = folder / ANSWERS.format("val2014")
    path.write_text(json.dumps({"annotations": json.loads(path.read_text())["annotations"][:1]}))
    with pytest.raises(DataError, match="question 6 has no annotation"):
        built(VqaV2, folder, tmp_path / "home")


@given(st.lists(st.sampled_from("abc"), min_size=10, max_size=10))
def test_the_rule_counted_over_every_choice_of_nine(answers):
    for answer, score in vqa_scores(answers).items():
        nines = itertools.combinations(answers, 9)
        by_hand = [min(sum(one == answer for one in nine) / 3, 1) for nine in nines]
        assert score == pytest.approx(sum(by_hand) / 10, abs=1e-4)
