"""Perceiver against NumPy: latents read all real tokens, and tokens ask the latents."""

import numpy as np
import pytest

from fusion_harness import DIMS, WIDTH, TransformerReference, assert_tokens_fuse_to, build, gelu, sizes_of_attention
from mmbert.core.errors import ConfigError
from mmbert.fusion.perceiver import PerceiverFusion


@pytest.mark.parametrize(("blocks", "per_block", "shared"), [(3, 2, True), (2, 1, False), (1, 0, True)])
def test_perceiver_reads_into_latents_and_tokens_ask_the_latents(blocks, per_block, shared):
    options = {"num_blocks": blocks, "layers_per_block": per_block, "share_weights": shared, "num_latents": 3}
    fusion = build(PerceiverFusion, num_heads=2, **options)
    hand = TransformerReference(fusion, 2)
    assert len(fusion.looks) == (min(blocks, 2) if shared else blocks)

    def by_hand(sample):
        parts = {m: hand.embed(m, tokens) for m, (_, tokens, _) in sample.items()}
        y, u = np.concatenate(list(parts.values())), hand.w["latents"]
        for n in range(blocks):
            u = hand.cross_layer(u, y, f"looks.{min(n, 1) if shared else n}", gelu)
            for k in range(per_block):
                u = hand.layer(u, f"thinks.{0 if shared else n}.{k}", gelu)
        pooled = hand.linear(hand.norm(u.mean(0), "norm"), "out")
        return pooled, {m: hand.cross_layer(part, u, "decode", gelu) for m, part in parts.items()}

    assert_tokens_fuse_to(fusion, by_hand)


def test_its_attention_is_linear_in_tokens(monkeypatch):
    fusion = build(PerceiverFusion, num_latents=4, num_blocks=2, layers_per_block=1)
    seen = sizes_of_attention(fusion, monkeypatch, {"text": 20, "image": 30, "audio": 40})
    assert seen == [(4, 90), (4, 4), (4, 90), (4, 4), (90, 4)]  # reading, thinking, twice; then the tokens ask


def test_latents_below_one_are_refused():
    with pytest.raises(ConfigError, match="num_latents=0 must be at least 1"):
        PerceiverFusion(DIMS, WIDTH, num_latents=0)
