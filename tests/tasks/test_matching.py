"""Who is exchanged with whom, what is no mismatch, and the numbers of scikit-learn."""

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import tensor

from mmbert.core.errors import ConfigError
from mmbert.core.types import UNLABELLED, Encoded, Fused, State
from mmbert.encoders.features import FeatureEncoder
from mmbert.fusion.concat import ConcatFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.matching import Matching
from mmbert.testing import task_tests

TestMatching = task_tests(Matching)
TestMatchingOfTexts = task_tests(Matching, swap="text", share=0.6)
DIMS = {"text": 4, "image": 3}


def exchanged(task, vectors, cells=None, draws=None, counted=None):
    inputs = FeatureEncoder(3).processor.collate(vectors)
    labels = [task.encode({"caption": cell}, {}) for cell in cells or [None] * len(vectors)]
    given = task.collate(
        [label if real else None for label, real in zip(labels, counted or [True] * 999, strict=False)]
    )
    made, found = task.change_inputs({"image": inputs}, draws or range(len(vectors)), given)
    return inputs["features"], made["image"]["features"], found["match"]


def test_a_mismatch_has_another_samples_input_and_a_match_its_own():
    task = Matching(4, DIMS)
    before, after, match = exchanged(task, [torch.full((2, 3), float(i)) for i in range(200)])
    own = (before == after).flatten(1).all(1)
    assert torch.equal(own.long(), match)
    assert abs(int(match.sum()) - 100) < 4 * 50**0.5  # share 0.5 of 200, standard deviation sqrt(50)
    assert len({float(x) for x in after[~own][:, 0, 0]}) > 50  # donors are many
    assert torch.equal(after, exchanged(task, [torch.full((2, 3), float(i)) for i in range(200)])[1])
    others = exchanged(task, [torch.full((2, 3), float(i)) for i in range(200)], draws=range(500, 700))[2]
    assert not torch.equal(match, others)


def test_absent_and_copied_samples_neither_give_nor_take():
    task = Matching(4, DIMS, share=0.99)
    vectors = [torch.full((1, 3), float(i)) if i != 2 else None for i in range(6)]
    _, after, match = exchanged(task, vectors, counted=[True] * 5 + [False], draws=range(10, 16))
    assert match[[2, 5]].tolist() == [UNLABELLED] * 2 and float(after[2].abs().sum()) == 0
    assert not (after[:5] == 5).any() and (match[[0, 1, 3, 4]] == 0).any()


def test_equal_captions_and_equal_pictures_are_no_mismatches():
    task = Matching(4, DIMS, share=0.99, duplicates="caption")
    assert task.columns == ("caption",)
    vectors = [torch.full((1, 3), float(i)) for i in range(4)]
    for draws in (range(20), range(100, 120)):
        chosen = list(draws)[:4]
        _, after, match = exchanged(task, vectors, ["a dog", "a dog", "a cat", None], chosen)
        for row in (0, 1):
            assert match[row] == 1 or float(after[row, 0, 0]) in (2, 3)
    same = [torch.ones(1, 3)] * 4
    assert exchanged(task, same)[2].tolist() == [1, 1, 1, 1]  # nobody has another picture
    assert exchanged(task, vectors, ["a dog"] * 4)[2].tolist() == [1, 1, 1, 1]


def test_only_pairs_count_and_auroc_is_scikit_learns():
    task = Matching(4, DIMS).eval()
    torch.manual_seed(1)
    pooled = torch.randn(6, 4)
    image = Encoded(torch.zeros(6, 1, 3), tensor([[True]] * 5 + [[False]]), torch.zeros(6, 3))
    text = Encoded(torch.zeros(6, 1, 4), tensor([[True]] * 4 + [[False], [True]]), torch.zeros(6, 4))
    state = State(Fused(pooled), {"text": text, "image": image})
    targets = {"counted": torch.ones(6, dtype=torch.bool), "match": tensor([1, 0, 1, 0, 1, UNLABELLED])}
    outputs = task(state, targets)
    assert outputs["paired"].tolist() == [True] * 4 + [False] * 2
    z, y = outputs["logits"][:4].detach(), tensor([1.0, 0, 1, 0])
    loss = task.loss(outputs, targets)
    torch.testing.assert_close(loss.total, -(y * z.sigmoid().log() + (1 - y) * (-z).sigmoid().log()).sum())
    assert int(loss.count) == 4
    metrics = task.make_metrics()
    task.update(metrics, outputs, targets)
    assert float(metrics.compute()["auroc"]) == pytest.approx(roc_auc_score(y, z))
    assert float(metrics.compute()["accuracy"]) == pytest.approx(((z > 0) == y.bool()).float().mean())
    answers = task.predict(state, outputs)
    assert [answer["prediction"] for answer in answers[4:]] == [None, None]
    assert answers[0]["probabilities"]["match"] == pytest.approx(float(z[0].sigmoid()))
    assert task.decode(targets) == ["match", "mismatch", "match", "mismatch", "match", None]


def test_a_bilinear_pair_is_learnt_from_pairs_alone():
    torch.manual_seed(0)
    encoders = {name: FeatureEncoder(4, norm=False) for name in ("text", "image")}
    dims = dict.fromkeys(encoders, 4)
    model = MultimodalModel(encoders, ConcatFusion(dims, 64, dropout=0.0), {"m": Matching(64, dims, hidden_dim=64)})
    task, optimizer = model.tasks["m"], torch.optim.Adam(model.parameters(), 0.01)
    processor = encoders["image"].processor
    for step in range(150):
        x = torch.nn.functional.one_hot(torch.randint(4, (64,)), 4).float().unsqueeze(1)
        inputs = {name: processor.collate(list(x)) for name in encoders}
        given = task.collate([0] * 64)
        made, found = task.change_inputs({"image": inputs["image"]}, range(step * 64, step * 64 + 64), given)
        inputs, targets = {**inputs, **made}, {"m": {**given, **found}}
        loss = task.loss(model(inputs, targets=targets).outputs["m"], targets["m"]).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3  # chance is 0.69: whether the two words are the same needs both


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="swap=imag.* Did you mean 'image'"):
        Matching(4, DIMS, swap="imag")
    with pytest.raises(ConfigError, match="needs another modality beside 'image'"):
        Matching(4, {"image": 3})
