"""Audio models of transformers from folders and names: what is wrong is told in one line, with the remedy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers

from mmbert.core.errors import ConfigError, WeightsError
from mmbert.encoders.audio_model import AudioModelEncoder
from mmbert.encoders.pretrained.towers import load_preparer_of


def change_json(path: Path, **options: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))


def test_a_text_model_is_no_audio_model(tmp_path: Path) -> None:
    config = transformers.BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=f"{tmp_path}: .* of type bert.*whisper.*encoders.text.name"):
        AudioModelEncoder(str(tmp_path))


def test_a_folder_that_does_not_say_how_sounds_are_prepared(folders: dict[str, str], tmp_path: Path) -> None:
    place = shutil.copytree(folders["wav2vec2"], tmp_path / "bare")
    (place / "preprocessor_config.json").unlink()
    with pytest.raises(
        WeightsError, match="has no preprocessor_config.json that can be read.*Copy that file"
    ) as caught:
        AudioModelEncoder(str(place))
    assert "\n" not in str(caught.value)
    shutil.copy(Path(folders["whisper"]) / "preprocessor_config.json", place)
    with pytest.raises(WeightsError, match="is for a WhisperFeatureExtractor, but the model needs Wav2Vec2Feature"):
        AudioModelEncoder(str(place))


def test_a_name_that_no_hub_gives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("mmbert.encoders.pretrained.weights.reachable", lambda url: False)
    with pytest.raises(
        WeightsError, match="audio model 'openai/whisper-none' was not found.*encoders.audio.name="
    ) as caught:
        AudioModelEncoder("openai/whisper-none")
    assert "\n" not in str(caught.value) and "preprocessor_config.json" in str(caught.value)


def test_files_of_two_models_in_one_folder(folders: dict[str, str], tmp_path: Path) -> None:
    for name, option in (("whisper", "feature_size"), ("ast", "max_length"), ("clap", "feature_size")):
        place = shutil.copytree(folders[name], tmp_path / name)
        change_json(place / "preprocessor_config.json", **{option: 20})
        with pytest.raises(ConfigError, match="by preprocessor_config.json 20: these are not the files of one model"):
            AudioModelEncoder(str(place), max_seconds=0.1)


def test_weights_that_lack_a_part(folders: dict[str, str], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    place = shutil.copytree(folders["ast"], tmp_path / "ast")
    weights = load_file(place / "model.safetensors")
    gone = next(
        key for key in weights if key.endswith("layers.1.mlp.up_proj.weight") or "layers.1" in key or "layer.1" in key
    )
    save_file(
        {key: value for key, value in weights.items() if key != gone}, place / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(WeightsError, match="has no weights for 1 of the"):
        AudioModelEncoder(str(place), max_seconds=1.0)


def test_options_that_do_not_fit(folders: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"max_seconds=10.0: this model reads 2 seconds at most. Set max_seconds=2"):
        AudioModelEncoder(folders["whisper"])
    with pytest.raises(ConfigError, match="'num_layers' is no option of .*Did you mean"):
        AudioModelEncoder(folders["wav2vec2"], config={"num_layers": 1})
    with pytest.raises(ConfigError, match="add_adapter=true, a layer by which padding would change tokens"):
        AudioModelEncoder(folders["wav2vec2"], False, config={"add_adapter": True})
    shorter = AudioModelEncoder(folders["clap"], False, 0.5, config={"hidden_dropout_prob": 0.0})
    assert shorter.network.model.config.hidden_dropout_prob == 0.0


def test_the_files_of_a_saved_encoder_give_its_extractor(folders: dict[str, str], tmp_path: Path) -> None:
    AudioModelEncoder(folders["clap"], max_seconds=1.0).save_assets(tmp_path)
    assert load_preparer_of(str(tmp_path), "audio").sampling_rate == 8000
    with pytest.raises(WeightsError, match="audio model .*nowhere' was not found"):
        load_preparer_of(str(tmp_path / "nowhere"), "audio")


def test_weights_of_another_size(folders: dict[str, str]) -> None:
    with pytest.raises(WeightsError, match="do not fit its config.json: .*mismatch"):
        AudioModelEncoder(folders["hubert"], config={"intermediate_size": 48})
