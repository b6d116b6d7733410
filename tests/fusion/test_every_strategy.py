"""Every strategy that has a YAML file keeps the contract; a new one is held to it by being there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fusion_harness import DIMS, PRESENT, STRATEGIES, WIDTH, batch_of, build, options_of
from mmbert.core.errors import ConfigError
from mmbert.testing import check_fusion, random_inputs
from mmbert.testing.fusion_inputs import fill_padding
from wrapped_layers import passed_by

TRACED = {"concat", "mcb", "late_mean"}
#: Their first weights are drawn so that the output has a variance of about 1, however many modalities there are.
UNIT_VARIANCE = {"bilinear", "block", "deep_sets", "embracenet", "film", "low_rank", "mcb", "mfb", "mixture_of_experts"}
UNIT_VARIANCE |= {"mlb", "mutan", "product_of_experts", "tensor_fusion"}
#: A product of numbers below 1 shrinks with each: so its formula has it.
SHRINKING = {"product"}
#: These show their attention weights.
SHOWS_ATTENTION = {"single_stream", "bottleneck", "perceiver", "flamingo", "co_attention", "mult", "cross_attention"}
WITH_HEADS = [name for name in STRATEGIES if {"num_heads", "width"} & set(options_of(name)[1]) == {"num_heads"}]


def test_the_strategies_are_found():
    assert {"concat", "mean", "product", "cross_attention"} <= set(STRATEGIES)


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_keeps_every_law(name):
    kind, options = options_of(name)
    assert check_fusion(kind, dims={"text": 6, "image": 5, "audio": 4}, **options).passed


@pytest.mark.parametrize("mode", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_no_layers_weights_are_read_past_it(name, mode):
    kind, options = options_of(name)
    fusion = kind(DIMS, WIDTH, **options).train(mode)
    inputs = random_inputs(DIMS, 4)

    def run():
        torch.manual_seed(0)
        fused = fusion(inputs)
        return torch.cat([t.flatten() for t in (fused.pooled, *fused.tokens.values(), *fused.views.values())])

    assert passed_by(fusion, run) == []


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor has that any operation gives, backwards included."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.numbers = max([self.numbers, *(t.numel() for t in tree_leaves(out) if isinstance(t, torch.Tensor))])
        return out


def largest_in_a_step(kind, **options):
    """Of two samples with three modalities of 200 tokens, in training mode; None if the strategy reads no tokens."""
    dims = {"text": 6, "image": 5, "audio": 4}
    torch.manual_seed(0)
    fusion = kind(dims, 8, **options).train()
    if not fusion.reads_tokens:
        return None
    with Largest() as largest:
        fused = fusion(random_inputs(dims, 2, lengths=dict.fromkeys(dims, 200)))
        sum(t.square().sum() for t in (fused.pooled, *fused.tokens.values())).backward()
    return largest.numbers


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_attention_weights_lie_in_memory(name):
    kind, options = options_of(name)
    largest = largest_in_a_step(kind, **options)
    assert largest is None or largest < 2 * 200 * 200  # weights of one head, for the tokens of one pair of modalities
    if largest and "attention_dropout" in options:
        assert largest_in_a_step(kind, **{**options, "attention_dropout": 0.1}) > largest  # what is looked for is seen


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES)
def test_it_keeps_every_law_with_one_two_three_and_five_modalities(name):
    kind, options = options_of(name)
    assert check_fusion(kind, **options).passed


# those of each kind whose code differs most; the others are slow
@pytest.mark.parametrize("name", [n if n in TRACED else pytest.param(n, marks=pytest.mark.slow) for n in STRATEGIES])
def test_it_compiles_and_exports_to_the_same_numbers(name):
    kind, options = options_of(name)
    assert check_fusion(kind, dims={"text": 4, "image": 3}, tracing=True, **options).passed


@pytest.mark.parametrize("name", STRATEGIES)
@given(data=st.data())
@settings(deadline=None, max_examples=15)
def test_no_mix_of_absence_and_garbage_reaches_the_output(name, data):
    kind, options = options_of(name)
    torch.manual_seed(0)
    dims = {"text": 4, "image": 3, "audio": 2}
    fusion = kind(dims, 8, **options).eval()
    row = st.lists(st.booleans(), min_size=3, max_size=3).filter(any)
    present = torch.tensor(data.draw(st.lists(row, min_size=1, max_size=5)))
    junk = data.draw(st.sampled_from([1e6, -1e30, float("nan"), float("inf")]))
    inputs = random_inputs(dims, len(present), present=present, seed=data.draw(st.integers(0, 99)))
    clean = fusion(inputs)
    assert torch.isfinite(clean.pooled).all()
    assert torch.equal(fusion(fill_padding(inputs, junk)).pooled, clean.pooled)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in SHRINKING])
def test_its_output_is_of_order_one_at_the_start(name, count):
    kind, options = options_of(name)
    names = ["text", "image", "audio", "video", "depth"][:count]
    dims = dict(zip(names, (64, 48, 80, 32, 56), strict=False))
    squares = []
    for seed in range(2):
        torch.manual_seed(seed)
        inputs = random_inputs(dims, 16, seed=seed)
        squares.append(kind(dims, 64, **options).eval()(inputs).pooled.detach().square().mean())
    low, high = (0.5, 1.6) if name in UNIT_VARIANCE else (0.1, 2.0)
    assert low < float(torch.stack(squares).mean().sqrt()) < high


@pytest.mark.parametrize("name", STRATEGIES)
def test_without_tokens_the_vector_and_its_gradients_are_the_same(name):
    kind, options = options_of(name)
    whole, brief = build(kind, **options), build(kind, **options)
    brief.drop_tokens()
    inputs = batch_of()
    expected, given = whole(inputs), brief(inputs)
    torch.testing.assert_close(given.pooled, expected.pooled, rtol=1e-12, atol=1e-12)
    assert expected.tokens and not given.tokens
    for fused in (expected, given):
        fused.pooled.square().sum().backward()
    left = dict(brief.named_parameters())
    for parameter_name, parameter in whole.named_parameters():
        if parameter_name in left and parameter.grad is not None:
            torch.testing.assert_close(
                left[parameter_name].grad, parameter.grad, rtol=1e-9, atol=1e-12, msg=parameter_name
            )
        else:
            assert parameter.grad is None, f"{parameter_name} serves tokens alone"


@pytest.mark.parametrize("name", STRATEGIES)
def test_weights_and_shares_come_only_when_asked_for_and_agree(name):
    kind, options = options_of(name)
    fusion, inputs, present = build(kind, **options), batch_of(), torch.tensor(PRESENT).bool()
    assert fusion(inputs).diagnostics == {}
    every = fusion(inputs, diagnostics=True).diagnostics
    brief = fusion(inputs, diagnostics="shares").diagnostics
    for share_name, share in brief.items():
        torch.testing.assert_close(share, every[share_name])
    shares = {n: share for n, share in every.items() if n.startswith("share/") and share.shape == present.shape}
    assert set(shares) <= set(brief)
    for share in shares.values():
        assert ((share == 0) | present).all() and (share >= 0).all()
        sums = share.sum(1)
        torch.testing.assert_close(sums[sums > 0], torch.ones_like(sums[sums > 0]))
        assert (sums[present.all(1)] > 0).all()
    weights = {n: tensor for n, tensor in every.items() if "attention/" in n and tensor.ndim == 4}
    assert weights or name not in SHOWS_ATTENTION
    for weight_name, tensor in weights.items():
        sums = tensor.sum(-1)
        assert ((sums - 1).abs().lt(1e-9) | sums.eq(0)).all(), weight_name


@pytest.mark.parametrize("name", WITH_HEADS)
def test_heads_that_do_not_divide_the_width_are_refused(name):
    kind, options = options_of(name)
    with pytest.raises(ConfigError, match="num_heads=3 must divide fusion.out_dim=8"):
        kind(DIMS, WIDTH, **{**options, "num_heads": 3})
