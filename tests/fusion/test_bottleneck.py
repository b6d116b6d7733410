"""The bottleneck against NumPy, and who attends to whom."""

import numpy as np
import pytest
import torch

from fusion_harness import DIMS, WIDTH, TransformerReference, assert_tokens_fuse_to, build, gelu, sizes_of_attention
from mmbert.core.errors import ConfigError
from mmbert.fusion.bottleneck import BottleneckFusion
from mmbert.testing import random_inputs


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize(("layers", "start", "count"), [(3, 1, 2), (2, 0, 4), (2, 1, 1)])
def test_bottleneck_averages_the_updates_of_the_present_after_all_have_read_the_same(modalities, layers, start, count):
    dims = dict(list(DIMS.items())[:modalities])

    fusion = build(BottleneckFusion, dims, num_layers=layers, fusion_layer=start, num_bottlenecks=count, num_heads=2)
    hand = TransformerReference(fusion, 2)

    def by_hand(sample):
        x = {m: np.stack([hand.w[f"cls.{m}"], *hand.embed(m, t)]) for m, (_, t, _) in sample.items()}
        shared = hand.w["bottleneck"] if modalities > 1 else np.zeros((0, WIDTH))
        for n in range(layers):
            if n < start:
                x = {m: hand.layer(t, f"layers.{n}.{m}", gelu) for m, t in x.items()}
                continue
            both = {m: hand.layer(np.concatenate([t, shared]), f"layers.{n}.{m}", gelu) for m, t in x.items()}
            x = {m: t[: len(x[m])] for m, t in both.items()}
            shared = np.mean([t[len(x[m]) :] for m, t in both.items()], axis=0)
        x = {m: hand.norm(t, f"norms.{m}") for m, t in x.items()}
        logits = [hand.linear(t[0], "out") for t in x.values()]  # as in the paper: judged one by one, then averaged
        return np.mean(logits, axis=0), {m: t[1:] for m, t in x.items()}

    assert_tokens_fuse_to(fusion, by_hand, dims)


def test_modalities_meet_in_the_bottleneck_alone_and_a_layer_after_it_was_written():
    inputs = random_inputs(DIMS, 2, dtype=torch.float64)
    other = {**inputs, "image": random_inputs(DIMS, 2, lengths=dict.fromkeys(DIMS, 3), seed=5)["image"]}
    other["image"] = type(other["image"])(
        other["image"].tokens.double(), other["image"].mask, other["image"].pooled.double()
    )
    for start, heard in ((2, False), (1, True)):
        fusion = build(BottleneckFusion, num_layers=3, fusion_layer=start)
        same = torch.equal(fusion(inputs).tokens["text"], fusion(other).tokens["text"])
        assert same != heard  # what is written into the bottleneck in a layer is read in the next


def test_tokens_of_one_modality_never_attend_to_those_of_another(monkeypatch):
    fusion = build(BottleneckFusion, num_layers=2, fusion_layer=1, num_bottlenecks=3)
    seen = sizes_of_attention(fusion, monkeypatch, {"text": 20, "image": 30, "audio": 40})
    assert seen == [(21, 21), (31, 31), (41, 41), (24, 24), (34, 34), (44, 44)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 2, "fusion_layer": 2}, "fusion_layer=2 must be one of the layers 0 to 1"),
        ({"num_bottlenecks": 0}, "num_bottlenecks=0 must be at least 1"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        BottleneckFusion(DIMS, WIDTH, **options)
