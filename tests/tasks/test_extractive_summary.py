"""Extractive summaries: the loss by hand, the laws, Lead-3 and the oracle, bad labels, a saved model."""

import json
import re
import subprocess
import sys

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from rouge_score.rouge_scorer import RougeScorer

from mmbert.core.errors import DataError
from mmbert.core.types import Fused, State
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.concat import ConcatFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.extractive_summary import ExtractiveSummary
from mmbert.testing import check_task
from mmbert.testing.task_samples import alignment

TEXTS = [
    "Aa bb. Cc dd ee. Ff",
    "One two. Three",
    "We go. You go. They stay here. End",
    "A b",
    "Xx! Yy! Z z z",
    "K l! M",
]
CELLS = ["cc dd", "three", [2, 3], "a b", [0], "m"]


def encoded(task, cells, texts):
    return task.collate(
        [task.encode({"short": cell}, {"text": alignment(text)}) for cell, text in zip(cells, texts, strict=True)]
    )


def test_it_keeps_the_contract():
    check_task(ExtractiveSummary, CELLS, TEXTS, wrong=[9], num_sentences=2)


def test_the_loss_is_cross_entropy_of_the_mean_over_each_sentences_tokens():
    task = ExtractiveSummary(4, "short", num_sentences=1, language="en")
    targets = encoded(task, ["cc dd", None], TEXTS[:2])
    assert targets["chosen"].tolist() == [[0, 1, 0], [-100] * 3]
    assert targets["places"][0].tolist() == [-1, 0, 0, 1, 1, 1, 2, -1]  # between the two special tokens
    scores = torch.tensor([[9.0, 1, 3, -1, 0, 4, 2, 9], [5.0] * 8])
    loss = task.loss({"scores": scores}, targets)
    by_hand = F.binary_cross_entropy_with_logits(
        torch.tensor([2.0, 1.0, 2.0]), torch.tensor([0.0, 1.0, 0.0]), reduction="sum"
    )
    torch.testing.assert_close(loss.total, by_hand)
    assert int(loss.count) == 3


def test_the_score_is_the_mean_probability_of_what_is_right_of_each_sentence():
    task = ExtractiveSummary(4, "short", num_sentences=1, language="en")
    targets = encoded(task, ["cc dd", None], TEXTS[:2])
    scores = torch.tensor([[9.0, 1, 3, -1, 0, 4, 2, 9], [5.0] * 8])
    right = torch.tensor([-2.0, 1.0, -2.0]).sigmoid().mean()
    torch.testing.assert_close(task.target_score({"scores": scores}, targets), torch.stack([right, 0 * right]))


def test_rouge_of_the_model_of_the_first_sentences_and_of_the_oracle():
    task = ExtractiveSummary(4, "short", num_sentences=1, language="en")
    targets = encoded(task, ["cc dd"], TEXTS[:1])
    metrics = task.make_metrics()
    task.update(metrics, {"scores": torch.tensor([[0.0, 1, 1, 2, 2, 2, 5, 0]])}, targets)
    found = metrics.compute()
    scorer = RougeScorer(["rougeL"])
    for name, text in [("rougeL", "Ff"), ("lead_rougeL", "Aa bb."), ("oracle_rougeL", "Cc dd ee.")]:
        assert float(found[name]) == pytest.approx(scorer.score("cc dd", text)["rougeL"].fmeasure)
    assert float(found["oracle_rougeL"]) == pytest.approx(0.8)
    assert "rouge-score" in task.metric_notes(metrics)["rougeL"]


@pytest.mark.parametrize(
    ("cell", "message"),
    [([3], "no sentence 3: the text has 3"), ([], "is empty"), (" ", "is empty"), ("[-1]", "no sentence -1")],
)
def test_summaries_that_cannot_be_used_are_refused(cell, message):
    task = ExtractiveSummary(4, "short")
    with pytest.raises(DataError, match=message):
        task.encode({"short": cell}, {"text": alignment(TEXTS[0])})
    with pytest.raises(DataError, match=message):
        task.check_label({"short": cell}, {"text": TEXTS[0]})


def test_a_column_without_summaries_is_refused():
    with pytest.raises(DataError, match="no summary in the train split"):
        ExtractiveSummary.fit_labels([None], "short")


def test_sentences_that_the_encoder_cuts_are_never_chosen():
    task = ExtractiveSummary(4, "short", num_sentences=3)
    cut = {name: value[:4] if name != "text" else value for name, value in alignment(TEXTS[0]).items()}
    targets = task.collate([task.encode({"short": [0, 2]}, {"text": cut})])
    assert targets["chosen"].tolist() == [[1, 0, -100]]
    outputs = {"scores": torch.tensor([[0.0, 1, 1, 5]])}
    state = State(Fused(torch.zeros(1, 4)), {}, {}, {"text": [cut]})
    assert task.predict(state, outputs) == [{"prediction": "Aa bb.\nCc dd ee.", "sentences": [0, 1]}]


def test_a_saved_model_summarises_the_same_also_in_chinese(tmp_path):
    torch.manual_seed(0)
    encoder = TextEncoder("tiny", max_tokens=64)
    dims = {"text": encoder.out_dim}
    task = ExtractiveSummary(8, "short", num_sentences=1, language="zh")
    model = MultimodalModel({"text": encoder}, ConcatFusion(dims, 8), {"short": task}).eval()
    samples = [{"text": "天气好。我爱你！猫很大。"}, {"text": "one. two three. four"}]
    answers = model.predict(samples)
    assert answers[0]["short"]["prediction"] in ("天气好。", "我爱你！", "猫很大。")
    assert MultimodalModel.from_pretrained(model.save_pretrained(tmp_path / "model")).predict(samples) == answers


def command(folder, name, *words):
    """What a command prints, run in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", f"mmbert.cli.{name}", *words], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_run_from_the_command_line_skips_measures_and_predicts(tmp_path):
    texts = [f"The fox is {word}. It sleeps all day. Nobody saw it." for word in ("red", "old", "ill", "shy")] * 6
    short = [text.partition(".")[0] for text in texts[:-2]] + ["", "[7]"]
    pd.DataFrame({"text": texts, "short": short}).to_csv(tmp_path / "t.csv", index=False)
    command(
        tmp_path,
        "train",
        *("data=manifest", "data.path=t.csv", "text=tiny", "image=none", "audio=none", "logger=none", "plots=false"),
        *("+task@tasks.short=extractive_summary", "tasks.short.column=short", "tasks.short.num_sentences=1"),
        *("data.split.val=0.25", "data.split.test=0.25", "data.on_error=skip", "data.num_workers=0"),
        *("trainer.max_epochs=1", "hydra.run.dir=run", "store.dir=features"),
    )
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["skipped_rows"] == 1 and metrics["test/short/lead_rougeL"] == metrics["test/short/oracle_rougeL"]
    assert "rouge-score" in metrics["metric_notes"]["test/short/rougeL"]
    answer = json.loads(command(tmp_path, "predict", "model=run", f"text={texts[0]}", "--json"))["short"]
    assert answer["prediction"] == re.split(r"(?<=\.) ", texts[0])[answer["sentences"][0]]
    assert "fox" in command(tmp_path, "predict", "model=run", "text=The fox is red.")
    command(tmp_path, "evaluate", "model=run", "split=test", "out=there")
    again = json.loads((tmp_path / "there/evaluation.json").read_text())
    assert again["test/short/rougeL"] == metrics["test/short/rougeL"]
