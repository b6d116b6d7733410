"""Pictures of a clip as tokens: those of the picture encoder, with their times, whatever batch they stand in."""

import numpy as np
import pytest
import torch

from mmbert.data.modalities.clips import FrameStack
from mmbert.encoders.time_signals import time_signals
from mmbert.encoders.video import VideoEncoder


def clip(count, seed=0, rate=5.0):
    return FrameStack(np.random.default_rng(seed).integers(0, 256, (count, 20, 20, 3), np.uint8), rate)


def encoded(encoder, clips):
    prepared = [None if each is None else encoder.processor.prepare(each) for each in clips]
    with torch.no_grad():
        return encoder(encoder.processor.collate(prepared))


@pytest.mark.parametrize("tokens", ["frames", "patches"])
def test_tokens_are_those_of_each_picture_and_the_vector_is_their_mean(tokens):
    encoder = VideoEncoder("tiny", False, frames=3, tokens=tokens, times=False).eval()
    seen = encoded(encoder, [clip(10)])
    images = clip(10).frames([1 / 3, 1.0, 5 / 3])
    pixels = encoder.images.processor.collate([encoder.images.processor.prepare(image) for image in images])
    with torch.no_grad():
        alone = encoder.images(pixels)
    expected = alone.pooled[None] if tokens == "frames" else alone.tokens.flatten(0, 1)[None]
    torch.testing.assert_close(seen.tokens, expected)
    torch.testing.assert_close(seen.pooled, alone.pooled.mean(0, keepdim=True))
    assert seen.mask.all()


def test_times_are_told_to_tokens_and_not_to_the_vector():
    plain = VideoEncoder("tiny", False, frames=3, times=False).eval()
    timed = VideoEncoder("tiny", False, frames=3).eval()
    timed.load_state_dict(plain.state_dict())
    one, two = encoded(plain, [clip(10)]), encoded(timed, [clip(10)])
    torch.testing.assert_close(one.pooled, two.pooled)
    moments = torch.tensor([[1 / 3, 1.0, 5 / 3]])
    torch.testing.assert_close(two.tokens - one.tokens, time_signals(moments, plain.out_dim), atol=1e-5, rtol=0)


def test_in_training_padding_does_not_enter_the_statistics_of_a_batch():
    torch.manual_seed(0)
    encoder = VideoEncoder("resnet18", False, 32, frames=4, frames_per_second=2.0, options={"channels": [4, 8, 8, 8]})
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder.train()
    inputs = encoder.processor.collate([encoder.processor.prepare(clip(n, n)) for n in (10, 3)])
    assert not inputs["mask"].all()
    one = encoder(inputs)
    statistics = {name: value.clone() for name, value in encoder.state_dict().items() if "running" in name}
    encoder.load_state_dict(state)
    longer = {name: torch.cat([value, value[:, :1]], 1) for name, value in inputs.items()}
    longer["mask"][:, -1] = False
    two = encoder(longer)
    torch.testing.assert_close(one.pooled, two.pooled)
    for name, value in statistics.items():
        torch.testing.assert_close(encoder.state_dict()[name], value)


def test_a_frozen_network_learns_nothing_and_a_layer_decay_reaches_it():
    frozen = VideoEncoder("tiny", False, frozen=True)
    assert frozen.constant and not any(parameter.requires_grad for parameter in frozen.parameters())
    decayed = VideoEncoder("vit_tiny_patch16_224", False, 32, layer_decay=0.5, options={"depth": 2})
    assert set(decayed.lr_factors().values()) == {0.125, 0.25, 0.5, 1.0} or len(set(decayed.lr_factors().values())) > 2
