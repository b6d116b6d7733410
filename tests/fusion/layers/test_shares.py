"""Shares of modalities: sums by hand, and those that strategies report against their own attention weights."""

import pytest
import torch

from fusion_harness import DIMS, build
from mmbert.fusion.flamingo import FlamingoFusion
from mmbert.fusion.layers.shares import attention_by_modality, shares_of
from mmbert.fusion.perceiver import PerceiverFusion
from mmbert.fusion.single_stream import SingleStreamFusion
from mmbert.testing import random_inputs


def test_weights_are_summed_over_the_tokens_of_each_modality():
    weights = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.0, 1.0, 0.0, 0.0]])
    expected = torch.tensor([[0.75, 0.125, 0.125], [1.0, 0.0, 0.0]])
    assert torch.equal(attention_by_modality(weights, [2, 1, 1]), expected)


def test_sizes_are_divided_by_their_sum_over_the_present():
    sizes = torch.tensor([[1.0, 3.0, 4.0], [2.0, 6.0, 100.0], [0.0, 0.0, 5.0]])
    present = torch.tensor([[True, True, True], [True, True, False], [True, True, False]])
    expected = torch.tensor([[0.125, 0.375, 0.5], [0.25, 0.75, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(shares_of(sizes, present), expected)


@pytest.mark.parametrize("kind", [SingleStreamFusion, PerceiverFusion, FlamingoFusion])
def test_the_attention_share_adds_up_the_weights_of_each_modality(kind):
    fusion = build(kind)
    inputs = random_inputs(DIMS, 3, dtype=torch.float64)
    seen = fusion(inputs, diagnostics=True).diagnostics
    rows = [w if kind is PerceiverFusion else w[:, :, :1] for name, w in seen.items() if name.startswith("attention/")]
    row = torch.stack([w.mean((1, 2)) for w in rows]).mean(0)  # (B, K)
    row = row[:, 1:] if kind is SingleStreamFusion else row
    shown = DIMS if kind is not FlamingoFusion else ["image", "audio"]
    parts = [part.sum(1) for part in row.split([inputs[m].mask.shape[1] for m in shown], 1)]
    expected = torch.stack(parts if kind is not FlamingoFusion else [torch.zeros_like(parts[0]), *parts], 1)
    torch.testing.assert_close(seen["share/attention"], expected / expected.sum(1, keepdim=True))
