"""What a decoder attends to."""

import math

import torch
from torch.testing import assert_close

from mmbert.core.types import Fused
from mmbert.tasks.text_generation.memory import FusedMemory


def fused(**more):
    tokens = {"image": torch.randn(2, 3, 4), "text": torch.randn(2, 2, 4), "latents": torch.randn(2, 1, 4)}
    masks = {name: torch.ones(value.shape[:2], dtype=torch.bool) for name, value in tokens.items()}
    masks["text"][1] = False
    return Fused(torch.randn(2, 4), {**tokens, **more}, masks)


def test_all_tokens_stand_in_the_order_of_the_modalities_and_others_last():
    memory = FusedMemory(4, 6, ["text", "image"])
    given = fused()
    states, mask = memory(given)
    assert states.shape == (2, 1 + 2 + 3 + 1, 6)
    assert mask.tolist() == [[True] * 7, [True, False, False, True, True, True, True]]
    by_hand = memory.norm(memory.project(given.tokens["image"]) + memory.origin.weight[2])
    assert_close(states[:, 3:6], by_hand)
    assert_close(states[:, 6], memory.norm(memory.project(given.tokens["latents"][:, 0]) + memory.origin.weight[3]))
    assert_close(states[:, 0], memory.norm(memory.project(given.pooled) + memory.origin.weight[0]))


def test_what_stands_in_padding_reaches_no_gradient():
    memory = FusedMemory(4, 6, ["text", "image"])
    given = fused()
    given.tokens["text"][1] = math.nan
    states, mask = memory(given)
    assert states.isfinite().all()
    states[mask].sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in memory.parameters())
