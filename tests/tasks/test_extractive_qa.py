"""Answers as stretches of a text or a sound: learnt, scored, tuned, and given in the words of the text."""

import json

import numpy as np
import pytest
import torch
from torch import tensor

from mmbert.core.errors import ConfigError, DataError, InputError
from mmbert.core.types import UNLABELLED, Fused, State
from mmbert.data.datamodule import MultimodalData
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.cross_attention import CrossAttentionFusion
from mmbert.fusion.mean import MeanFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.extractive_qa import ExtractiveQA
from mmbert.testing import task_tests
from mmbert.testing.task_samples import alignment

TestExtractiveQA = task_tests(ExtractiveQA)
TestEveryQuestionHasAnAnswer = task_tests(
    ExtractiveQA,
    cells=["be or", {"text": ["be", "not"], "answer_start": [0, 3]}, "question here", "aye"],
    texts=["to be or not", "be not", "that is the question here", "aye there"],
    hidden_dim=8,
)
TestTwoColumns = task_tests(
    ExtractiveQA,
    cells=[{"label": 3, "stop": 5}, {"label": -1, "stop": -1}, {"label": "0", "stop": "4"}, {"label": 4.0, "stop": 9}],
    texts=["to be or not", "be", "that is the question here", "aye there"],
    end_column="stop",
    no_answer=True,
    threshold=0.5,
)
TEXT = "Ann lives in Rome since 1990"
WORDS = alignment(TEXT)  # [CLS] Ann live s in Rome sinc e 1990 [SEP]


def task_of(**options):
    torch.manual_seed(0)
    return ExtractiveQA(4, "answers", **{"dropout": 0.0, **options})


def outputs_for(first, last, length=10, none=None, rows=1):
    found = {name: torch.zeros(rows, length) for name in ("first", "last")}
    found["first"][:, first], found["last"][:, last] = 10.0, 10.0
    found["mask"] = torch.ones(rows, length, dtype=torch.bool)
    return found if none is None else {**found, "none": tensor([none] * rows)}


def targets_of(task, *cells, text=WORDS):
    return task.collate([None if cell is None else task.encode({"answers": cell}, {"text": text}) for cell in cells])


def scores(task, outputs, targets):
    metrics = task.make_metrics()
    task.update(metrics, outputs, targets)
    return {name: float(value) for name, value in metrics.compute().items()}


def test_an_answer_is_learnt_as_its_first_and_last_token():
    task = task_of()
    targets = targets_of(task, "in Rome", None)
    assert (targets["first"].tolist(), targets["last"].tolist()) == ([4, UNLABELLED], [5, UNLABELLED])
    outputs = {name: torch.randn(2, 10, requires_grad=True) for name in ("first", "last")}
    outputs["mask"] = torch.ones(2, 10, dtype=torch.bool)
    loss = task.loss(outputs, targets)
    by_hand = -(outputs["first"][0].log_softmax(-1)[4] + outputs["last"][0].log_softmax(-1)[5]) / 2
    assert loss.total.item() == pytest.approx(by_hand.item()) and int(loss.count) == 1
    share = task.target_probability(outputs, targets)
    assert share.tolist() == pytest.approx([(-2 * by_hand).exp().item(), 0.0])


def test_no_answer_is_one_more_place_to_begin_and_end():
    task = task_of(no_answer=True)
    targets = targets_of(task, [], "Rome")
    outputs = {name: torch.randn(2, 10) for name in ("first", "last")}
    outputs |= {"mask": torch.ones(2, 10, dtype=torch.bool), "none": torch.randn(2, 2)}
    logs = [
        torch.cat([outputs[n], outputs["none"][:, i : i + 1]], 1).log_softmax(-1)
        for i, n in enumerate(("first", "last"))
    ]
    by_hand = -(logs[0][0, 10] + logs[1][0, 10] + logs[0][1, 5] + logs[1][1, 5]) / 2
    assert task.loss(outputs, targets).total.item() == pytest.approx(by_hand.item())


def test_scores_are_squads_over_several_references():
    task = task_of()
    several = {"text": ["Rome", "in Rome"], "answer_start": [13, 10]}
    found = scores(task, outputs_for(4, 5, rows=2), targets_of(task, several, "lives in Rome"))
    assert found["exact_match"] == 0.5 and found["f1"] == pytest.approx((1 + 2 * 1 * (2 / 3) / (1 + 2 / 3)) / 2)
    assert found["cut_answers"] == 0.0 and "version 1.1" in task.metric_notes(task.make_metrics())["f1"]


def test_an_answer_that_the_cut_leaves_out_is_missed_and_counted():
    task = task_of()
    cut = {**WORDS, "offsets": WORDS["offsets"][:5], "word_ids": WORDS["word_ids"][:5]}  # [CLS] Ann live s in
    targets = targets_of(task, "in Rome", "Ann", text=cut)
    assert targets["first"].tolist() == [UNLABELLED, 1] and int(task.count(targets)) == 1
    assert task.labelled(targets).tolist() == [True, True] and task.decode(targets) == ["in Rome", "Ann"]
    found = scores(task, outputs_for(1, 1, length=5, rows=2), targets)
    assert found["exact_match"] == 0.5 and found["cut_answers"] == 1.0


def test_the_threshold_is_chosen_on_validation_and_kept():
    task = task_of(no_answer=True)
    assert task.tunes and not task_of(no_answer=True, threshold=1.0).tunes and not task_of().tunes
    targets = targets_of(task, "in Rome", [], [])
    outputs = outputs_for(4, 5, none=[0.0, 0.0], rows=3)
    outputs["none"] = tensor([[7.0, 7.0], [8.0, 8.0], [9.0, 9.0]])  # best stretch 20: differences -6, -4, -2
    before = scores(task, outputs, targets)
    assert before["no_answer_accuracy"] == 0.0 and before["has_answer_f1"] == 1.0 and before["best_f1"] == 1.0
    entries = task.tuning_data(State(Fused(torch.zeros(3, 4)), {}), outputs, targets_of(task, "in Rome", None, []))
    assert [entry is None for entry in entries] == [False, True, False]
    assert task.tune([entry for entry in entries if entry]) == {"threshold": pytest.approx(-6.0), "validation_f1": 1.0}
    after = scores(task, outputs, targets)
    assert after["f1"] == after["exact_match"] == 1.0
    assert "-6, the best F1 on validation" in task.metric_notes(task.make_metrics())["no_answer_accuracy"]
    again = task_of(no_answer=True)
    again.load_state_dict(task.state_dict())
    assert float(again.threshold) == pytest.approx(-6.0)
    fixed = task_of(no_answer=True, threshold=1.0)
    assert "1, fixed by the option" in fixed.metric_notes(fixed.make_metrics())["no_answer_accuracy"]


def test_predictions_are_texts_with_their_places():
    task = task_of(no_answer=True, threshold=0.0)
    accent = alignment("le cafe\u0301 noir")
    accent["offsets"][3] = tensor([7, 8])  # é stands apart: BERT's offsets end before the mark
    accent = {
        **accent,
        "offsets": tensor([[0, 0], [0, 2], [3, 7], [9, 13], [0, 0]]),
        "word_ids": tensor([-1, 0, 1, 2, -1]),
    }
    state = State(Fused(torch.zeros(3, 4)), {}, {}, {"text": [WORDS, accent, None]})
    outputs = outputs_for(2, 2, none=[0.0, 0.0], rows=3)
    first, second, third = task.predict(state, outputs)
    assert {k: first[k] for k in ("prediction", "start", "end")} == {"prediction": "live", "start": 4, "end": 8}
    assert second["prediction"] == "cafe\u0301" and (second["start"], second["end"]) == (3, 8) and second["score"] > 0.9
    assert third["prediction"] is None and third["start"] is None
    nothing = task.predict(state, {**outputs, "none": torch.full((3, 2), 99.0)})
    assert [answer["prediction"] for answer in nothing] == [None] * 3 and nothing[0]["score"] == pytest.approx(1.0)
    with pytest.raises(InputError, match="Answers lie in 'text'"):
        task.predict(State(Fused(torch.zeros(3, 4)), {}), outputs)


def test_an_answer_in_a_sound_is_a_stretch_of_seconds():
    task = task_of(reads="audio", measure="seconds", end_column="end", longest=100)
    times = torch.stack([torch.arange(10) / 10, torch.arange(1, 11) / 10], 1).double()
    sound = {"times": times}
    targets = task.collate([task.encode({"answers": 0.32, "end": 0.58}, {"audio": sound}), None])
    assert (int(targets["first"][0]), int(targets["last"][0])) == (3, 5) and task.decode(targets) == [
        [0.32, 0.58],
        None,
    ]
    found = scores(task, outputs_for(3, 6, rows=2), targets)
    assert found["iou"] == pytest.approx(0.26 / 0.4) and found["f1"] == pytest.approx(2 * 0.26 / 0.66)
    (answer,) = task.predict(State(Fused(torch.zeros(1, 4)), {}, {}, {"audio": [sound]}), outputs_for(3, 6))
    assert answer["prediction"] == pytest.approx([0.3, 0.7])
    assert task.collate([task.encode({"answers": 0.8, "end": 1.4}, {"audio": sound})])["flags"][0, 0]


@pytest.mark.parametrize(
    ("options", "cells", "message"),
    [
        ({}, {"answers": "Paris"}, "does not stand in the text"),
        ({}, {"answers": {"text": ["Rome"], "answer_start": [99]}}, "lies at characters 99 to 103, the text has 28"),
        ({}, {"answers": []}, "every question of the train split has one"),
        ({"end_column": "end"}, {"answers": 7, "end": 3}, "must begin at 0 or later and end after that"),
        ({"end_column": "end"}, {"answers": 7, "end": 300}, "lies at characters 7 to 300"),
        ({"end_column": "end"}, {"answers": 7, "end": None}, "whole numbers"),
        ({"end_column": "end"}, {"answers": -1, "end": -1}, "every question of the train split has one"),
    ],
)
def test_answers_that_do_not_fit_their_text_are_refused(options, cells, message):
    task = task_of(**options)
    with pytest.raises(DataError, match=message):
        task.check_label(cells, {"text": TEXT})
    with pytest.raises(DataError, match=message):
        task.encode(cells, {"text": WORDS})


def test_options_are_checked_and_learnt():
    with pytest.raises(ConfigError, match="measure=words on column 'answers' is unknown"):
        task_of(measure="words")
    with pytest.raises(ConfigError, match="scoring=squad2 .*squad"):
        task_of(scoring="squad2")
    with pytest.raises(ConfigError, match="needs end_column"):
        task_of(measure="seconds")
    assert ExtractiveQA.fit_labels(["Rome", None, "{broken"], "answers") == {"no_answer": False}
    assert ExtractiveQA.fit_labels(["Rome", '{"text": [], "answer_start": []}'], "answers") == {"no_answer": True}
    assert ExtractiveQA.fit_labels(["3", -1], "start", "end") == {"no_answer": True}
    with pytest.raises(DataError, match="no answer in the train split: every cell is empty"):
        ExtractiveQA.fit_labels([None], "answers")


def test_a_place_that_is_one_of_several_is_said():
    task = task_of()
    text = alignment("one two one two")
    metrics = task.make_metrics()
    task.update(metrics, outputs_for(1, 1, length=6), targets_of(task, "two", text=text))
    assert "stands in its text several times" in task.metric_notes(metrics)["exact_match"]


CHINESE = [
    ("张伟在哪里读书？", "张伟在北京大学读书。", "北京大学"),
    ("李娜去了哪里？", "昨天李娜去了上海。", "上海"),
    ("谁在上海？", "我爱中国", ""),
    ("谁去北京？", "今天李娜去北京。", "李娜"),
]


def test_chinese_questions_are_answered_from_table_to_answer(chinese_bert, tmp_path):
    lines = [
        json.dumps({"问题": q, "文章": t, "答案": [a] if a else [], "split": split}, ensure_ascii=False)
        for split in ("train", "val", "test")
        for q, t, a in CHINESE
    ]
    (tmp_path / "表.jsonl").write_text("\n".join(lines), "utf-8")
    torch.manual_seed(0)
    encoders = {
        "question": TextEncoder(str(chinese_bert), max_tokens=16),
        "text": TextEncoder(str(chinese_bert), max_tokens=16),
    }
    dims = {name: encoder.out_dim for name, encoder in encoders.items()}
    columns = {"question": "问题", "text": "文章"}
    data = MultimodalData(tmp_path / "表.jsonl", columns=columns, num_workers=0, batch_size=4)
    task = ExtractiveQA(16, "答案", **ExtractiveQA.fit_labels(data.cells("答案"), "答案"), dropout=0.0)
    model = MultimodalModel(encoders, CrossAttentionFusion(dims, 16, dropout=0.0), {"回答": task})
    data.bind({name: e.processor for name, e in encoders.items()}, {"回答": task.without_weights()})
    (batch,) = data.loader("test")
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    for _ in range(80):
        optimizer.zero_grad()
        task.loss(model(batch.inputs).outputs["回答"], batch.targets["回答"]).mean.backward()
        optimizer.step()
    model.eval()
    task.tune(task.tuning_data(None, model(batch.inputs).outputs["回答"], batch.targets["回答"]))
    loaded = MultimodalModel.from_pretrained(model.save_pretrained(tmp_path / "model"))
    answers = loaded.predict([{"question": q, "text": t} for q, t, _ in CHINESE])
    assert [answer["回答"]["prediction"] for answer in answers] == ["北京大学", "上海", None, "李娜"]
    assert answers[0]["回答"]["start"] == 3 and answers[0]["回答"]["end"] == 7
    found = scores(task, model(batch.inputs).outputs["回答"], batch.targets["回答"])
    assert found["exact_match"] == found["f1"] == found["no_answer_accuracy"] == 1.0


def test_a_spoken_context_is_answered_in_seconds_from_table_to_answer(tmp_path):
    """The answer lies where a tone sounds in noise."""
    import soundfile

    rng = np.random.default_rng(0)
    lines = []
    for number in range(12):
        wave, start = 0.01 * rng.standard_normal(16_000), 0.1 + 0.05 * number
        place = slice(int(start * 16_000), int((start + 0.2) * 16_000))
        wave[place] += 0.5 * np.sin(np.arange(3200) * 0.35)
        soundfile.write(tmp_path / f"{number}.wav", wave.astype(np.float32), 16_000)
        split = ("train", "val", "test")[number % 3]
        lines.append({"audio": f"{number}.wav", "begin": start, "end": start + 0.2, "split": split})
    lines[5] |= {"begin": 0.9, "end": 1.5}  # after the encoder's cut: counted as cut off, not refused
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    torch.manual_seed(0)
    encoder = MelspecCNN(24, [8, 16], [2, 1], num_mels=16, max_seconds=1.0)
    data = MultimodalData(tmp_path / "t.jsonl", num_workers=0, batch_size=8)
    options = {"end_column": "end", "reads": "audio", "measure": "seconds", "longest": 100, "dropout": 0.0}
    task = ExtractiveQA(16, "begin", **ExtractiveQA.fit_labels(data.cells("begin"), "begin", "end"), **options)
    model = MultimodalModel({"audio": encoder}, MeanFusion({"audio": encoder.out_dim}, 16), {"place": task})
    data.bind({"audio": encoder.processor}, {"place": task.without_weights()})
    (batch,) = data.loader("train")
    lengths = model(batch.inputs).state.fused.masks["audio"].sum(1)
    assert (batch.targets["place"]["extents"][..., 0] >= 0).sum(1).tolist() == lengths.tolist()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(120):
        optimizer.zero_grad()
        task.loss(model(batch.inputs).outputs["place"], batch.targets["place"]).mean.backward()
        optimizer.step()
    model.eval()
    assert scores(task, model(batch.inputs).outputs["place"], batch.targets["place"])["f1"] > 0.6
    (answer,) = model.predict([{"audio": str(tmp_path / "3.wav")}])
    begin, end = answer["place"]["prediction"]
    assert begin == pytest.approx(0.25, abs=0.1) and end == pytest.approx(0.45, abs=0.1)
    (tested,) = data.loader("test")
    assert scores(task, model(tested.inputs).outputs["place"], tested.targets["place"])["cut_answers"] == 1.0
