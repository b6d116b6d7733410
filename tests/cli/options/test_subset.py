"""The subset of encoders wins over every other choice of encoders, and what contradicts it is refused."""

from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf

from mmbert.cli.options.check import check_words
from mmbert.cli.options.subset import keep_subset, overruled_words
from mmbert.cli.sweep.search_path import PACKAGE, add_working_folder
from mmbert.core.errors import ConfigError
from mmbert.runs.job import job_hash
from mmbert.runs.naming import modalities_label

SUBSETS = ["text", "image", "audio", "text_image", "text_audio", "image_audio", "text_image_audio"]


@pytest.fixture
def compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The config of a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    add_working_folder()

    def run(*words: str, sweep: bool = False) -> dict:
        with hydra.initialize_config_module(PACKAGE, version_base="1.3", job_name="train"):
            return OmegaConf.to_container(check_words(list(words), "train", sweep=sweep))

    return run


@pytest.mark.parametrize("subset", SUBSETS)
def test_encoders_chosen_by_hand_do_not_bring_a_modality_back(compose, subset: str):
    config = compose(f"modalities={subset}", "text=tiny", "image=vit_base", "audio=wav2vec2_base")
    assert modalities_label(config) == subset.replace("_", "+")
    usual = compose(*(f"{name}=none" for name in ("text", "image", "audio") if name not in subset.split("_")))
    assert modalities_label(usual) == modalities_label(config)


def test_options_of_encoders_hold_for_every_subset_of_a_sweep(compose):
    words = ["text=tiny", "encoders.audio.lr_scale=0.5", "encoders.image.frozen=true"]
    for subset in SUBSETS:
        encoders = {name: part for name, part in compose(f"modalities={subset}", *words)["encoders"].items() if part}
        assert "audio" not in encoders or encoders["audio"]["lr_scale"] == 0.5
        assert "image" not in encoders or encoders["image"]["frozen"] is True


def test_an_experiment_file_that_chooses_encoders_does_not_bring_a_modality_back(compose, tmp_path: Path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /audio: conformer\n  - override /image: resnet18\nseed: 3\n"
    )
    config = compose("experiment=own", "modalities=text_image")
    assert config["seed"] == 3 and modalities_label(config) == "text+image"
    assert config["encoders"]["image"]["name"] == "resnet18"


def test_encoders_of_other_names_are_left_out_too_and_can_be_named(compose):
    scan = "+image@encoders.scan=resnet_mini"
    assert modalities_label(compose("modalities=text", scan)) == "text"
    assert modalities_label(compose("subset=[text,scan]", scan)) == "text+scan"


@pytest.mark.parametrize(
    "words",
    [
        ["modalities=text_image", "image=none"],
        ["modalities=audio", "audio=none", "text=tiny"],
        ["subset=[text,scan]"],
        ["data=synthetic", "modalities=synthetic", "encoders.a=null"],
    ],
)
def test_a_subset_that_names_an_encoder_which_is_left_out_is_refused(compose, words: list[str]):
    with pytest.raises(ConfigError, match=r"subset=\[.*\] uses the encoder '\w+', but the config leaves it out"):
        compose(*words)


@pytest.mark.parametrize("value", [[], [3], 3, "[]"])
def test_a_subset_must_list_names(value):
    cfg = OmegaConf.create({"subset": value, "encoders": {"text": {"a": 1}}})
    with pytest.raises(ConfigError, match="subset"):
        keep_subset(cfg)


def test_a_choice_that_is_overruled_is_said(compose, capsys):
    compose("modalities=text", "audio=conformer")
    assert "audio=conformer: left out, for subset=[text] does not name it" in capsys.readouterr().err
    compose("modalities=text", "fusion=concat", "text=tiny")
    assert capsys.readouterr().err == ""
    assert overruled_words(["+image@encoders.scan=vit", "audio=none", "image=x"], ["scan", "audio"]) == [
        "+image@encoders.scan=vit"
    ]


def test_a_job_keeps_its_hash_however_its_encoders_were_left_out(compose):
    by_hand, by_subset = compose("audio=none"), compose("modalities=text_image", "audio=conformer")
    hashes = {job_hash(OmegaConf.create({k: v for k, v in c.items() if k != "hydra"})) for c in (by_hand, by_subset)}
    assert len(hashes) == 1
