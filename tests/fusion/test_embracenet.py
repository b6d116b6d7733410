"""EmbraceNet against NumPy: the expectation in evaluation, draws in training that have it as their mean."""

import numpy as np
import pytest
import torch

from fusion_harness import DIMS, WIDTH, assert_close, build_with_weights, projected, samples
from mmbert.core.errors import ConfigError
from mmbert.fusion.embracenet import EmbraceNetFusion, drawn
from mmbert.testing.fusion_inputs import pick


def docked_by_hand(row, w):
    return {m: np.maximum(projected(v, w, f"dock.{m}"), 0) for m, v in row.items()}


@pytest.mark.parametrize("odds", [None, {"text": 1.0, "image": 3.0, "audio": 0.5}])
def test_in_evaluation_embracenet_is_the_expectation(odds):
    fusion, w = build_with_weights(EmbraceNetFusion, dropout=0.0, probabilities=odds)
    inputs, rows = samples()
    expected = []
    for row in rows:
        docked = docked_by_hand(row, w)
        share = {m: (odds or dict.fromkeys(DIMS, 1.0))[m] for m in row}
        expected.append(sum(share[m] / sum(share.values()) * docked[m] for m in row))
    assert_close(fusion(inputs).pooled, expected)


def test_in_training_each_number_comes_from_one_present_modality_and_on_average_gives_the_expectation():
    fusion, w = build_with_weights(
        EmbraceNetFusion, dropout=0.0, probabilities={"text": 1.0, "image": 3.0, "audio": 0.5}
    )
    inputs, rows = samples()
    expectation = fusion(inputs).pooled.detach()
    fusion.train()
    torch.manual_seed(0)
    many = pick(inputs, list(range(len(rows))) * 4000)
    draws = fusion(many).pooled.detach().unflatten(0, (4000, len(rows)))  # (N, B, H)
    for b, row in enumerate(rows):
        docked = np.stack(list(docked_by_hand(row, w).values()))  # (|P|, H)
        assert np.isclose(draws[:50, b].numpy()[:, None], docked).any(1).all()
    np.testing.assert_allclose(draws.mean(0), expectation, atol=0.12)


def test_draws_have_the_chances_that_were_told_and_are_independent():
    torch.manual_seed(0)
    odds = torch.tensor([[1.0, 3.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    taken = drawn(odds, 40_000)
    often = torch.nn.functional.one_hot(taken, 3).double().mean(1)
    torch.testing.assert_close(often[:2], torch.tensor([[0.25, 0.75, 0], [0, 0, 1]]).double(), atol=0.01, rtol=0)
    both = ((taken[0, ::2] == 0) & (taken[0, 1::2] == 0)).double().mean().item()
    assert both == pytest.approx(1 / 16, abs=0.01)


@pytest.mark.parametrize("wrong", [{"text": 1.0, "image": 1.0}, {"text": 1.0, "image": 1.0, "audio": 0.0}])
def test_probabilities_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"must give each of \['text', 'image', 'audio'\] a number above 0"):
        EmbraceNetFusion(DIMS, WIDTH, probabilities=wrong)
