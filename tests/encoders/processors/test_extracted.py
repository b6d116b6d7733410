"""Sounds as feature extractors of transformers prepare them: rates, lengths, stored and described forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hub_folders import AUDIO_MODELS, MODEL_SECONDS
from mmbert.deploy.preprocessing import describe_processor, rebuild_processor
from mmbert.encoders.audio_model import AudioModelEncoder
from mmbert.encoders.processors.extracted import WhisperProcessor, whisper_tokens


def processor_of(name: str, folders: dict[str, str]) -> Any:
    return AudioModelEncoder(folders[name], max_seconds=MODEL_SECONDS.get(name, 10.0)).processor


def noise(samples: int) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(samples) * 0.1).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "frames", "tokens"),
    [(1, 3, 1), (160, 3, 1), (161, 4, 1), (320, 4, 1), (321, 5, 2), (16000, 102, 50), (32000, 200, 100)],
)
def test_whispers_tokens_begin_every_twenty_milliseconds(
    folders: dict[str, str], samples: int, frames: int, tokens: int
) -> None:
    processor = processor_of("whisper", folders)
    prepared = processor.prepare((noise(samples), 16000))
    assert prepared.shape == (frames, 16)
    assert whisper_tokens(len(prepared), 200) == -(-samples // 320) == tokens
    times = processor.alignment((noise(samples), 16000))["times"]
    assert len(times) == tokens
    if tokens > 1:
        assert_close(times[1], torch.tensor([0.01, 0.03], dtype=torch.float64))  # around its middle at 0.02


def test_what_whisper_cuts_off_is_silence_of_one_value(folders: dict[str, str]) -> None:
    processor = processor_of("whisper", folders)
    assert isinstance(processor, WhisperProcessor)
    for samples in (1, 159, 160, 4000, 31679, 31680, 31681):
        sound = noise(samples)
        whole = processor.preparer(sound, sampling_rate=16000, return_tensors="np")["input_features"][0].T
        own = len(processor.prepare((sound, 16000)))
        assert np.unique(whole[own:]).size <= 1
        if own < len(whole):
            assert whole[own, 0] == pytest.approx(max(-1.5, whole[:own].max() - 2), abs=1e-6)
            assert own < 3 or np.unique(whole[own - 3 : own]).size > 1  # and not much more could be cut


def test_a_whisper_that_draws_noise_is_kept_from_it(folders: dict[str, str]) -> None:
    processor = processor_of("whisper", folders)
    processor.preparer.dither = 0.5
    again = WhisperProcessor(processor.preparer, 2.0)
    assert_close(again.prepare((noise(900), 16000)), again.prepare((noise(900), 16000)), rtol=0, atol=0)


def test_sounds_are_given_at_the_models_own_rate(folders: dict[str, str]) -> None:
    processor = processor_of("clap", folders)
    assert processor.sample_rate_hz == 8000
    tone = np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100).astype(np.float32)
    loudest = processor.prepare((tone, 44100)).mean(0).argmax()
    own = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000).astype(np.float32)
    assert loudest == processor.prepare((own, 8000)).mean(0).argmax()


def test_speech_has_mean_0_and_variance_1_where_the_extractor_says_so(folders: dict[str, str]) -> None:
    sound = noise(5000) * 0.2 + 0.3
    normed = processor_of("wav2vec2", folders).prepare((sound, 16000))
    assert_close(normed.mean(), torch.tensor(0.0), rtol=0, atol=1e-5)
    assert_close(normed.square().mean(), torch.tensor(1.0), rtol=0, atol=1e-3)
    assert_close(
        processor_of("hubert", folders).prepare((sound, 16000)), torch.from_numpy(sound)
    )  # do_normalize: false


@pytest.mark.parametrize("name", AUDIO_MODELS)
def test_an_exports_description_makes_the_same_processor(name: str, folders: dict[str, str], tmp_path: Path) -> None:
    encoder = AudioModelEncoder(folders[name], max_seconds=0.7)
    place = tmp_path / "encoders" / "audio"
    place.mkdir(parents=True)
    encoder.save_assets(place)
    again = rebuild_processor("audio", describe_processor(encoder.processor), tmp_path)
    sounds = [(noise(9000), 16000), (noise(30000), 22050)]
    wanted, found = (each.collate([each.prepare(sound) for sound in sounds]) for each in (encoder.processor, again))
    assert_close(found, wanted, rtol=0, atol=0)
    assert again.settings() == encoder.processor.settings()
