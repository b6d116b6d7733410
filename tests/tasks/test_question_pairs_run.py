"""A question and its context through one BERT, from the command's config to answers of the saved model."""

import json

import pandas as pd
import pytest

from mmbert.cli.evaluate import evaluate_model
from mmbert.cli.predict import main as predict_main
from mmbert.core.errors import DataError
from mmbert.data.modalities.text_pair import TextPair
from mmbert.model import MultimodalModel
from mmbert.training.run import run

PLACES = ("Rome", "Oslo", "Lima", "Bern")
LONG = "It rained a lot. "


def rows():
    for number in range(24):
        first, second = PLACES[number % 4], PLACES[(number + 1) % 4]
        asked = number % 2
        context = LONG * (number % 3) + f"Ann is in {first}, Bob is in {second}."
        answer = (first, second)[asked]
        split = ("train", "train", "val", "test")[number // 2 % 4]
        question = None if number == 5 else ("Ann?", "Bob?")[asked]
        yield {"question": question, "context": context, "split": split, "answers": answer}


@pytest.fixture(scope="module")
def asked(tmp_path_factory, compose_tiny):
    folder = tmp_path_factory.mktemp("asked")
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, rows())))
    words = [f"tasks.{name}=null" for name in ("answer", "seen", "heard", "operation", "properties", "value")]
    words += ["+task@tasks.place=extractive_qa", "tasks.place.column=answers", "~encoders.image", "~encoders.audio"]
    words += [
        f"data.path={folder / 't.jsonl'}",
        "data.columns.text=[question,context]",
    ]
    words += ["encoders.text.max_tokens=120", "encoders.text.window=40", "encoders.text.overlap=8"]
    words += ["encoders.text.max_before=12", "encoders.text.frozen=true", "trainer.max_epochs=2", "logger=none"]
    run(compose_tiny(*words), folder / "run")
    return folder


def test_answers_lie_in_the_context_whatever_is_asked(asked, capsys):
    facts = json.loads((asked / "run" / "metrics.json").read_text())
    assert 0 <= facts["test/place/exact_match"] <= facts["test/place/f1"] <= 1 and facts["test/place/cut_answers"] == 0
    assert facts["inputs"]["encoders"]["text"]["before"] == "question"
    table = [row for row in rows() if row["split"] == "test"]
    found = pd.read_parquet(asked / "run" / "predictions" / "test.parquet")["place/prediction"]
    assert len(found) == len(table) and all(a in row["context"] for a, row in zip(found, table, strict=True))
    model = MultimodalModel.from_pretrained(asked / "run" / "model")
    pairs = [{"text": (row["question"] or "", row["context"])} for row in table]
    answers = [answer["place"] for answer in model.predict(pairs)]
    assert [answer["prediction"] for answer in answers] == found.tolist()  # from the store, and computed anew
    for answer, row in zip(answers, table, strict=True):
        assert row["context"][answer["start"] : answer["end"]] == answer["prediction"]
    assert model.predict([{"text": TextPair("Bob?", table[0]["context"])}])[0]["place"]["prediction"]


def test_the_commands_take_question_and_context(asked, tmp_path, capsys):
    context = "Ann is in Rome, Bob is in Oslo."
    predict_main([f"model={asked / 'run'}", "before.text=Bob?", f"text={context}", "--json"])
    place = json.loads(capsys.readouterr().out)["place"]
    assert place["prediction"] == context[place["start"] : place["end"]]
    (tmp_path / "new.jsonl").write_text(json.dumps({"question": "Bob?", "context": context}) + "\n")
    predict_main([f"model={asked / 'run'}", f"table={tmp_path / 'new.jsonl'}", f"out={tmp_path / 'a.jsonl'}"])
    assert json.loads((tmp_path / "a.jsonl").read_text())["place"]["prediction"] == place["prediction"]
    (tmp_path / "other.jsonl").write_text(json.dumps({"asked": "Bob?", "where": context}) + "\n")
    words = [f"table={tmp_path / 'other.jsonl'}", "columns.text=[asked,where]", f"out={tmp_path / 'b.jsonl'}"]
    predict_main([f"model={asked / 'run'}", *words])
    assert (tmp_path / "b.jsonl").read_text() == (tmp_path / "a.jsonl").read_text()
    with pytest.raises(SystemExit, match="2"):
        predict_main([f"model={asked / 'run'}", "before.text=Bob?"])
    assert 'which is not given: add text="..."' in capsys.readouterr().err
    evaluate_model([f"model={asked / 'run'}", f"out={tmp_path / 'measured'}"])
    assert "exact_match" in capsys.readouterr().out


def test_an_answer_that_stands_in_the_question_alone_is_refused(asked, compose_tiny, tmp_path):
    table = [{**row, "answers": "Ann?" if place == 3 else row["answers"]} for place, row in enumerate(rows())]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, table)))
    words = [f"tasks.{name}=null" for name in ("answer", "seen", "heard", "operation", "properties", "value")]
    words += ["+task@tasks.place=extractive_qa", "tasks.place.column=answers", "~encoders.image", "~encoders.audio"]
    words += [
        f"data.path={tmp_path / 't.jsonl'}",
        "data.columns.text=[question,context]",
    ]
    with pytest.raises(DataError, match=r"row 4.*column 'answers': the answer 'Ann\?' does not stand in the text"):
        run(compose_tiny(*words, "encoders.text.max_before=12"), tmp_path / "run")
