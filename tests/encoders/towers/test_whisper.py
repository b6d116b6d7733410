"""Audio models of transformers: the numbers of its own models and feature extractors, alone and in a padded batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch.testing import assert_close

from hub_folders import AUDIO_MODELS, MODEL_SECONDS
from installed import skip_without
from mmbert.encoders.audio_model import AudioModelEncoder
from mmbert.encoders.towers.clap import ClapTower
from mmbert.encoders.towers.clip import ClipTower
from mmbert.encoders.towers.siglip import SiglipTower
from mmbert.encoders.towers.spectrogram import SpectrogramTower
from mmbert.encoders.towers.speech import SpeechTower
from mmbert.encoders.towers.whisper import WhisperTower, silence

#: All towers are held to transformers alike.
COVERS = ("base", "clap", "spectrogram", "speech", "clip", "siglip")
TOLERANCE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(scope="module")
def utterances() -> list[tuple[np.ndarray, int]]:
    """Speech of three lengths at the rates of files, not of models."""
    skip_without("espeakng_loader")
    import torchaudio

    from mmbert.data.digits.speech import Voice, say

    voice = Voice("en-us+f3", 200, 50, 50)
    words = [("seven", 16000), ("two", 22050), ("eight and nine", 44100)]
    found = []
    for text, rate in words:
        samples = torch.from_numpy(say(text, voice))[: int(0.95 * 16000)] * 0.3
        found.append((torchaudio.functional.resample(samples, 16000, rate).numpy(), rate))
    return found


def encoder_of(name: str, folders: dict[str, str], **options: Any) -> AudioModelEncoder:
    return AudioModelEncoder(folders[name], **{"max_seconds": MODEL_SECONDS.get(name, 10.0), **options}).eval()


def theirs(folder: str, sound: tuple[np.ndarray, int]) -> dict[str, torch.Tensor]:
    """What transformers' own classes make of one sound, resampled to the rate that their extractor asks for."""
    import torchaudio

    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    # the transform: its filters are of float64, those of the function of float32
    samples = torchaudio.transforms.Resample(sound[1], extractor.sampling_rate)(torch.from_numpy(sound[0]))
    inputs = extractor(samples.numpy(), sampling_rate=extractor.sampling_rate, return_tensors="pt")
    model = transformers.AutoModel.from_pretrained(folder).eval()
    kind = model.config.model_type
    if kind == "clap":
        model = model.audio_model
        inputs["is_longer"] = torch.zeros(1, 1, dtype=torch.bool)  # the extractor draws one, of one: this
    if kind == "whisper":
        model = model.encoder
    with torch.no_grad():
        made = model(**{key: value for key, value in inputs.items() if key != "attention_mask"})
    states, pooled = made.last_hidden_state, getattr(made, "pooler_output", None)
    if kind == "clap":  # (1, D, bands, times): the tokens in the order of time
        states = states[0].permute(2, 1, 0).flatten(0, 1)[None]
    if kind == "audio-spectrogram-transformer":  # two tokens, then those of the lowest bands, ...
        bands, times = model.embeddings.get_shape(model.config)
        order = [2 + band * times + time for time in range(times) for band in range(bands)]
        states = states[:, [0, 1, *order]]
    return {"tokens": states[0], "pooled": None if pooled is None else pooled[0], "samples": len(samples)}


KINDS = {"whisper": WhisperTower, "ast": SpectrogramTower, "clap": ClapTower, "clap_fused": ClapTower}


def expected_count(name: str, samples: int, whole: int) -> int:
    """Tokens of a sound, by hand."""
    if name == "whisper":
        return -(-samples // 320)  # one begins every 0.02 s
    if name == "ast":
        frames = (samples - 400) // 160 + 1
        return 2 + 4 * -(-frames // 5)  # patches of 8 bands every 5: 4 fit 24; one begins every 5 frames
    return whole


@pytest.mark.parametrize("name", AUDIO_MODELS)
def test_tokens_and_vector_are_those_of_transformers_alone_and_in_a_batch(
    name: str, folders: dict[str, str], utterances: list[tuple[np.ndarray, int]]
) -> None:
    encoder = encoder_of(name, folders)
    assert type(encoder.network) is KINDS.get(name, SpeechTower)
    prepare, collate = encoder.processor.prepare, encoder.processor.collate
    with torch.no_grad():
        together = encoder(collate([None, *map(prepare, utterances)]))
        assert not together.mask[0].any() and not together.tokens[0].any() and not together.pooled[0].any()
        for row, sound in enumerate(utterances, start=1):
            alone = encoder(collate([prepare(sound)]))
            own = theirs(folders[name], sound)
            count = expected_count(name, own["samples"], len(own["tokens"]))
            assert int(alone.mask.sum()) == int(together.mask[row].sum()) == count
            wanted = own["tokens"][:count]
            assert wanted.std() > 0.1  # numbers that differ
            pooled = wanted.mean(0) if own["pooled"] is None else own["pooled"]
            for found in (alone.tokens[0][alone.mask[0]], together.tokens[row][together.mask[row]]):
                assert_close(found, wanted, **TOLERANCE)
            assert_close(alone.pooled[0], pooled, **TOLERANCE)
            assert_close(together.pooled[row], pooled, **TOLERANCE)


def test_transformers_own_way_lets_padding_into_the_norm_so_ours_is_needed(folders: dict[str, str]) -> None:
    model = transformers.AutoModel.from_pretrained(folders["wav2vec2"]).eval()
    sound = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 9000)).astype(np.float32))
    longer = torch.nn.functional.pad(sound, (0, 6000))
    with torch.no_grad():
        alone = model(sound).last_hidden_state
        mask = torch.arange(15000)[None] < 9000
        together = model(longer, attention_mask=mask.long()).last_hidden_state
    assert (together[:, : alone.shape[1]] - alone).abs().max() > 0.05


def test_silence_after_a_sound_is_two_below_its_highest_or_the_least() -> None:
    frames = torch.tensor([[[0.9, 0.2], [9.0, 9.0]], [[0.1, 0.3], [0.4, 0.0]]])
    mask = torch.tensor([[True, False], [True, True]])
    assert_close(silence(frames, mask).flatten(), torch.tensor([-1.1, -1.5]))


def test_no_two_towers_read_the_same_model() -> None:
    """Numbers of ClipTower and SiglipTower are in tests/encoders/test_image_model.py."""
    towers = (WhisperTower, SpectrogramTower, ClapTower, SpeechTower, ClipTower, SiglipTower)
    types = [model_type for tower in towers for model_type in tower.whole]
    assert len(types) == len(set(types)) == 11
    assert all(hasattr(transformers, name) for tower in towers for name in tower.whole.values())
