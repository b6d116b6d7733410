"""Every strategy that has a YAML file keeps the contract; a new one is held to it by being there."""

from pathlib import Path

import pytest
import torch
from hydra.utils import get_class
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmbert.testing import check_fusion, random_inputs
from mmbert.testing.inputs import soil

CONF = Path(__file__).parents[2] / "conf" / "fusion"
STRATEGIES = sorted(path.stem for path in CONF.glob("*.yaml"))
TRACED = {"concat", "cross_attention", "mcb", "bottleneck", "late_mean"}


def options_of(name):
    options = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    kind = get_class(options.pop("_target_"))
    options.pop("out_dim")
    return kind, {key: value for key, value in options.items() if not key.startswith("_")}  # less Hydra's own words


def test_the_strategies_are_found():
    assert {"concat", "mean", "product", "cross_attention"} <= set(STRATEGIES)


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_keeps_every_law(name):
    kind, options = options_of(name)
    assert check_fusion(kind, dims={"text": 6, "image": 5, "audio": 4}, **options).passed


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
    assert torch.equal(fusion(soil(inputs, junk)).pooled, clean.pooled)
