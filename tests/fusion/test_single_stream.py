"""The single stream against NumPy: one transformer over the real tokens of all modalities."""

import numpy as np
import pytest

from fusion_harness import DIMS, WIDTH, TransformerReference, assert_tokens_fuse_to, build, gelu
from mmbert.core.errors import ConfigError
from mmbert.fusion.single_stream import SingleStreamFusion


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (3, 4)])
def test_single_stream_is_one_transformer_over_all_real_tokens(layers, heads):
    fusion = build(SingleStreamFusion, num_layers=layers, num_heads=heads)
    hand = TransformerReference(fusion, heads)

    def by_hand(sample):
        parts = {m: hand.embed(m, tokens) for m, (_, tokens, _) in sample.items()}
        x = np.concatenate([hand.w["cls"][None], *parts.values()])
        for n in range(layers):
            x = hand.layer(x, f"layers.{n}", gelu)
        x = hand.norm(x, "norm")
        ends = np.cumsum([1, *(len(part) for part in parts.values())])
        return np.tanh(hand.linear(x[0], "out")), dict(zip(parts, np.split(x, ends)[1:], strict=False))

    assert_tokens_fuse_to(fusion, by_hand)


def test_layers_below_one_are_refused():
    with pytest.raises(ConfigError, match="num_layers=0 must be at least 1"):
        SingleStreamFusion(DIMS, WIDTH, num_layers=0)
