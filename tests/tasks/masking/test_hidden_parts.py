"""How much is hidden, and that nothing of a hidden part is read: of pictures, frames and waveforms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.errors import ConfigError
from mmbert.encoders.audio import SpeechEncoder
from mmbert.encoders.conformer import ConformerEncoder
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.tasks.masked_features import parts_of_input
from mmbert.tasks.masking.hidden_parts import chosen_spans, spans, widened
from mmbert.tasks.masking.hidden_pictures import PictureParts
from mmbert.tasks.masking.hidden_sounds import FrameParts
from mmbert.tasks.masking.hidden_vectors import VectorParts

COVERS = ("hidden_pictures", "hidden_sounds", "hidden_vectors")
SPEECH = {
    "encoder_embed_dim": 16,
    "encoder_num_layers": 1,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 16,
    "extractor_conv_layer_config": [(8, 10, 5), (8, 3, 2), (8, 3, 2), (8, 3, 2), (8, 3, 2), (8, 2, 2), (8, 2, 2)],
}
VIT = {"embed_dim": 12, "depth": 1, "num_heads": 2, "reg_tokens": 2}
SOUNDS = {
    "melspec_cnn": lambda: MelspecCNN(8, [2, 3], [2, 2], num_mels=8),
    "conformer": lambda: ConformerEncoder(8, 1, 2, 8, 3, num_mels=8),
    "wav2vec2": lambda: SpeechEncoder("wav2vec2_base", pretrained=False, options=SPEECH),
    "wav2vec2_large": lambda: SpeechEncoder("wav2vec2_asr_large_lv60k_960h", pretrained=False, options=SPEECH),
}
PICTURES = {
    "cnn": lambda: ImageEncoder("tiny", pretrained=False, image_size=[24, 16]),
    "vit": lambda: ImageEncoder("vit_tiny_patch16_224", pretrained=False, image_size=[64, 48], options=VIT),
}


@pytest.fixture(scope="module", params=[*SOUNDS, *PICTURES])
def encoder(request):
    torch.manual_seed(0)
    return {**SOUNDS, **PICTURES}[request.param]().eval()


def raw(encoder, seed):
    """Three samples, of which one lacks the modality."""
    generator = torch.Generator().manual_seed(seed)
    if encoder.kind == "image":
        one, two = (torch.randn(3, *encoder.processor.size, generator=generator) for _ in range(2))
    else:
        one, two = (0.1 * torch.randn(n, generator=generator) for n in (16000, 7000))
    return encoder.processor.collate([one, None, two])


def randoms(seed, count=3):
    return [np.random.default_rng([seed, row]) for row in range(count)]


def with_other_parts(inputs, hidden, parts, encoder):
    """The same inputs with everything under the hidden parts replaced."""
    if encoder.kind == "image":
        down, across = parts.patch
        grid = hidden.view(-1, parts.rows, parts.columns)
        spread = grid.repeat_interleave(down, 1).repeat_interleave(across, 2).unsqueeze(1)
        return {**inputs, "pixels": torch.where(spread, torch.randn(inputs["pixels"].shape) * 9, inputs["pixels"])}
    _, _, window, hop = parts.mel
    waveform = inputs["waveform"].clone()
    for row, *place in hidden.nonzero().tolist():
        number = place[0] if len(place) == 1 else place[0] * parts.per_token + place[1]
        waveform[row, number * hop : number * hop + window] = torch.randn(window) * 3
    return {**inputs, "waveform": waveform}


def test_nothing_of_a_hidden_part_is_read_and_all_of_it_is_asked(encoder):
    parts = parts_of_input("x", encoder)
    inputs = raw(encoder, 0)
    before = {name: tensor.clone() for name, tensor in inputs.items()}
    made = parts.hide(inputs, randoms(1), 0.4, parts.span)
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)
    assert made.hidden[0].any() and made.hidden[2].any() and not made.hidden[1].any()
    other = parts.hide(with_other_parts(inputs, made.hidden, parts, encoder), randoms(1), 0.4, parts.span)
    assert torch.equal(made.hidden, other.hidden)
    for name, tensor in made.inputs.items():
        assert torch.equal(tensor, other.inputs[name]), name
    hidden = made.hidden
    assert (made.vectors[hidden] != other.vectors[hidden]).all(-1).all() and not made.vectors[~hidden].any()
    plain, seen = encoder(inputs), encoder(made.inputs)
    assert torch.equal(plain.mask, seen.mask) and not torch.allclose(plain.tokens, seen.tokens)
    assert seen.tokens.shape[1] == parts.before + hidden.shape[1]


def test_what_is_hidden_depends_on_its_own_sample_alone(encoder):
    parts = parts_of_input("x", encoder)
    inputs = raw(encoder, 3)
    whole = parts.hide(inputs, randoms(5), 0.4, parts.span)
    one = {name: tensor[2:] for name, tensor in inputs.items()}
    if encoder.kind == "audio":  # padding of another length
        one = {name: tensor[:, :7000] for name, tensor in one.items()}
    alone = parts.hide(one, randoms(5)[2:], 0.4, parts.span)
    length = alone.hidden.shape[1]
    assert torch.equal(whole.hidden[2:, :length], alone.hidden) and not whole.hidden[2, length:].any()
    torch.testing.assert_close(whole.vectors[2:, :length], alone.vectors, rtol=1e-4, atol=1e-4)
    nothing = parts.hide(inputs, [None] * 3, 0.4, parts.span)
    assert not nothing.hidden.any() and not nothing.vectors.any()
    torch.testing.assert_close(encoder(nothing.inputs).tokens, encoder(inputs).tokens, rtol=1e-4, atol=1e-4)


def test_what_is_asked_of_a_picture_are_its_pixels_by_numpy():
    parts = PictureParts(0, 2, 3, (4, 6))
    pixels = np.random.default_rng(0).standard_normal((1, 3, 4, 6)).astype(np.float32)
    inputs = {"pixels": torch.from_numpy(pixels), "mask": torch.tensor([[True]])}
    made = parts.hide(inputs, randoms(0, 1), 0.99, 1)
    for place in made.hidden[0].nonzero().flatten().tolist():
        row, column = divmod(place, 3)
        patch = pixels[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        np.testing.assert_array_equal(made.vectors[0, place].numpy(), patch.ravel())
        assert not made.inputs["pixels"][0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].any()
    assert made.hidden.sum() >= 5


def test_blocks_are_as_simmim_has_them():
    parts = PictureParts(1, 14, 14, (224, 224))
    assert (parts.span, parts.share, parts.width, parts.patch) == (2, 0.6, 768, (16, 16))
    inputs = {"pixels": torch.ones(40, 3, 224, 224), "mask": torch.ones(40, 1, dtype=torch.bool)}
    hidden = parts.hide(inputs, randoms(0, 40), 0.6, 2).hidden.view(40, 7, 2, 7, 2)
    blocks = hidden.transpose(2, 3).flatten(3)
    assert torch.equal(blocks.any(3), blocks.all(3))  # whole blocks
    assert set(blocks.any(3).flatten(1).sum(1).tolist()) == {29, 30}  # 0.6 of 49 is 29.4


def test_padding_around_a_picture_is_neither_hidden_nor_asked():
    encoder = ImageEncoder("tiny", pretrained=False, image_size=16, fit="pad")
    parts = parts_of_input("image", encoder)
    pixels = torch.zeros(1, 3, 16, 16)
    pixels[:, :, :, 3:13] = torch.randn(3, 16, 10)  # columns 1 and 2 of 4 are whole, of the others a part is padding
    inputs = {"pixels": pixels, "mask": torch.tensor([[True]])}
    hidden = parts.hide(inputs, randoms(0, 1), 0.95, 1).hidden.view(4, 4)
    assert not hidden[:, [0, 3]].any() and hidden[:, 1:3].sum() >= 6


def test_frames_that_share_samples_with_a_span_are_hidden_and_not_asked():
    encoder = MelspecCNN(8, [2], [1], num_mels=8)  # windows of 400 samples every 256
    parts = FrameParts(encoder.processor)
    assert parts.margin == 1 and parts.per_token == 1
    inputs = encoder.processor.collate([torch.randn(16000)])
    made = parts.hide(inputs, randoms(2, 1), 0.15, 7)
    hidden, blank = made.hidden[0, :, 0], ~made.inputs["frames"][0].any(1)
    np.testing.assert_array_equal(blank.numpy(), widened(hidden.numpy()[None], 1)[0])
    read = made.inputs["frames"][0][~blank]
    assert abs(float(read.mean())) < 1e-4 and abs(float(read.square().mean()) - 1) < 1e-3


def test_pictures_that_patches_do_not_divide_are_refused():
    with pytest.raises(ConfigError, match=r"image_size=\[20, 18\]"):
        PictureParts(0, 5, 6, (17, 16))
    mixer = ImageEncoder("mixer_s32_224", pretrained=False)
    with pytest.raises(ConfigError, match="does not say where in the picture its tokens are"):
        parts_of_input("image", mixer)


def test_vectors_become_zeros_and_are_asked_normalised():
    features = torch.randn(1, 9, 4) * 5 + 2
    inputs = {"features": features, "mask": torch.arange(9)[None] < 7}
    made = VectorParts(4).hide(inputs, randoms(0, 1), 0.5, 2)
    hidden = made.hidden
    assert hidden.any() and not hidden[:, 7:].any() and not made.inputs["features"][hidden].any()
    x = features[hidden].numpy()
    wanted = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(made.vectors[hidden].numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_shares_and_spans():
    counts = [spans(100, 0.15, 1, np.random.default_rng(seed)).sum() for seed in range(200)]
    assert set(counts) <= {15, 16}  # rounded up with a probability of its fraction
    hidden = spans(50, 0.2, 5, np.random.default_rng(3))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], hidden, [0]])))
    runs = edges[1::2] - edges[::2]
    assert (runs[:-1] >= 5).all() and hidden.sum() <= 15
    single = [spans(1, 0.15, 1, np.random.default_rng(seed))[0] for seed in range(2000)]
    assert abs(np.mean(single) - 0.15) < 4 * (0.15 * 0.85 / 2000) ** 0.5


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 9), st.integers(0, 4), st.integers(0, 99))
def test_padding_is_never_chosen_and_margins_reach_as_far_as_they_say(length, more, span, margin, seed):
    real = np.arange(length + more) < length
    chosen = chosen_spans(real[None], 0.5, span, randoms(seed, 1))[0]
    assert not chosen[length:].any()
    wide = widened(chosen[None], margin)[0]
    for place in range(len(real)):
        assert wide[place] == chosen[max(0, place - margin) : place + margin + 1].any()
