"""conf/text, conf/image, conf/audio: every option of a class stands in its file, and the presets build."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

CONF = Path(__file__).parents[2] / "conf"
FILES = sorted(file for group in ("text", "image", "audio") for file in (CONF / group).glob("*.yaml"))
PRESETS = [file for file in FILES if file.stem != "none"]
OFFLINE = {
    "text": {"minilm": 384, "tiny": 32},
    "image": {"resnet_mini": 128, "tiny": 16, "efficientnet_lite0": 1280},
    "audio": {"melspec_cnn": 128, "conformer": 144, "tiny": 24},
}
RANDOM = {"resnet18": 512, "resnet50": 2048, "mobilenetv3_small": 576, "vit_small": 384}


@pytest.mark.parametrize("file", PRESETS, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_preset_names_every_option_of_its_class(file: Path) -> None:
    preset = OmegaConf.load(file)
    parameters = set(inspect.signature(get_class(preset._target_).__init__).parameters)
    assert set(preset) - {"_target_"} == parameters - {"self", "assets"}  # assets: set when a saved model is loaded
    text = file.read_text(encoding="utf-8")
    assert text.startswith(f"# @package encoders.{file.parent.name}\n") and "\n# Try: mmbert-train " in text


@pytest.mark.parametrize("group", OFFLINE)
def test_the_offline_presets_build(group: str) -> None:
    for name, width in OFFLINE[group].items():
        encoder = instantiate(OmegaConf.load(CONF / group / f"{name}.yaml"), _convert_="all")
        assert (encoder.kind, encoder.out_dim) == (group, width)


@pytest.mark.parametrize("name", RANDOM)
def test_other_picture_presets_build_with_random_weights(name: str) -> None:
    preset = OmegaConf.load(CONF / "image" / f"{name}.yaml")
    assert instantiate(preset, pretrained=False, _convert_="all").out_dim == RANDOM[name]


def test_none_leaves_the_modality_out() -> None:
    for file in FILES:
        if file.stem == "none":
            assert not OmegaConf.load(file)
