"""What all token-level strategies have in common: tokens dropped, scale, diagnostics, costs, options."""

import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.fusion.bottleneck import BottleneckFusion
from mmbert.fusion.co_attention import CoAttentionFusion
from mmbert.fusion.flamingo import FlamingoFusion
from mmbert.fusion.mult import MultFusion
from mmbert.fusion.perceiver import PerceiverFusion
from mmbert.fusion.single_stream import SingleStreamFusion
from mmbert.testing import random_inputs

EVERY = [SingleStreamFusion, BottleneckFusion, PerceiverFusion, FlamingoFusion, CoAttentionFusion, MultFusion]
DIMS = {"text": 4, "image": 3, "audio": 5}
PRESENT = [[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0]]
WIDTH = 8


def built(kind, **options):
    """In float64, evaluation mode, with norms that are no identity."""
    torch.manual_seed(3)
    fusion = kind(DIMS, WIDTH, **options).double().eval()
    with torch.no_grad():
        for parameter in fusion.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return fusion


def sizes_of_attention(fusion, monkeypatch, lengths):
    """(queries, keys) of each attention in a forward pass."""
    seen = []
    kernel = torch.nn.functional.scaled_dot_product_attention

    def spy(q, k, v, **options):
        seen.append((q.shape[2], k.shape[2]))
        return kernel(q, k, v, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", spy)
    fusion(random_inputs(DIMS, 2, lengths=lengths, dtype=torch.float64))
    return seen


def test_tokens_of_one_modality_never_meet_those_of_another_in_the_bottleneck(monkeypatch):
    fusion = built(BottleneckFusion, num_layers=2, fusion_layer=1, num_bottlenecks=3)
    seen = sizes_of_attention(fusion, monkeypatch, {"text": 20, "image": 30, "audio": 40})
    assert seen == [(21, 21), (31, 31), (41, 41), (24, 24), (34, 34), (44, 44)]


def test_perceiver_is_linear_in_tokens(monkeypatch):
    fusion = built(PerceiverFusion, num_latents=4, num_blocks=2, layers_per_block=1)
    seen = sizes_of_attention(fusion, monkeypatch, {"text": 20, "image": 30, "audio": 40})
    assert seen == [(4, 90), (4, 4), (4, 90), (4, 4), (90, 4)]  # reading, thinking, twice; then the tokens ask


@pytest.mark.parametrize("kind", EVERY)
def test_without_tokens_the_vector_and_its_gradients_are_the_same(kind):
    whole, brief = built(kind), built(kind)
    brief.drop_tokens()
    inputs = random_inputs(DIMS, len(PRESENT), present=torch.tensor(PRESENT).bool(), dtype=torch.float64)
    expected, given = whole(inputs), brief(inputs)
    torch.testing.assert_close(given.pooled, expected.pooled, rtol=1e-12, atol=1e-12)
    assert expected.tokens and not given.tokens
    for fused in (expected, given):
        fused.pooled.square().sum().backward()
    left = dict(brief.named_parameters())
    for name, parameter in whole.named_parameters():
        if name in left:
            torch.testing.assert_close(left[name].grad, parameter.grad, rtol=1e-9, atol=1e-12, msg=name)
        else:
            assert parameter.grad is None, f"{name} serves tokens alone"


@pytest.mark.parametrize("kind", EVERY)
def test_the_output_is_of_order_one_at_the_start(kind):
    torch.manual_seed(0)
    dims = dict.fromkeys(DIMS, 64)
    pooled = kind(dims, 128).eval()(random_inputs(dims, 8)).pooled
    assert 0.1 < pooled.square().mean().sqrt() < 2


@pytest.mark.parametrize("kind", EVERY)
def test_weights_and_shares_come_only_when_asked_for_and_agree(kind):
    fusion = built(kind)
    present = torch.tensor(PRESENT).bool()
    inputs = random_inputs(DIMS, len(PRESENT), present=present, dtype=torch.float64)
    assert fusion(inputs).diagnostics == {}
    told = fusion(inputs, diagnostics=True).diagnostics
    shares = {name: share for name, share in told.items() if name.startswith("share/")}
    brief = fusion(inputs, diagnostics="shares").diagnostics
    assert set(shares) == {name for name, tensor in brief.items() if tensor.shape == (len(PRESENT), len(DIMS))}
    weights = {name: tensor for name, tensor in told.items() if "attention/" in name and tensor.ndim == 4}
    assert weights
    for name, share in shares.items():
        torch.testing.assert_close(share, brief[name])
        assert ((share == 0) | present).all() and (share >= 0).all()
        sums = share.sum(1)
        torch.testing.assert_close(sums[sums > 0], torch.ones_like(sums[sums > 0]))
        assert (sums[present.all(1)] > 0).all()
    for name, tensor in weights.items():
        sums = tensor.sum(-1)
        assert ((sums - 1).abs().lt(1e-9) | sums.eq(0)).all(), name


@pytest.mark.parametrize("kind", [SingleStreamFusion, PerceiverFusion, FlamingoFusion])
def test_the_attention_share_adds_up_the_weights_of_each_modality(kind):
    fusion = built(kind)
    inputs = random_inputs(DIMS, 3, dtype=torch.float64)
    told = fusion(inputs, diagnostics=True).diagnostics
    rows = [w if kind is PerceiverFusion else w[:, :, :1] for name, w in told.items() if name.startswith("attention/")]
    row = torch.stack([w.mean((1, 2)) for w in rows]).mean(0)  # (B, K)
    row = row[:, 1:] if kind is SingleStreamFusion else row
    shown = DIMS if kind is not FlamingoFusion else ["image", "audio"]
    parts = [part.sum(1) for part in row.split([inputs[m].mask.shape[1] for m in shown], 1)]
    expected = torch.stack(parts if kind is not FlamingoFusion else [torch.zeros_like(parts[0]), *parts], 1)
    torch.testing.assert_close(told["share/attention"], expected / expected.sum(1, keepdim=True))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        *((kind, {"num_heads": 3}, "num_heads=3 must divide fusion.out_dim=8") for kind in EVERY[:-1]),
        (MultFusion, {"width": 10}, "num_heads=4 must divide fusion.width=10"),
        (MultFusion, {"read": "first"}, "fusion.read=first must be 'last' or 'mean'"),
        (SingleStreamFusion, {"num_layers": 0}, "num_layers=0 must be at least 1"),
        (BottleneckFusion, {"num_layers": 2, "fusion_layer": 2}, "fusion_layer=2 must be one of the layers 0 to 1"),
        (BottleneckFusion, {"num_bottlenecks": 0}, "num_bottlenecks=0 must be at least 1"),
        (PerceiverFusion, {"num_latents": 0}, "num_latents=0 must be at least 1"),
        (FlamingoFusion, {"reader": "txt"}, "reader=txt is none of the modalities. Did you mean 'text'"),
    ],
)
def test_options_that_make_no_sense_are_told(kind, options, message):
    with pytest.raises(ConfigError, match=message):
        kind(DIMS, WIDTH, **options)
