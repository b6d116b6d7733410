"""Flamingo against NumPy: one modality reads the others through gates, which begin closed in the paper."""

import numpy as np
import pytest
import torch

from fusion_harness import DIMS, WIDTH, TransformerReference, assert_tokens_fuse_to, build, gelu, relu
from mmbert.core.errors import ConfigError
from mmbert.fusion.flamingo import FlamingoFusion
from mmbert.testing import random_inputs


@pytest.mark.parametrize(("reader", "layers"), [(None, 2), ("audio", 1)])
def test_flamingo_reads_the_others_through_gates(reader, layers):
    fusion = build(FlamingoFusion, reader=reader, num_layers=layers, num_heads=2)
    hand = TransformerReference(fusion, 2)

    def by_hand(sample):
        parts = {m: hand.embed(m, tokens) for m, (_, tokens, _) in sample.items()}
        mine = parts.pop(reader or "text", np.zeros((0, WIDTH)))
        y = np.concatenate([np.zeros((0, WIDTH)), *parts.values()])
        x = np.concatenate([hand.w["start"][None], mine])
        for n in range(layers):
            gates = np.tanh(hand.w[f"looks.{n}.attention_gate"]), np.tanh(hand.w[f"looks.{n}.ffn_gate"])
            x = hand.cross_layer(x, y, f"looks.{n}", lambda t: relu(t) ** 2, gates)
            x = hand.layer(x, f"layers.{n}", gelu)
        x = hand.norm(x, "norm")
        pooled = hand.linear(x[0], "out")
        plain = {m: hand.linear(sample[m][1], f"token_projection.{m}") + pooled for m in parts}
        return pooled, {reader or "text": x[1:], **plain} if len(mine) else plain

    assert_tokens_fuse_to(fusion, by_hand)


def test_a_flamingo_gate_at_zero_is_the_papers_the_others_say_nothing_yet_but_the_gates_learn():
    torch.manual_seed(0)
    fusion = FlamingoFusion(DIMS, WIDTH, gate_init=0.0).eval()
    inputs, other = random_inputs(DIMS, 3), random_inputs(DIMS, 3, seed=1)
    pooled = fusion(inputs).pooled
    assert torch.equal(pooled, fusion({**other, "text": inputs["text"]}).pooled)
    pooled.square().sum().backward()
    assert fusion.looks[0].attention_gate.grad.abs() > 0 and fusion.looks[0].ffn_gate.grad.abs() > 0
    assert (fusion.embed.project["image"].linear.weight.grad == 0).all()


def test_a_reader_that_is_no_modality_is_refused():
    with pytest.raises(ConfigError, match="reader=txt is none of the modalities. Did you mean 'text'"):
        FlamingoFusion(DIMS, WIDTH, reader="txt")
