"""Retrieval: its loss against InfoNCE done by hand, ties and duplicates, missing modalities, and what it predicts."""

import json
import math

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import tensor
from torch.testing import assert_close

from mmbert.core.errors import ConfigError
from mmbert.core.types import Encoded, Fused, State
from mmbert.model import MultimodalModel
from mmbert.tasks.contrastive.batch import NO_CELL
from mmbert.tasks.retrieval import Retrieval, fingerprint
from mmbert.testing import check_task
from mmbert.training.evaluate import evaluate
from mmbert.training.run import run

DIMS = {"text": 4, "image": 3}


def make(dims=DIMS, **options):
    torch.manual_seed(0)
    return Retrieval(8, dims, embed_dim=5, **options).eval()


def state(size, present=None, dims=DIMS, seed=1):
    generator = torch.Generator().manual_seed(seed)
    present = torch.ones(size, len(dims)).bool() if present is None else present
    encoded = {}
    for i, (name, dim) in enumerate(dims.items()):
        tokens = torch.randn(size, 2, dim, generator=generator)
        encoded[name] = Encoded.from_tokens(tokens, present[:, i : i + 1].expand(-1, 2))
    return State(Fused(torch.zeros(size, 8)), encoded)


def targets_of(task, captions):
    rows = [None if caption is ... else task.encode({"caption": caption}, {}) for caption in captions]
    return task.collate(rows)


def test_it_keeps_the_contract_with_either_loss():
    check_task(Retrieval, loss="siglip", embeddings=True)
    check_task(Retrieval, hidden_dim=4)


def test_loss_is_info_nce_of_all_pairs_of_modalities_in_both_directions():
    dims = {"text": 4, "image": 3, "audio": 2}
    task = make(dims, temperature=0.5)
    outputs = task(state(6, dims=dims))
    loss = task.loss(outputs, targets_of(task, [None] * 6))
    text, image, audio = outputs["vectors"].unbind(1)
    place, terms = torch.arange(6), []
    for a, b in ((text, image), (text, audio), (image, audio)):
        similar = a @ b.T / 0.5
        terms += [F.cross_entropy(similar, place), F.cross_entropy(similar.T, place)]
    assert_close(loss.mean, torch.stack(terms).mean())
    assert int(loss.count) == 6


def test_siglip_is_the_papers_pseudocode():
    task = make(loss="siglip")
    outputs = task(state(5))
    text, image = outputs["vectors"].unbind(1)
    logits = text @ image.T * 10 - 10  # algorithm 1 of the paper: t_prime = log 10, b = -10 at the beginning
    labels = 2 * torch.eye(5) - torch.ones(5, 5)
    expected = -F.logsigmoid(labels * logits).sum() / 5
    assert_close(task.loss(outputs, targets_of(task, [None] * 5)).mean, expected)


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=6), st.sampled_from(["infonce", "siglip"])
)
def test_a_sample_with_one_modality_adds_nothing(there, loss):
    task = make(loss=loss)
    present = tensor(there)
    outputs, both = task(state(len(there), present)), present.all(1)
    whole = task.loss(outputs, targets_of(task, [None] * len(there)))
    some = task.loss({name: x[both] for name, x in outputs.items()}, targets_of(task, [None] * int(both.sum())))
    assert_close(whole.mean, some.mean)
    assert int(whole.count) == int(both.sum())


@pytest.mark.parametrize("loss", ["infonce", "siglip"])
def test_the_same_caption_is_a_right_answer(loss):
    task = make(input_columns={"text": "caption"}, loss=loss)
    outputs, captions = task(state(4)), ["a", "b", "a", None]
    right = tensor([[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]])
    text, image = outputs["vectors"].unbind(1)
    if loss == "infonce":  # the mean over the right answers, as of UniCL
        logits = text @ image.T / 0.07
        share = right / right.sum(1, keepdim=True)
        expected = -(share * (logits.log_softmax(1) + logits.T.log_softmax(1))).sum() / 8
    else:
        expected = -F.logsigmoid((2 * right - 1) * (text @ image.T * 10 - 10)).sum() / 4
    assert_close(task.loss(outputs, targets_of(task, captions)).mean, expected)


def test_the_scale_is_learnt_and_stays_below_100_as_in_clip():
    task = make(temperature=0.01).train()
    with torch.no_grad():
        task.log_scale.fill_(9.0)
    task.loss(task(state(3)), targets_of(task, [None] * 3)).total.backward()
    assert task.log_scale.item() == pytest.approx(math.log(100)) and task.log_scale.grad.abs() > 0


def measured(task, vectors, captions, present=None):
    vectors = F.normalize(vectors.float(), dim=-1)
    present = torch.ones(vectors.shape[:2]).bool() if present is None else present
    metrics = task.make_metrics()
    task.update(metrics, {"vectors": vectors, "present": present}, targets_of(task, captions))
    return {name: float(value) for name, value in metrics.compute().items()}


def test_a_model_that_maps_everything_to_one_point_finds_nothing():
    found = measured(make(), torch.ones(20, 2, 3), [None] * 20)
    assert found["recall_at_1"] == found["recall_at_10"] == 0
    assert found["median_rank"] == 20 and found["mrr"] == pytest.approx(1 / 20)


def test_copies_that_fill_up_a_batch_are_no_items():
    task = make()
    vectors = torch.eye(4).repeat_interleave(2, 0).view(4, 2, 4)
    assert measured(task, vectors, [None] * 4)["recall_at_1"] == 1
    assert measured(task, torch.ones(4, 2, 4), [None, ..., ..., ...])["recall_at_1"] == 1  # one item alone


def test_the_notes_say_how_large_the_galleries_are():
    task = make(input_columns={"text": "caption"})
    metrics = task.make_metrics()
    present = tensor([[True, True], [True, True], [True, False]])
    vectors = F.normalize(torch.randn(3, 2, 4), dim=-1)
    task.update(metrics, {"vectors": vectors, "present": present}, targets_of(task, ["a", "a", "b"]))
    assert task.metric_notes(metrics) == {}
    metrics.compute()
    assert task.metric_notes(metrics) == {"mrr": "galleries: 2 of text, 2 of image; ties count against the model"}


def test_every_direction_has_its_own_scores():
    names = set(make({"text": 4, "image": 3, "audio": 2}).make_metrics())
    pairs = ["text_to_image", "image_to_text", "text_to_audio", "audio_to_text", "image_to_audio", "audio_to_image"]
    scores = ["recall_at_1", "recall_at_5", "recall_at_10", "median_rank", "mrr"]
    assert names == {*scores, *(f"{pair}_{score}" for pair in pairs for score in scores)}


def test_predictions_are_the_cosines_of_the_modalities_that_are_there():
    task = make()
    there = state(2, tensor([[True, True], [True, False]]))
    outputs = task(there)
    first, second = task.predict(there, outputs)
    assert first["prediction"]["text-image"] == pytest.approx(float(F.cosine_similarity(*outputs["vectors"][0], dim=0)))
    assert second == {"prediction": {}}
    full = make(embeddings=True).predict(there, outputs)[1]["prediction"]
    assert list(full["vectors"]) == ["text"] and len(full["vectors"]["text"]) == 5
    json.dumps(full)


def test_another_table_may_have_other_columns():
    task = make(input_columns={"text": "caption", "image": "file"}, column="group")
    assert task.columns == ("caption", "file", "group")
    task.set_input_columns({"text": "words", "audio": "sound"})
    assert task.columns == ("words", "group")
    assert task.encode({"words": "a", "group": None}, {}) == (fingerprint("a"), NO_CELL, NO_CELL)


def test_one_modality_is_refused():
    with pytest.raises(ConfigError, match="between modalities, and there is only text"):
        Retrieval(8, {"text": 4})


def test_fingerprints_are_equal_for_equal_cells_alone():
    cells = ["a", "b", b"a\x00", [1.0, 2.0], [1.0, 2.5], {"path": "a"}, ""]
    assert len({fingerprint(cell) for cell in cells}) == len(cells) and fingerprint(None) == NO_CELL
    assert fingerprint([1.0, 2.0]) == fingerprint([1.0, 2.0]) and 0 < fingerprint("x") < 2**62


# ---- whole runs

PAIRS = {"_target_": "mmbert.tasks.retrieval.Retrieval", "embed_dim": 8}


def composed(compose_tiny, *more):
    cfg = compose_tiny("logger=none", *more)
    cfg.tasks = OmegaConf.create({"pairs": PAIRS})
    return cfg


def test_a_run_is_measured_in_six_directions_and_its_predictions_are_small(compose_tiny, tmp_path, digits):
    run(composed(compose_tiny, "trainer.max_epochs=1", "data.eval_batch_size=7"), tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert "ties count against the model" in json.dumps(metrics)
    measured = {name.removeprefix("test/pairs/") for name in metrics if name.startswith("test/pairs/")}
    names = ("text", "image", "audio")
    assert {f"{a}_to_{b}_recall_at_5" for a in names for b in names if a != b} <= measured
    model = MultimodalModel.from_pretrained(tmp_path / "model")
    table = pd.read_csv(digits)
    assert model.named_tasks()["pairs"].columns == ("text", "image", "audio")
    predictions = pd.read_parquet(tmp_path / "predictions" / "test.parquet")
    assert len(predictions) == (table["split"] == "test").sum()
    assert set(json.loads(predictions["pairs/prediction"].iloc[0])) <= {"text-image", "text-audio", "image-audio"}
    answer = model.predict([{"text": "Add the two numbers."}])[0]["pairs"]
    assert answer == {"prediction": {}}


def test_a_trained_model_is_measured_on_a_table_with_other_columns(compose_tiny, tmp_path, digits):
    cfg = composed(compose_tiny, "trainer.max_epochs=1")
    run(cfg, tmp_path / "run")
    table = pd.read_csv(digits).rename(columns={"text": "words"}).drop(columns=["audio"])
    table["image"] = [name if pd.isna(name) else str(digits.parent / name) for name in table["image"]]
    other = tmp_path / "other.csv"
    table.to_csv(other, index=False)
    model = MultimodalModel.from_pretrained(tmp_path / "run" / "model")
    cfg.data.path, cfg.data.columns.text = str(other), "words"
    measured = evaluate(model, cfg.data, cfg.trainer, tmp_path / "evaluation", ["test"], drop=["audio"])
    assert "test/pairs/text_to_image_mrr" in measured.metrics and "test/pairs/text_to_audio_mrr" not in measured.metrics
