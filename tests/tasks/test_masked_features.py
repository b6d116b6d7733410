"""Which vectors are hidden, what the head is measured on, and numbers by NumPy and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score
from torch import tensor

from mmbert.core.errors import ConfigError
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.cross_attention import CrossAttentionFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.masked_features import ExplainedShare, MaskedFeatures, spans
from mmbert.testing import task_tests

TestMaskedFeatures = task_tests(MaskedFeatures, share=0.5)
TestSpans = task_tests(MaskedFeatures, modality="audio", share=0.6, span=2, hidden_dim=8)


def model_of(**options):
    torch.manual_seed(0)
    encoders = {"frames": FeatureEncoder(5), "text": FeatureEncoder(3)}
    dims = {"frames": 5, "text": 3}
    tasks = {"m": MaskedFeatures(8, dims, modality="frames", **options)}
    return MultimodalModel(encoders, CrossAttentionFusion(dims, 8, num_heads=2, dropout=0.0), tasks).eval()


def test_shares_and_spans():
    counts = [spans(100, 0.15, 1, np.random.default_rng(seed)).sum() for seed in range(200)]
    assert set(counts) <= {15, 16}  # rounded up with a probability of its fraction
    hidden = spans(50, 0.2, 5, np.random.default_rng(3))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden, [0]])))
    runs = edges[1::2] - edges[::2]
    assert (runs[:-1] >= 5).all() and hidden.sum() <= 15
    single = [spans(1, 0.15, 1, np.random.default_rng(seed))[0] for seed in range(2000)]
    assert abs(np.mean(single) - 0.15) < 4 * (0.15 * 0.85 / 2000) ** 0.5


def test_hidden_vectors_are_zeros_and_their_targets_are_normalised():
    model = model_of(share=0.5)
    task, processor = model.tasks["m"].without_weights(), model.encoders["frames"].processor
    inputs = processor.collate([torch.randn(6, 5) * 7 + 3, None, torch.randn(4, 5), torch.randn(3, 5)])
    targets = task.collate([True, True, True, None])
    made, found = task.change_inputs({"frames": inputs}, range(4), targets)
    hidden, features = found["hidden"], made["frames"]["features"]
    assert hidden[0].sum() in (3, 4) and not hidden[1].any() and not hidden[3].any() and not hidden[2, 4:].any()
    assert float(features[hidden].abs().sum()) == 0 and torch.equal(features[~hidden], inputs["features"][~hidden])
    x = inputs["features"][hidden].numpy()
    wanted = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(found["vectors"][hidden].numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_loss_and_r2_by_independent_numbers():
    model = model_of(share=0.5)
    task = model.tasks["m"]
    inputs = {
        name: e.processor.collate([torch.randn(6, e.out_dim) for _ in range(4)])
        for name, e in model.named_encoders().items()
    }
    targets = task.collate([True] * 4)
    made, found = task.change_inputs({"frames": inputs["frames"]}, range(4), targets)
    targets = {**targets, **found}
    with torch.no_grad():
        outputs = model({**inputs, **made}, targets={"m": targets}).outputs["m"]
    guesses, vectors = outputs["guesses"][found["hidden"]].numpy(), found["vectors"][found["hidden"]].numpy()
    loss = task.loss(outputs, targets)
    np.testing.assert_allclose(float(loss.total), ((guesses - vectors) ** 2).mean(1).sum(), rtol=1e-5)
    assert int(loss.count) == int(task.count(targets)) == len(vectors)
    metrics = task.make_metrics()
    for row in range(4):
        one = {name: tensor[row : row + 1] for name, tensor in targets.items()}
        task.update(metrics, {"guesses": outputs["guesses"][row : row + 1]}, one)
    np.testing.assert_allclose(float(metrics.compute()["r2"]), r2_score(vectors.ravel(), guesses.ravel()), rtol=1e-4)


def test_what_is_hidden_is_learnt_from_another_modality():
    model = model_of(share=0.9, hidden_dim=32).train()
    task, optimizer = model.tasks["m"], torch.optim.Adam(model.parameters(), 0.01)
    generator = torch.Generator().manual_seed(0)
    codes, known = torch.randn(3, 5, generator=generator), torch.eye(3)
    for step in range(70):
        which = torch.randint(3, (32,), generator=generator)
        inputs = {
            "frames": model.encoders["frames"].processor.collate([codes[i].expand(4, 5) for i in which]),
            "text": model.encoders["text"].processor.collate([known[i : i + 1] for i in which]),
        }
        targets = task.collate([True] * 32)
        made, found = task.change_inputs({"frames": inputs["frames"]}, range(step * 32, step * 32 + 32), targets)
        targets = {**targets, **found}
        outputs = model({**inputs, **made}, targets={"m": targets}).outputs["m"]
        loss = task.loss(outputs, targets).mean
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.4  # the mean vector would have about 1


def test_beside_other_tasks_nothing_is_measured():
    task = model_of().tasks["m"]
    targets = task.collate([True, True])
    outputs = {"guesses": torch.randn(2, 3, 5, requires_grad=True)}
    loss = task.loss(outputs, targets)
    assert float(loss.total.detach()) == 0 == float(loss.count) and loss.total.requires_grad
    task.update(task.make_metrics(), outputs, targets)


def test_other_encoders_are_refused():
    with pytest.raises(ConfigError, match="modality=framse.* Did you mean 'frames'"):
        MaskedFeatures(8, {"frames": 5}, modality="framse")
    with pytest.raises(ConfigError, match="need an encoder of ready features.*'text' is a TextEncoder"):
        MaskedFeatures(8, {"text": 5}, modality="text").connect({"text": TextEncoder("tiny")})


def test_constant_vectors_have_no_share_to_explain():
    metric = ExplainedShare()
    metric.update(tensor([[1.0, 2.0]]), tensor([[0.0, 0.0]]))
    assert bool(metric.compute().isnan())
