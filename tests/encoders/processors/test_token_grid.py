"""Token grids: counts and times are those of the networks themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.errors import ConfigError
from mmbert.encoders.audio import SpeechEncoder
from mmbert.encoders.conformer import ConformerEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.processors.audio import AudioProcessor
from mmbert.encoders.processors.token_grid import TokenGrid, halving_windows, token_times

RATE = 16_000
LAYERS = [(8, 10, 5), (8, 3, 2), (8, 3, 2), (8, 3, 2), (8, 3, 2), (8, 2, 2), (8, 2, 2)]
SMALL = {
    "encoder_embed_dim": 16,
    "encoder_num_layers": 1,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 16,
    "encoder_pos_conv_groups": 2,
    "extractor_conv_layer_config": LAYERS,
}
MAKERS = {
    "melspec_cnn": lambda: MelspecCNN(dropout=0.0),
    "melspec_cnn of other strides": lambda: MelspecCNN(16, [4, 4], [3, 1], 12, hop_seconds=0.01, dropout=0.0),
    "conformer": lambda: ConformerEncoder(16, 1, 2, 16, dropout=0.0),
    "wav2vec2_base": lambda: SpeechEncoder("wav2vec2_base", False, options=SMALL),
    "hubert_base": lambda: SpeechEncoder("hubert_base", False, options=SMALL),
    "wavlm_base": lambda: SpeechEncoder("wavlm_base", False, options=SMALL),
    "wav2vec2_large_lv60k": lambda: SpeechEncoder("wav2vec2_large_lv60k", False, options=SMALL),
}
BUILT: dict = {}


def encoder_of(name):
    if name not in BUILT:
        torch.manual_seed(0)
        BUILT[name] = MAKERS[name]().eval()
    return BUILT[name]


def noise(samples, seed=0):
    return (np.random.default_rng(seed).standard_normal(samples) * 0.1).astype(np.float32)


@pytest.mark.parametrize("name", MAKERS)
@given(samples=st.integers(0, 9000))
@settings(deadline=None, max_examples=20)
def test_counts_are_those_of_the_encoder_fresh_packed_or_stored(name, samples):
    encoder = encoder_of(name)
    processor, raw = encoder.processor, (noise(samples), RATE)
    prepared = processor.prepare(raw)
    with torch.no_grad():
        count = int(encoder(processor.collate([prepared])).mask.sum())
    packed = processor.unpack(*processor.pack(raw))
    for aligned in (processor.alignment(raw), processor.alignment_of(prepared), processor.alignment_of(packed)):
        assert aligned["times"].shape == (count, 2)
        assert torch.equal(aligned["times"], processor.alignment_of_tokens(count)["times"])


@pytest.mark.parametrize("name", ["melspec_cnn", "melspec_cnn of other strides", "conformer", "wav2vec2_base"])
def test_a_token_moves_most_with_the_samples_of_its_own_time(name):
    """The gradient of a token's convolutions with respect to the samples lies around the moment that the grid names."""
    encoder = encoder_of(name)
    grid = encoder.processor.grid
    samples = RATE
    waveform = torch.from_numpy(noise(samples, 1))[None].requires_grad_()
    mask = torch.ones(1, samples, dtype=torch.bool)
    if name.startswith("wav2vec2"):
        tokens, _ = encoder._extract(waveform, torch.tensor([samples]))  # later layers look everywhere
    else:
        frames, real = encoder.log_mel(waveform, mask)
        assert int(real.sum()) == TokenGrid(RATE, grid.windows[:1]).count(samples)
        tokens = frames
        grid = TokenGrid(RATE, grid.windows[:1])
    place = tokens.shape[1] // 2
    (slope,) = torch.autograd.grad(tokens[0, place].square().sum(), waveform)
    weight = slope[0].double().square()
    middle = float((weight * (torch.arange(samples) + 0.5)).sum() / weight.sum()) / RATE
    assert abs(middle - (grid.first_seconds + place * grid.step_seconds)) < 0.6 * grid.windows[0][0] / RATE + 0.004


@pytest.mark.parametrize("name", ["melspec_cnn", "melspec_cnn of other strides", "conformer", "wav2vec2_base"])
def test_what_a_token_can_see_is_symmetrical_about_its_middle(name):
    """Of the windows alone, counted by walking down from a token to the samples."""
    grid = encoder_of(name).processor.grid
    place = 7
    low = high = place
    for length, stride, padding in reversed(grid.windows):
        low, high = low * stride - padding, high * stride - padding + length - 1
    middle = (low + high + 1) / 2 / RATE
    assert middle == pytest.approx(grid.first_seconds + place * grid.step_seconds)


def test_a_grid_by_hand():
    grid = TokenGrid(10, ((4, 2, 0), *halving_windows([2])))
    # frames of samples 0-3, 2-5, 4-7, 6-9; tokens about frames 0 and 2, that is about 0.2 s and 0.6 s
    assert [grid.count(n) for n in (3, 4, 6, 9, 10)] == [0, 1, 1, 2, 2]
    assert (grid.first_seconds, grid.step_seconds) == (0.2, 0.4)
    torch.testing.assert_close(grid.times(2), torch.tensor([[0.0, 0.4], [0.4, 0.8]]).double())
    assert token_times(0, 0.2, 0.4).shape == (0, 2)
    # the first token's time begins with the sound, also where its middle is later than half a step
    torch.testing.assert_close(token_times(2, 0.5, 0.4), torch.tensor([[0.0, 0.7], [0.7, 1.1]]).double())


def test_a_processor_without_a_grid_says_so():
    with pytest.raises(ConfigError, match="does not say when its tokens are"):
        AudioProcessor(8, 1.0, 1).alignment((noise(8), 8))
