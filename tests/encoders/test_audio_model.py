"""The encoder of transformers' audio models: contract, fine-tuning, fingerprint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from hub_folders import AUDIO_MODELS, MODEL_SECONDS, saved
from installed import skip_without
from mmbert.core.errors import ConfigError
from mmbert.encoders.audio_model import AudioModelEncoder
from mmbert.encoders.speech_frames import attended_frames, receptive_field
from mmbert.encoders.text import TextEncoder
from mmbert.encoders.transformers_model import TransformersEncoder
from mmbert.store.identity import encoder_identity, identity_hash, prepared_identity
from mmbert.testing import check_encoder
from wrapped_layers import passed_by

COVERS = ("transformers_model", "speech_frames")


def encoder_of(name: str, folders: dict[str, str], **options: Any) -> AudioModelEncoder:
    return AudioModelEncoder(folders[name], **{"max_seconds": MODEL_SECONDS.get(name, 10.0), **options}).eval()


#: More than five seconds.
LONG = ("clap", "clap_fused", "whisper")


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in AUDIO_MODELS])
def test_the_contract_is_kept(name: str, folders: dict[str, str]) -> None:
    check_encoder(AudioModelEncoder, name=folders[name], max_seconds=MODEL_SECONDS.get(name, 10.0))


@pytest.mark.parametrize("name", AUDIO_MODELS)
def test_every_layer_that_gets_an_adapter_is_called(name: str, folders: dict[str, str]) -> None:
    skip_without("peft")
    encoder = encoder_of(name, folders, lora={"r": 2})
    trained = [key for key, parameter in encoder.named_parameters() if parameter.requires_grad]
    assert trained and all("lora_" in key for key in trained)
    noise = (np.random.default_rng(0).standard_normal(9000).astype(np.float32), 16000)
    inputs = encoder.processor.collate([encoder.processor.prepare(noise)])
    before = encoder(inputs).tokens
    before.square().sum().backward()
    for key, parameter in encoder.named_parameters():
        if "lora_B" in key:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


def test_weights_that_wavlm_reads_past_its_layers_get_no_adapter(folders: dict[str, str]) -> None:
    skip_without("peft")
    with pytest.raises(ConfigError, match="q_proj', but WavLMAttention reads that layer's weights past an adapter"):
        encoder_of("wavlm", folders, lora={"r": 2, "target_modules": ["q_proj"]})
    encoder = encoder_of("wavlm", folders)
    inputs = encoder.processor.collate([torch.randn(4000)])
    assert {name.rpartition(".")[2] for name in passed_by(encoder, lambda: encoder(inputs).tokens)} == {
        *("q_proj", "k_proj", "v_proj", "out_proj")
    }


@pytest.mark.parametrize("name", ["whisper", "ast", "wav2vec2", "wavlm"])
def test_layers_are_frozen_slowed_and_recomputed_as_in_other_encoders(name: str, folders: dict[str, str]) -> None:
    encoder = encoder_of(name, folders, trainable_last_n=1)
    trained = {key for key, parameter in encoder.named_parameters() if parameter.requires_grad}
    assert trained and all("layers.1." in key or "norm" in key for key in trained)
    slowed = encoder_of(name, folders, layer_decay=0.5)
    assert set(slowed.lr_factors().values()) == {1.0, 0.5, 0.25}
    noise = (np.random.default_rng(0).standard_normal(9000).astype(np.float32), 16000)
    slopes = []
    for again in (False, True):
        one = encoder_of(name, folders, gradient_checkpointing=again)
        one.train()
        for module in one.modules():
            if isinstance(module, torch.nn.Dropout) or hasattr(module, "dropout") and isinstance(module.dropout, float):
                module.eval()
        inputs = one.processor.collate([one.processor.prepare(noise)])
        torch.manual_seed(0)
        one(inputs).tokens.square().sum().backward()
        slopes.append({key: parameter.grad for key, parameter in one.named_parameters() if parameter.grad is not None})
    assert_close(slopes[1], slopes[0], rtol=1e-3, atol=1e-3)


def test_clap_has_no_gradient_checkpointing_and_says_so(folders: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="ClapAudioModel has no gradient checkpointing"):
        encoder_of("clap", folders, gradient_checkpointing=True)


def test_the_fingerprint_depends_on_weights_and_preprocessing(folders: dict[str, str], tmp_path: Path) -> None:
    def identity(folder: str, **options: Any) -> tuple[str, str]:
        encoder = AudioModelEncoder(folder, max_seconds=1.0, frozen=True, **options)
        return identity_hash(encoder_identity(encoder)), identity_hash(prepared_identity(encoder))

    same = shutil.copytree(folders["wav2vec2"], tmp_path / "same")
    assert identity(str(same)) == identity(folders["wav2vec2"])
    louder = shutil.copytree(folders["wav2vec2"], tmp_path / "louder")
    change_json(louder / "preprocessor_config.json", do_normalize=False)
    tokens, prepared = zip(identity(str(louder)), identity(folders["wav2vec2"]), strict=True)
    assert len(set(tokens)) == len(set(prepared)) == 2
    other = saved(AUDIO_MODELS["wav2vec2"], tmp_path / "other", seed=1)
    tokens, prepared = zip(identity(other), identity(folders["wav2vec2"]), strict=True)
    assert len(set(tokens)) == 2 and len(set(prepared)) == 1


def change_json(path: Path, **options: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))


def test_all_encoders_over_transformers_share_one_base(folders: dict[str, str]) -> None:
    encoder = encoder_of("hubert", folders)
    assert isinstance(encoder, TransformersEncoder) and issubclass(TextEncoder, TransformersEncoder)
    assert "name" not in encoder.identity() and encoder.identity()["config"]["hidden_size"] == encoder.out_dim == 32


def test_the_first_token_of_a_speech_model_reads_25_milliseconds() -> None:
    assert receptive_field([(10, 5, 0), (3, 2, 0), (3, 2, 0), (3, 2, 0), (3, 2, 0), (2, 2, 0), (2, 2, 0)]) == 400
    real = torch.tensor([[True, False], [False, False]])
    assert attended_frames(real).tolist() == [[True, False], [True, False]]
