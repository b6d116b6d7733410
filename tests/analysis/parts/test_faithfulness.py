"""Curves by hand for a linear model, shuffled weights, and what lies in a planted part."""

import numpy as np
import pytest
import torch

from explained_models import linear_model, real_batch, real_model, vectors
from mmbert.analysis.parts.answers import TaskAnswers
from mmbert.analysis.parts.differentiable import ReadFunction, differentiable
from mmbert.analysis.parts.faithfulness import (
    POINTS,
    curve,
    localisation,
    numbered_parts,
    rank_correlation,
    scores_of_parts,
    shuffled_model,
)
from mmbert.analysis.parts.integrated_gradients import integrated_gradients


@pytest.fixture
def linear():
    model, inputs = linear_model(), vectors()
    with differentiable(model):
        function = ReadFunction(TaskAnswers(model, "value"), inputs)
        made = integrated_gradients(function, torch.arange(3), torch.zeros(3, dtype=torch.int64), 2, 2)
        tokens = {name: torch.arange(read.numbers.shape[1])[:, None] for name, read in function.read.items()}
        yield function, made, tokens


def test_parts_are_numbered_over_modalities_and_padding_is_of_none(linear):
    function, made, tokens = linear
    parts, count = numbered_parts(function, 1, tokens)
    assert parts["a"][:, 0].tolist() == [0, -1] and parts["b"][:, 0].tolist() == [1, 2, 3, 4] and count == 5
    scores = scores_of_parts({name: each[1] for name, each in made.parts.items()}, parts, count)
    assert scores[0] == pytest.approx(float(made.parts["a"][1, 0].sum()), abs=1e-6)
    assert scores[1:] == pytest.approx(made.parts["b"][1].sum(1).numpy(), abs=1e-6)


def test_curves_of_a_linear_model_are_sums_of_its_scores(linear):
    function, made, tokens = linear
    parts, count = numbered_parts(function, 0, tokens)
    scores = scores_of_parts({name: each[0] for name, each in made.parts.items()}, parts, count)
    assert count == 6
    sums = np.concatenate([[0], np.cumsum(np.sort(scores)[::-1])])  # the largest first
    turns = np.linspace(0, count, POINTS).round().astype(int)
    deleted, inserted = (curve(function, (0, 0), parts, scores, insertion) for insertion in (False, True))
    assert deleted.output == pytest.approx(float(made.output[0]) - sums[turns], abs=1e-5)
    assert inserted.output == pytest.approx(float(made.baseline[0]) + sums[turns], abs=1e-5)
    assert deleted.area < deleted.random_areas.min() + 1e-9 and inserted.area > inserted.random_areas.max() - 1e-9
    assert len(set(deleted.random_areas.round(6))) > 5
    # the wrong way round is worse than any random order
    assert curve(function, (0, 0), parts, -scores, False).area > deleted.random_areas.max() - 1e-9


def test_shuffled_weights_are_the_same_numbers_elsewhere_and_only_down_to_the_stage():
    model = real_model()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    for stage, kept in (("heads", ("fusion", "encoders")), ("fusion", ("encoders",)), ("encoders", ())):
        shuffled = shuffled_model(model, stage, 0)
        for name, weight in shuffled.named_parameters():
            torch.testing.assert_close(weight.flatten().sort().values, before[name].flatten().sort().values)
            if name.startswith(kept):
                assert torch.equal(weight, before[name])
        changed = {name.split(".")[0] for name, w in shuffled.named_parameters() if not torch.equal(w, before[name])}
        assert changed == {"tasks", "fusion", "encoders"} - set(kept)
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    batch = real_batch(model)
    with torch.no_grad():
        assert not torch.allclose(model(batch.inputs).fused.pooled, shuffled(batch.inputs).fused.pooled, atol=1e-2)


def test_what_lies_in_a_planted_part_by_hand():
    values = np.array([[0.5, -2.0], [0.3, 0.2]])
    planted = np.array([[True, True], [False, False]])
    found = localisation(values, planted)
    assert found.share == pytest.approx(0.5) and found.area == 0.5 and found.hit
    assert not localisation(-values, np.array([[True, False], [False, False]])).hit
    assert np.isnan(localisation(-np.ones((2, 2)), planted).share)
    assert rank_correlation(np.array([1.0, 2, 3, 4]), np.array([2.0, 1, 4, 3])) == pytest.approx(0.6)
    assert np.isnan(rank_correlation(np.ones(3), np.arange(3.0)))
