"""vqa_v2: questions on COCO's pictures, ten answers of people each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from mmbert.core.errors import DataError
from mmbert.core.ranges import Range
from mmbert.data.sets.base import DataCard, PreparedData, TableRow

VQA_PARTS = {"train": "train2014", "val": "val2014"}
QUESTIONS = "v2_OpenEnded_mscoco_{}_questions.json"
ANSWERS = "v2_mscoco_{}_annotations.json"
PICTURE = "COCO_{}_{:012d}.jpg"
ENOUGH = 3  # people who gave an answer make it wholly right


class VqaV2(PreparedData):
    """VQA v2. Its test answers are kept by a server, so train2014 gives train and val, and val2014 is test.

    Columns: ``text`` (the question), ``image``, ``answer`` (the most frequent one; empty where it is rarer in train
    than ``min_count``), ``answers`` (all ten, as a JSON list), ``scores`` (the share that each answer is right by
    VQA's rule, as JSON), ``question_type``, ``answer_type``, ``picture``, ``id``.

    Args:
        min_count: how often an answer must be the most frequent one of a question to be a class. 9 leaves about 3,000.
        val_share: of train2014's pictures that become val, by their numbers.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    card = DataCard(
        name="vqa_v2",
        version=1,
        licence="CC BY 4.0 (questions and answers); Flickr's terms (pictures)",
        homepage="https://visualqa.org",
        holds=(QUESTIONS.format("train2014"), ANSWERS.format("train2014")),
        fetch="Download the balanced real images' questions and annotations of https://visualqa.org/download.html, and "
        "train2014 and val2014 of https://cocodataset.org, into one folder.",
        citation="Goyal et al. 2017, Making the V in VQA Matter, arXiv:1612.00837",
        metric="VQA accuracy: an answer that n of nine people gave is min(n / 3, 1) right, mean over the choices of "
        "nine",
        figure="bottom-up and top-down attention: 63.2 on val2014 (Anderson et al. 2018, arXiv:1707.07998)",
    )

    def __init__(
        self,
        min_count: Annotated[int, Range(1)] = 9,
        val_share: Annotated[float, Range(0, below=1)] = 0.05,
        **options: Any,
    ) -> None:
        self.min_count, self.val_share = min_count, val_share
        super().__init__(built_with={"min_count": min_count, "val_share": val_share}, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The questions of train2014 and val2014, in the order of the files."""
        train = annotations_by_question(raw / ANSWERS.format("train2014"))
        counts = Counter(normal(entry["multiple_choice_answer"]) for entry in train.values())
        for own, part in VQA_PARTS.items():
            path = raw / QUESTIONS.format(part)
            answered = train if own == "train" else annotations_by_question(raw / ANSWERS.format(part))
            for question in json.loads(path.read_text("utf-8"))["questions"]:
                number, picture = question["question_id"], question["image_id"]
                if number not in answered:
                    raise DataError(f"{path}: question {number} has no annotation.")
                entry = answered[number]
                answer, given = normal(entry["multiple_choice_answer"]), [one["answer"] for one in entry["answers"]]
                yield {
                    "id": number,
                    "split": "test" if own == "val" else "val" if self.is_val(picture) else "train",
                    "text": question["question"],
                    "image": raw / part / PICTURE.format(part, picture),
                    "answer": answer if counts[answer] >= self.min_count else None,
                    "answers": json.dumps(given, ensure_ascii=False),
                    "scores": json.dumps(vqa_scores(given), ensure_ascii=False),
                    "question_type": entry["question_type"],
                    "answer_type": entry["answer_type"],
                    "picture": picture,
                }

    def is_val(self, picture: int) -> bool:
        """Whether a picture's questions are validation: the same pictures whatever else is in the files."""
        return picture % 1000 < round(1000 * self.val_share)


def annotations_by_question(path: Path) -> dict[int, dict[str, Any]]:
    """A file of annotations by question."""
    return {entry["question_id"]: entry for entry in json.loads(path.read_text("utf-8"))["annotations"]}


def normal(answer: str) -> str:
    """An answer without capitals and outer blanks, as the annotations' own most frequent answer is."""
    return answer.strip().lower()


def vqa_scores(answers: list[str]) -> dict[str, float]:
    """How right each answer is: mean over the choices of all people but one of min(n / 3, 1), n = how many gave it.

    Antol et al. 2015, "VQA: Visual Question Answering", arXiv:1505.00468, as the official evaluation computes it,
    without its rewriting of articles, digits and punctuation.
    """
    given = [normal(answer) for answer in answers]
    scores = {}
    for answer in dict.fromkeys(given):
        shares = [min((given.count(answer) - (other == answer)) / ENOUGH, 1) for other in given]
        scores[answer] = round(sum(shares) / len(shares), 4)
    return scores
