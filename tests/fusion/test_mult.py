"""MulT against NumPy: every ordered pair crossed, and the last real token or their mean read."""

import numpy as np
import pytest

from fusion_harness import DIMS, WIDTH, TransformerReference, assert_tokens_fuse_to, build, relu
from mmbert.core.errors import ConfigError
from mmbert.fusion.mult import MultFusion


@pytest.mark.parametrize(
    ("read", "positions", "modalities"), [("last", True, 3), ("mean", False, 3), ("last", True, 1)]
)
def test_mult_crosses_every_ordered_pair_and_reads_the_last_real_token(read, positions, modalities):
    dims, d = dict(list(DIMS.items())[:modalities]), 6

    options = {"width": d, "num_layers": 2, "memory_layers": 2, "num_heads": 2, "read": read, "positions": positions}
    fusion = build(MultFusion, dims, **options)
    hand = TransformerReference(fusion, 2)

    def wave(places):
        waves = np.zeros((len(places), d))
        for row, i in enumerate(places):
            for j in range(d // 2):
                waves[row, 2 * j : 2 * j + 2] = np.sin(i / 10000 ** (2 * j / d)), np.cos(i / 10000 ** (2 * j / d))
        return waves

    def by_hand(sample):
        x = {m: hand.embed(m, t) + positions * wave(places) for m, (_, t, places) in sample.items()}
        wide = max(modalities - 1, 1) * d
        slots, tokens = [], {}
        for target in dims:
            if target not in x:
                slots.append(np.zeros(wide))
                continue
            streams = [x[target]] if modalities == 1 else []
            for source in dims:
                if source != target:
                    z = x[target]
                    for n in range(2):
                        name = f"pairs.{target}.{source}.layers.{n}"
                        z = hand.cross_layer(z, x.get(source, np.zeros((0, d))), name, relu)
                    streams.append(hand.norm(z, f"pairs.{target}.{source}.norm"))
            z = np.concatenate(streams, -1)
            for n in range(2):
                z = hand.layer(z, f"memory.{target}.{n}", relu)
            z = hand.norm(z, f"norms.{target}")
            slots.append(z[-1] if read == "last" else z.mean(0))
            tokens[target] = hand.linear(z, f"token_projection.{target}")
        h = np.concatenate(slots)
        return hand.linear(h + hand.ffn(h, "residual", relu), "out"), tokens

    assert_tokens_fuse_to(fusion, by_hand, dims)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 10}, "num_heads=4 must divide fusion.width=10"),
        ({"read": "first"}, "fusion.read=first must be 'last' or 'mean'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        MultFusion(DIMS, WIDTH, **options)
