"""The prompted transformer against NumPy on the real tokens, with the prompts of each sample's pattern."""

import numpy as np
import pytest
import torch

from fusion_harness import (
    DIMS,
    WIDTH,
    assert_tokens_fuse_to,
    attention,
    build_with_weights,
    gelu,
    linear,
    norm,
    projected,
)
from mmbert.core.errors import ConfigError
from mmbert.fusion.missing_aware_prompts import MissingAwarePromptsFusion, pattern_of
from mmbert.testing import random_inputs


def self_attention(x, w, name, heads):
    k, v = np.split(linear(x, w, f"{name}.key_value"), 2, axis=-1)
    return linear(attention(linear(x, w, f"{name}.query"), k, v, heads), w, f"{name}.out")


@pytest.mark.parametrize(("layers", "prompted", "count"), [(1, 1, 2), (3, 2, 3), (2, 0, 4), (2, 2, 0)])
def test_it_equals_the_formula_on_the_real_tokens(layers, prompted, count):
    options = {"num_layers": layers, "num_heads": 2, "prompts": count, "prompt_layers": prompted}
    fusion, w = build_with_weights(MissingAwarePromptsFusion, **options)
    prompts = w.get("prompts", np.zeros((0, 7, 0, WIDTH)))

    def by_hand(sample):
        pattern = sum(2**n for n, m in enumerate(DIMS) if m in sample) - 1
        streams = [w["summary"][None]]
        for m, (pooled, tokens, _) in sample.items():
            streams.append(projected(np.stack([pooled, *tokens]), w, f"project.{m}") + w[f"embedding.{m}"])
        x = np.concatenate(streams)
        for n in range(layers):
            if n < len(prompts):
                x = np.concatenate([prompts[n][pattern], x])
            x = x + self_attention(norm(x, w, f"norms.{n}"), w, f"layers.{n}.attention", 2)
            block = f"layers.{n}.feed_forward"
            x = x + linear(gelu(linear(norm(x, w, f"{block}.0"), w, f"{block}.1")), w, f"{block}.4")
        x = x[sum(len(p[pattern]) for p in prompts) :]
        starts = np.cumsum([len(stream) for stream in streams])
        tokens = {m: x[i + 1 : i + len(t)] for m, i, t in zip(sample, starts, streams[1:], strict=False)}
        return linear(norm(x[0], w, "final_norm"), w, "out"), tokens

    assert_tokens_fuse_to(fusion, by_hand)


def test_each_pattern_has_prompts_of_its_own_and_they_alone_learn_from_it():
    every = torch.tensor([[a, b, c] for c in (0, 1) for b in (0, 1) for a in (0, 1)][1:]).bool()
    assert pattern_of(every).tolist() == list(range(7))
    fusion = MissingAwarePromptsFusion(DIMS, WIDTH)
    assert all(torch.equal(fusion.prompts[:, 0], fusion.prompts[:, n]) for n in range(7))  # alike at first
    fusion(random_inputs(DIMS, 2, present=torch.tensor([[1, 0, 1], [0, 1, 0]]).bool())).pooled.sum().backward()
    moved = (fusion.prompts.grad != 0).flatten(2).any(2).any(0)
    assert moved.nonzero().flatten().tolist() == [1, 4]


def test_options_that_are_refused():
    with pytest.raises(ConfigError, match="num_heads=3 must divide"):
        MissingAwarePromptsFusion(DIMS, 8, num_heads=3)
    with pytest.raises(ConfigError, match="prompt_layers=3 must be from 0 to num_layers=2"):
        MissingAwarePromptsFusion(DIMS, 8, prompt_layers=3)
    with pytest.raises(ConfigError, match="M=9 is above 8"):
        MissingAwarePromptsFusion({f"m{n}": 2 for n in range(9)}, 8)
