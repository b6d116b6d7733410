"""What encoders say they read: the same tokens come of it, and the neutral values are what they are said to be."""

import math

import numpy as np
import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.encoders.audio import SpeechEncoder
from mmbert.encoders.conformer import ConformerEncoder
from mmbert.encoders.continuous import only_numbers
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.text import TextEncoder

SMALL_SPEECH = {
    "encoder_embed_dim": 32,
    "encoder_num_layers": 1,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 32,
    "encoder_pos_conv_kernel": 8,
    "encoder_pos_conv_groups": 2,
    "extractor_conv_layer_config": [(16, 10, 5), (16, 3, 2)],
}


def cases():
    sounds = [torch.sin(torch.arange(5000) / 9) / 3, torch.randn(3000, generator=torch.Generator().manual_seed(0)) / 9]
    pictures = [torch.randn(3, 16, 16), torch.randn(3, 16, 16)]
    vectors = [torch.randn(4, 3), torch.randn(2, 3)]
    return {
        "text": (lambda: TextEncoder("tiny", frozen=True), ["some text 加", "short"]),
        "windows": (lambda: TextEncoder("tiny", window=16, overlap=4, max_tokens=60), ["a text of " * 5, "short"]),
        "image": (lambda: ImageEncoder("tiny", pretrained=False, image_size=16), pictures),
        "melspec": (lambda: MelspecCNN(out_dim=8, channels=(4,), time_strides=(2,)), sounds),
        "conformer": (lambda: ConformerEncoder(out_dim=8, num_layers=1, num_heads=2, ffn_dim=8), sounds),
        "speech": (lambda: SpeechEncoder("wav2vec2_base", pretrained=False, options=SMALL_SPEECH), sounds),
        "features": (lambda: FeatureEncoder(3, out_dim=5), vectors),
        "plain_features": (lambda: FeatureEncoder(3, norm=False), vectors),
    }


@pytest.mark.parametrize("name", cases())
def test_what_is_read_gives_the_tokens_of_the_inputs(name):
    torch.manual_seed(0)
    make, samples = cases()[name]
    encoder = make().eval()
    inputs = encoder.processor.collate(samples)
    read = encoder.continuous(inputs)
    with torch.no_grad():
        expected, made = encoder(inputs), encoder(read.inputs)
        neutral = encoder({**read.inputs, read.key: read.baseline})
    torch.testing.assert_close(made.tokens, expected.tokens, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(made.pooled, expected.pooled, atol=1e-6, rtol=1e-5)
    assert (neutral.pooled - made.pooled).abs().max() > 1e-3  # what is read matters
    real = read.real.expand_as(read.numbers)
    assert torch.equal(read.baseline[~real], read.numbers[~real]) and read.numbers.is_floating_point()


def test_the_neutral_text_is_padding_between_its_ends():
    encoder = TextEncoder("tiny").eval()
    inputs = encoder.processor.collate(["ab"])
    embed = encoder.network.get_input_embeddings()
    expected = embed(torch.tensor([[1, 0, 0, 2]]))  # [CLS] [PAD] [PAD] [SEP]
    torch.testing.assert_close(encoder.continuous(inputs).baseline, expected.detach())


def test_the_neutral_sound_is_silence_in_the_norm_of_the_sound():
    encoder = MelspecCNN(out_dim=8, channels=(4,), time_strides=(2,)).eval()
    sound = torch.randn(6000) / 9
    inputs = encoder.processor.collate([sound])
    read = encoder.continuous(inputs)
    raw = encoder.log_mel.raw_frames(inputs["waveform"], inputs["mask"])[0][0].numpy()  # (L, bands)
    deviation = math.sqrt((raw - raw.mean(0)).var() + 1e-5)
    np.testing.assert_allclose(read.numbers[0], (raw - raw.mean(0)) / deviation, atol=1e-4)
    np.testing.assert_allclose(
        read.baseline[0], np.broadcast_to((math.log(1e-6) - raw.mean(0)) / deviation, raw.shape), atol=1e-4
    )
    frames = {"frames": read.numbers, "mask": read.inputs["mask"]}
    with pytest.raises(ConfigError, match="store.enabled=false"):
        encoder.continuous(frames)


def test_a_speech_networks_neutral_noise_is_as_loud_and_the_same_in_any_batch():
    encoder = SpeechEncoder("wav2vec2_base", pretrained=False, options=SMALL_SPEECH).eval()
    sounds = [torch.randn(5000), torch.randn(3000) / 5]
    both = encoder.continuous(encoder.processor.collate(sounds)).baseline
    alone = encoder.continuous(encoder.processor.collate(sounds[1:])).baseline
    torch.testing.assert_close(both[1, :3000], alone[0])
    assert float(both[1, :3000].square().mean().sqrt()) == pytest.approx(0.2, rel=0.05)


def test_inputs_of_which_it_is_not_clear_what_is_read_are_refused():
    ids = {"ids": torch.zeros(1, 2, dtype=torch.int64), "mask": torch.ones(1, 2).bool()}
    with pytest.raises(ConfigError, match="Mine reads ids, mask, of which 0 hold floats.*'continuous'"):
        only_numbers(ids, "Mine")
