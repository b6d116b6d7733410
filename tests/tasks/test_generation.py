"""Generation: its loss by hand, its laws, Chinese and Japanese, bad references, saved models."""

import json
import subprocess
import sys

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from transformers import BertConfig, BertModel, BertTokenizer

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.types import Fused, State
from mmbert.encoders.features import FeatureEncoder
from mmbert.fusion.concat import ConcatFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.generation import Generation
from mmbert.testing import check_task

H, DIMS = 8, {"text": 6, "image": 5}
TINY = {"decoder": "tiny", "config": {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 16}}
CELLS = ["a b", "b a", "ab", ["a", "b b"], "ba b", "b", "bb", "aab"]


def task_of(texts=("a b", "ab", "b"), **options):
    torch.manual_seed(0)
    options = {"vocab_size": 16, "max_length": 6, **TINY, **options}
    learnt = Generation.fit_labels(list(texts), "caption", options["vocab_size"])
    return Generation(H, "caption", DIMS, **{**learnt, **options})


def state_of(batch=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens = {
        "text": torch.randn(batch, 4, H, generator=generator),
        "image": torch.randn(batch, 2, H, generator=generator),
    }
    masks = {"text": torch.arange(4) < torch.tensor([[4], [1], [3]])[:batch], "image": torch.ones(batch, 2).bool()}
    return State(Fused(torch.randn(batch, H, generator=generator), tokens, masks), {})


def targets_of(task, cells):
    return task.collate([task.encode({"caption": cell}, {}) for cell in cells])


@pytest.mark.parametrize("options", [{}, {"num_beams": 2, "label_smoothing": 0.1}], ids=["greedy", "beams"])
def test_it_keeps_the_contract(options):
    laws = None if not options else ["shapes", "missing labels change nothing", "padding changes nothing"]
    check_task(Generation, CELLS, wrong=["", "a"], only=laws, vocab_size=16, max_length=4, **TINY, **options)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_torchs_cross_entropy_over_all_tokens(smoothing):
    task = task_of(label_smoothing=smoothing).eval()
    state, targets = state_of(), targets_of(task, ["a b", None, "b"])
    outputs = task(state, targets)
    memory, mask = task.memory(state.fused)
    ids = targets["ids"]
    logits = task.decoder(
        ids[:, :-1].clamp(min=0), encoder_hidden_states=memory, encoder_attention_mask=mask.long()
    ).logits
    by_hand = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="sum", label_smoothing=smoothing)
    loss = task.loss(outputs, targets)
    torch.testing.assert_close(loss.total, by_hand)
    known = ids[:, 1:] >= 0
    assert int(loss.count) == int(task.count(targets)) == int(known.sum())
    shares = logits.softmax(-1).gather(-1, ids[:, 1:].clamp(min=0).unsqueeze(-1)).squeeze(-1)
    of_first = shares[0][known[0]]
    expected = float(of_first.detach().prod()) ** (1 / len(of_first))  # the geometric mean over its tokens
    found = task.target_probability(outputs, targets)
    assert float(found[0]) == pytest.approx(expected, rel=1e-4) and float(found[1]) == 0


def test_texts_are_generated_in_evaluation_alone_and_once(monkeypatch):
    calls = []
    real = Generation.forward.__globals__["search_texts"]
    monkeypatch.setitem(Generation.forward.__globals__, "search_texts", lambda *a: calls.append(1) or real(*a))
    task = task_of()
    state, targets = state_of(), targets_of(task, ["a b", "b", None])
    assert "generated" not in task.train()(state, targets)
    task.eval()
    assert "generated" not in task(state, targets)  # a gradient of the loss is wanted
    with torch.no_grad():
        task.loss_only = True
        outputs = task(state, targets)
        metrics = task.make_metrics()
        task.update(metrics, outputs, targets)
        assert "generated" not in outputs and all(value.isnan() for value in metrics.compute().values())
        task.loss_only = False
        outputs = task(state, targets)
        task.update(metrics, outputs, targets)
        answers = task.predict(state, outputs)
    assert len(calls) == 1 and outputs["generated"].shape == (3, 6)
    assert [answer["prediction"] for answer in answers] == task.tokens.texts(outputs["generated"])
    metrics.compute()
    assert "tok:13a" in task.metric_notes(metrics)["bleu"] and "rouge-score" in task.metric_notes(metrics)["rougeL"]


def learnt_by_heart(task, state, cells, steps=80):
    targets = targets_of(task, cells)
    optimizer = torch.optim.Adam(task.parameters(), 0.02)
    for _ in range(steps):
        loss = task.loss(task(state, targets), targets).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    task.eval()
    with torch.no_grad():
        outputs = task(state, targets)
        metrics = task.make_metrics()
        task.update(metrics, outputs, targets)
        return task.predict(state, outputs), {name: float(value) for name, value in metrics.compute().items()}, metrics


@pytest.fixture(scope="module")
def chinese_bert(tmp_path_factory):
    """A tiny local BERT that knows characters of Chinese."""
    place = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"我爱中国你好吗猫很大。，iphone"]
    words = list(dict.fromkeys([*words, "##p", "##h", "##o", "##n", "##e"]))
    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(words), pad_token_id=0, **small)).save_pretrained(place)
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(place)
    return str(place)


@pytest.mark.parametrize("vocab_size", [None, 30])
def test_chinese_end_to_end_with_a_tiny_local_bert(chinese_bert, vocab_size):
    cells = ["我爱中国", "你好吗", "猫很大，iphone。"]
    task = task_of(cells, decoder=chinese_bert, config=None, vocab_size=vocab_size, max_length=20)
    answers, values, metrics = learnt_by_heart(task, state_of(), cells)
    assert [answer["prediction"] for answer in answers] == cells  # no spaces between characters
    assert values["bleu"] == pytest.approx(100) and values["rouge1"] == values["exact_match"] == 1
    assert "tok:zh" in metrics["bleu"].note and "by character" in metrics["rougeL"].note
    one = task.make_metrics()
    one.update(["我爱中国"], [["我爱中国"]])
    assert float(one.compute()["bleu"]) == pytest.approx(100)


def test_japanese_is_cut_by_mecab():
    cells = ["私は猫が好きです", "この犬は大きい", "東京"]
    task = task_of(cells, vocab_size=60, max_length=12)
    assert task.language == "ja"
    answers, values, metrics = learnt_by_heart(task, state_of(), cells)
    assert [answer["prediction"] for answer in answers] == cells and values["bleu"] == pytest.approx(100)
    assert "tok:ja-mecab" in metrics["bleu"].note


def test_capitals_count_where_the_vocabulary_has_them(chinese_bert):
    assert (
        task_of(["Ab", "ab"]).case_sensitive
        and not task_of(decoder=chinese_bert, config=None, vocab_size=None).case_sensitive
    )
    assert not task_of(case_sensitive=False).case_sensitive


def test_one_of_several_references_is_drawn_for_training_and_all_are_scored():
    task = task_of(["a", "b b"])
    cell = {"caption": ["a", "b b"]}
    ids = {tuple(task.encode(cell, {}, draw=draw)[0].tolist()) for draw in range(20)}
    assert len(ids) == 2 and task.encode(cell, {})[0].tolist() == task.encode({"caption": "a"}, {})[0].tolist()
    assert task.decode(task.collate([task.encode(cell, {}), None])) == [["a", "b b"], None]


@pytest.mark.parametrize(
    ("cell", "message"),
    [("  ", "is empty"), (["a", ""], "is empty"), ([], "list of references is empty"), ("ж", "vocabulary.*vocab_size")],
)
def test_references_that_cannot_be_used_are_refused(chinese_bert, cell, message):
    task = task_of(decoder=chinese_bert, config=None, vocab_size=None)
    with pytest.raises(DataError, match=message):
        task.encode({"caption": cell}, {})


def test_long_references_are_cut_and_then_do_not_end():
    task = task_of(max_length=3)
    ids = task.encode({"caption": "a b a b a b"}, {})[0].tolist()
    assert len(ids) == 4 and task.tokens.special.end not in ids
    assert task.encode({"caption": "b"}, {})[0].tolist()[-1] == task.tokens.special.end


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"do_sample": True, "num_beams": 2}, "num_beams=1"),
        ({"scores": ["bleu", "meteor"]}, "scores has 'meteor'"),
        ({"max_length": 200}, "max_length=200.*128 positions"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        task_of(**options)


def test_a_column_without_texts_is_refused():
    with pytest.raises(DataError, match="'caption' has no text in the train split"):
        Generation.fit_labels([None, []], "caption")


@pytest.mark.parametrize("vocab_size", [16, None])
def test_a_saved_model_generates_the_same_offline(tmp_path, vocab_size):
    encoders = {"text": FeatureEncoder(6), "image": FeatureEncoder(5)}
    dims = {name: encoder.out_dim for name, encoder in encoders.items()}
    learnt = Generation.fit_labels(["a b", "ab"], "caption", vocab_size)
    task = Generation(H, "caption", dims, max_length=6, vocab_size=vocab_size, **learnt, **TINY)
    model = MultimodalModel(encoders, ConcatFusion(dims, H), {"caption": task}).eval()
    samples = [{"text": [[0.1] * 6] * 2, "image": [[0.3] * 5]}, {"image": [[0.5] * 5] * 3}]
    answers = model.predict(samples)
    place = model.save_pretrained(tmp_path / "model")
    assert {"config.json", "tokenizer.json"} <= {path.name for path in (place / "tasks/caption").iterdir()}
    assert MultimodalModel.from_pretrained(place).predict(samples) == answers
    assert model.predict(samples[1:]) == answers[1:]


def command(folder, name, *words):
    """What a command prints, run in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", f"mmbert.cli.{name}", *words], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_run_from_the_command_line_skips_measures_and_predicts(tmp_path):
    texts = ["red fox", "blue bird", "red bird", "blue fox"] * 6
    said = [f"a {text}." for text in texts[:-2]] + ["", '["x", ""]']
    pd.DataFrame({"text": texts, "said": said}).to_csv(tmp_path / "t.csv", index=False)
    words = [
        *("data=manifest", "data.path=t.csv", "text=tiny", "image=none", "audio=none", "logger=none", "plots=false"),
        *("+task@tasks.said=generation", "tasks.said.column=said", "tasks.said.decoder=tiny"),
        *(
            "tasks.said.vocab_size=40",
            "data.split.val=0.25",
            "data.split.test=0.25",
            "data.on_error=skip",
            "data.num_workers=0",
            "data.batch_size=8",
        ),
        *("monitor=val/said/chrf", "trainer.max_epochs=1", "hydra.run.dir=run", "store.dir=features"),
    ]
    shown = command(tmp_path, "train", *words)
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["skipped_rows"] == 1 and 0 <= metrics["test/said/chrf"] <= 100
    assert "tok:13a" in metrics["metric_notes"]["test/said/bleu"] and "said/bleu: nrefs:1" in shown
    table = pd.read_parquet(tmp_path / "run/predictions/test.parquet")
    assert {"said/target", "said/prediction"} <= set(table.columns)
    assert "said" in command(tmp_path, "predict", "model=run", "text=red fox")
    command(tmp_path, "evaluate", "model=run", "split=test", "out=there")
    again = json.loads((tmp_path / "there/evaluation.json").read_text())
    assert again["test/said/chrf"] == metrics["test/said/chrf"]


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path):
    texts = ["red fox", "blue bird", "red bird", "blue fox"] * 6
    table = pd.DataFrame({"text": texts, "said": [f"a {text}." for text in texts]})
    table.to_csv(tmp_path / "t.csv", index=False)
    words = [
        *("data=manifest", "data.path=t.csv", "text=tiny", "image=none", "audio=none", "logger=none", "plots=false"),
        *("+task@tasks.said=generation", "tasks.said.column=said", "tasks.said.decoder=tiny", "store.dir=features"),
        *(
            "tasks.said.vocab_size=40",
            "data.split.val=0.25",
            "data.split.test=0.25",
            "data.num_workers=0",
            "data.batch_size=4",
            "trainer.max_epochs=1",
        ),
    ]
    command(tmp_path, "train", *words, "trainer=ddp_cpu", "hydra.run.dir=two")
    command(tmp_path, "evaluate", "model=two", "split=test", "out=there")
    metrics = json.loads((tmp_path / "two/metrics.json").read_text())
    again = json.loads((tmp_path / "there/evaluation.json").read_text())
    for name in ("chrf", "bleu", "rougeL", "distinct1"):
        assert again[f"test/said/{name}"] == pytest.approx(metrics[f"test/said/{name}"], abs=1e-4)
