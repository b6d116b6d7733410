"""SQuAD: dev is test, an article is in one split, answers stand where they are said to, and may be none."""

import json

import pytest

from mmbert.core.errors import DataError
from mmbert.data.sets.squad import Squad, SquadV2
from prepared_sets import built

CONTEXT = "Zürich lies on a lake. The lake is long."


def article(title, *questions):
    return {"title": title, "paragraphs": [{"context": CONTEXT, "qas": list(questions)}]}


def question(number, *answers, **more):
    return {
        "id": number,
        "question": f" Where {number}? ",
        "answers": [{"text": t, "answer_start": s} for t, s in answers],
        **more,
    }


def write(folder, version, train, dev):
    folder.mkdir(exist_ok=True)
    for part, articles in (("train", train), ("dev", dev)):
        (folder / f"{part}-{version}.json").write_text(json.dumps({"version": version, "data": articles}))


def test_articles_become_rows(tmp_path):
    titles = [f"title {number}" for number in range(200)]
    train = [
        article(title, question(f"a{n}", ("a lake", 15)), question(f"b{n}", ("Zürich", 0)))
        for n, title in enumerate(titles)
    ]
    write(tmp_path / "raw", "v1.1", train, [article("dev", question("d", ("lake", 17), ("lake", 27), ("lake", 17)))])
    _, rows = built(Squad, tmp_path / "raw", tmp_path / "home")
    by_title = {title: {row["split"] for row in rows if row["title"] == title} for title in titles}
    assert all(len(splits) == 1 for splits in by_title.values())
    assert 2 <= sum(splits == {"val"} for splits in by_title.values()) <= 20  # 5 % of 200
    assert rows[-1]["split"] == "test" and rows[-1]["question"] == "Where d?"
    assert json.loads(rows[-1]["answers"]) == {"text": ["lake", "lake"], "answer_start": [17, 27]}
    _, again = built(Squad, tmp_path / "raw", tmp_path / "other")
    assert again == rows


def test_questions_without_answer(tmp_path):
    plausible = {"plausible_answers": [{"text": "a lake", "answer_start": 15}]}
    write(
        tmp_path / "raw",
        "v2.0",
        [article("t", question("a", is_impossible=True, **plausible))],
        [article("d", question("b", ("long", 35), is_impossible=False))],
    )
    _, rows = built(SquadV2, tmp_path / "raw", tmp_path / "home", val_share=0, only=["all"])
    assert json.loads(rows[0]["answers"]) == {"text": [], "answer_start": []}
    assert json.loads(rows[1]["answers"]) == {"text": ["long"], "answer_start": [35]}


def test_an_answer_elsewhere_is_named(tmp_path):
    write(tmp_path / "raw", "v1.1", [article("t", question("q7", ("lake", 3)))], [])
    with pytest.raises(DataError, match="question q7: the answer 'lake' is not at 3"):
        built(Squad, tmp_path / "raw", tmp_path / "home")
