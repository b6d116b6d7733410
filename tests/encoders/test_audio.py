from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from mmbert.core.errors import ConfigError, InputError, WeightsError
from mmbert.encoders import audio as audio_module
from mmbert.encoders.audio import SpeechEncoder
from mmbert.encoders.conformer import ConformerEncoder, conformer_layer
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.processors.audio import AudioProcessor
from mmbert.encoders.processors.log_mel import LogMel

COVERS = ("conformer", "melspec_cnn")

LAYERS = [(32, 10, 5), (32, 3, 2), (32, 3, 2), (32, 3, 2), (32, 3, 2), (32, 2, 2), (32, 2, 2)]
SMALL = {
    "encoder_embed_dim": 32,
    "encoder_num_layers": 2,
    "encoder_num_heads": 4,
    "encoder_ff_interm_features": 64,
    "encoder_pos_conv_groups": 4,
    "extractor_conv_layer_config": LAYERS,
}


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(samples) * 0.1).astype(np.float32)


def tone(hertz: float, rate_hz: int, seconds: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(rate_hz * seconds)) / rate_hz).astype(np.float32)


# --- the processor


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000, 22051])
def test_a_tone_keeps_its_pitch_and_length_at_any_rate(rate_hz: int) -> None:
    waveform = AudioProcessor(16000, 10.0, 400).prepare((tone(1000, rate_hz, 1.0), rate_hz))
    assert abs(len(waveform) - 16000) < 50
    spectrum = torch.fft.rfft(waveform[2000:14000] * torch.hann_window(12000)).abs()
    assert abs(float(spectrum.argmax()) * 16000 / 12000 - 1000) < 4
    assert_close(waveform[2000:14000].square().mean().sqrt(), torch.tensor(0.5**0.5), rtol=0, atol=0.01)


def test_long_sounds_are_cut_without_resampling_all_of_them() -> None:
    processor = AudioProcessor(16000, 0.5, 400)
    sound = noise(48000 * 60)
    started = time.perf_counter()
    cut = processor.prepare((sound, 48000))
    assert time.perf_counter() - started < 0.5
    assert len(cut) == 8000
    assert_close(cut, processor.prepare((sound[:48000], 48000)))  # what follows the cut does not matter
    assert len(processor.prepare((sound, 16000))) == 8000


def test_short_sounds_get_silence_and_none_gets_an_empty_row() -> None:
    processor = AudioProcessor(16000, 1.0, 400)
    inputs = processor.collate([processor.prepare((noise(n), 16000)) for n in (0, 1, 700)] + [None])
    assert inputs["mask"].sum(1).tolist() == [400, 400, 700, 0]
    assert not inputs["waveform"][0].any() and not inputs["waveform"][~inputs["mask"]].any()


def test_sounds_that_cannot_be_used_are_refused() -> None:
    processor = AudioProcessor(16000, 1.0, 400)
    with pytest.raises(InputError, match=r"one channel, shape \(T,\), but has the shape \(2, 100\)"):
        processor.prepare((np.zeros((2, 100), np.float32), 16000))
    with pytest.raises(InputError, match="NaN or infinite"):
        processor.prepare((np.array([0.0, np.nan], np.float32), 16000))
    with pytest.raises(InputError, match="must lie from 1 to 2,000,000 Hz, not at 0"):
        processor.prepare((noise(10), 0))
    with pytest.raises(ConfigError, match="max_seconds=0.01 is too short: it needs 0.025"):
        MelspecCNN(max_seconds=0.01)


# --- log-mel


def test_frames_are_the_log_energies_of_their_windows() -> None:
    log_mel = LogMel(16000, 40, 0.025, 0.016)
    sound = torch.from_numpy(noise(5000))
    frames, real = log_mel(sound[None], torch.ones(1, 5000, dtype=torch.bool))
    count = (5000 - 400) // 256 + 1
    windows = torch.stack([sound[i * 256 : i * 256 + 400] for i in range(count)]) * torch.hann_window(400)
    power = torch.fft.rfft(windows).abs().square() @ log_mel.mel.mel_scale.fb
    expected = (power + 1e-6).log()
    expected = expected - expected.mean(0)
    expected = expected / (expected.square().mean() + 1e-5).sqrt()
    assert real.all() and frames.shape == (1, count, 40)
    assert_close(frames[0], expected, rtol=0, atol=1e-4)


@given(length=st.integers(400, 3000), more=st.integers(0, 2000))
@settings(deadline=None, max_examples=25)
def test_a_frame_is_real_if_and_only_if_its_window_lies_inside_the_sound(length: int, more: int) -> None:
    log_mel = LogMel(16000, 8, 0.025, 0.01)
    mask = torch.arange(length + more)[None] < length
    _, real = log_mel(torch.zeros(1, length + more), mask)
    assert real.sum() == (length - 400) // 160 + 1


def test_loudness_and_microphone_do_not_matter() -> None:
    log_mel = LogMel(16000, 40, 0.025, 0.016)
    sound = torch.from_numpy(noise(8000))[None]
    mask = torch.ones(1, 8000, dtype=torch.bool)
    assert_close(log_mel(sound * 5, mask)[0], log_mel(sound, mask)[0], rtol=0, atol=0.01)
    silence, _ = log_mel(torch.zeros(1, 8000), mask)
    assert_close(silence, torch.zeros_like(silence), rtol=0, atol=0.01)  # and no division by zero


# --- speech models


@pytest.mark.parametrize("name", ["wav2vec2_base", "hubert_base", "wavlm_base", "wav2vec2_large_lv60k", "wavlm_large"])
def test_an_unpadded_sound_gets_torchaudios_own_numbers(name: str) -> None:
    torch.manual_seed(0)
    encoder = SpeechEncoder(name, False, options=SMALL).eval()
    waveform = torch.from_numpy(noise(9000))[None]
    given_to_them = torch.nn.functional.layer_norm(waveform, waveform.shape) if "large" in name else waveform
    with torch.no_grad():
        theirs, _ = encoder.network(given_to_them)
        ours = encoder({"waveform": waveform, "mask": torch.ones(1, 9000, dtype=torch.bool)})
    assert_close(ours.tokens, theirs, rtol=0, atol=1e-5)
    assert_close(ours.pooled, theirs.mean(1), rtol=0, atol=1e-5)


def test_torchaudios_own_way_lets_padding_speak_so_ours_is_needed() -> None:
    torch.manual_seed(0)
    network = SpeechEncoder("wav2vec2_base", False, options=SMALL).eval().network
    waveform = torch.from_numpy(noise(9000))[None]
    padded = torch.nn.functional.pad(waveform, (0, 4000))
    with torch.no_grad():
        alone, _ = network(waveform)
        together, _ = network(padded, torch.tensor([9000]))
    assert (together[:, : alone.shape[1]] - alone).abs().max() > 0.05


def test_the_bundles_architectures_are_built_in_full_without_a_download() -> None:
    encoder = SpeechEncoder("wav2vec2_base", False)
    assert encoder.out_dim == 768 and len(encoder.network.encoder.transformer.layers) == 12
    assert sum(p.numel() for p in encoder.parameters()) == 94_371_712 - 768  # as published, less the masking vector


def test_frozen_features_alone_get_no_gradient() -> None:
    encoder = SpeechEncoder("hubert_base", False, frozen_features=True, options=SMALL).train()
    inputs = encoder.processor.collate([encoder.processor.prepare((noise(3000), 16000))])
    encoder(inputs).tokens.square().sum().backward()
    without = {name.split(".")[1] for name, p in encoder.named_parameters() if p.grad is None}
    assert without == {"feature_extractor"}


def test_a_local_file_of_weights_is_loaded_and_a_wrong_one_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    trained = SpeechEncoder("wavlm_base", False, options=SMALL).network
    state = {**trained.state_dict(), "aux.weight": torch.zeros(3), "aux.bias": torch.zeros(3)}  # a head for letters
    torch.save(state, tmp_path / "wavlm.pth")
    again = SpeechEncoder("wavlm_base", checkpoint=str(tmp_path / "wavlm.pth"), options=SMALL).network
    assert_close(again.state_dict(), trained.state_dict(), rtol=0, atol=0)
    with pytest.raises(WeightsError, match="wavlm.pth do not fit Wav2Vec2Model"):
        SpeechEncoder("wav2vec2_base", checkpoint=str(tmp_path / "wavlm.pth"), options=SMALL)


def test_weights_that_cannot_be_had_name_the_ways_out_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(audio_module, "reachable", lambda url: False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(
        audio_module, "build_speech_network", lambda *_: torch.nn.Identity()
    )  # 94 million numbers, unread
    with pytest.raises(WeightsError, match="'wav2vec2_base' cannot be had") as caught:
        SpeechEncoder("wav2vec2_base")
    for way_out in ("audio=melspec_cnn", "encoders.audio.checkpoint=", "pretrained=false"):
        assert way_out in str(caught.value)


def test_wrong_options_say_what_is_right() -> None:
    with pytest.raises(ConfigError, match="'wavlm_bas' is unknown to torchaudio. Did you mean 'wavlm_base'"):
        SpeechEncoder("wavlm_bas")
    with pytest.raises(ConfigError, match="'encoder_layers' is no option of wavlm_base. Did you mean"):
        SpeechEncoder("wavlm_base", False, options={"encoder_layers": 2})
    with pytest.raises(ConfigError, match="num_heads=5 does not divide out_dim=144"):
        ConformerEncoder(num_heads=5)
    with pytest.raises(ConfigError, match="kernel_size=4 must be odd"):
        ConformerEncoder(kernel_size=4)
    with pytest.raises(ConfigError, match="must be lists of the same length"):
        MelspecCNN(channels=[4, 8], time_strides=[2])


# --- conformer


def test_the_conformer_equals_torchaudios_on_unpadded_frames() -> None:
    torch.manual_seed(0)
    network = ConformerEncoder(32, 2, 4, 64).eval().network
    frames = torch.randn(3, 20, 32)
    with torch.no_grad():
        theirs, _ = network(frames, torch.full((3,), 20))
        ours = frames
        for layer in network.conformer_layers:
            ours = conformer_layer(layer, ours, torch.ones(3, 20, dtype=torch.bool))
    assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_a_sound_shorter_than_a_window_has_one_token() -> None:
    for encoder in (MelspecCNN().eval(), ConformerEncoder(32, 1, 4, 32).eval()):
        encoded = encoder(encoder.processor.collate([encoder.processor.prepare((noise(50), 16000))]))
        assert encoded.tokens.shape[1] == 1 and encoded.present.all()


def test_tokens_follow_time() -> None:
    """A click at the end moves the last tokens and, beyond the convolutions' reach, none before."""
    encoder = MelspecCNN().eval()
    encoder.log_mel.forward = lambda wave, mask: (wave[:, ::16, None].expand(-1, -1, 40), mask[:, ::16])  # type: ignore
    quiet = torch.zeros(1, 1600)
    click = quiet.clone()
    click[0, 1584] = 1.0  # frame 99 of 100
    mask = torch.ones(1, 1600, dtype=torch.bool)
    change = (
        encoder({"waveform": click, "mask": mask}).tokens - encoder({"waveform": quiet, "mask": mask}).tokens
    ).abs()
    moved = change.sum(2)[0] > 0
    assert len(moved) == 25 and moved[-1] and not moved[:20].any()


def test_torchaudio_is_imported_only_where_sounds_are_processed() -> None:
    script = (
        "import sys; import mmbert.encoders.text, mmbert.encoders.image, mmbert.encoders.audio;"
        "import mmbert.encoders.conformer, mmbert.encoders.melspec_cnn;"
        "print([m for m in ('torchaudio', 'timm', 'transformers', 'torchvision') if m in sys.modules]);"
        "sys.modules['torchaudio'] = None;"  # any import of it fails from here on
        "from mmbert.encoders.image import ImageEncoder; print(ImageEncoder('tiny', False).out_dim)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "16"]
