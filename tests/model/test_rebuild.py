"""Parts are built anew from config.json; whatever goes wrong there is one error that names the part."""

import json

import pytest

from mmbert.core.errors import ConfigError, InputError
from mmbert.fusion.base import Fusion
from mmbert.fusion.mean import MeanFusion
from mmbert.model.rebuild import built, class_of, part_errors, rebuild_encoders, rebuild_fusion, weights_on_disk

MEAN = "mmbert.fusion.mean.MeanFusion"


def test_a_class_must_be_of_its_kind(tmp_path):
    assert class_of({"class": MEAN}, Fusion, tmp_path) is MeanFusion
    with pytest.raises(InputError, match="which is no Fusion"):
        class_of({"class": "mmbert.tasks.regression.Regression"}, Fusion, tmp_path)
    with pytest.raises(InputError, match=rf"{tmp_path}/config.json: The class 'mmbert.x.Y' cannot be imported"):
        class_of({"class": "mmbert.x.Y"}, Fusion, tmp_path)


def config_of(folder, **args):
    config = json.loads((folder / "config.json").read_text())
    config["fusion"]["args"] |= args
    return config


def test_arguments_are_checked_before_the_class_is_called(folder):
    with pytest.raises(InputError, match=r"config.json: fusion.args: out_dim=8.5: a whole number is wanted"):
        rebuild_fusion(config_of(folder, out_dim=8.5), folder)
    with pytest.raises(InputError, match=r"fusion.args: got an unexpected keyword argument 'heads'"):
        rebuild_fusion(config_of(folder, heads=2), folder)


def test_a_network_far_larger_than_its_weights_is_not_built(folder):
    with pytest.raises(InputError, match="fusion describes a network that is far larger than the weights beside it"):
        rebuild_fusion(config_of(folder, out_dim=2**31), folder)
    assert weights_on_disk(folder)[0] == (folder / "model.safetensors").stat().st_size


def test_the_layers_of_an_encoder_without_checksums_are_tried_out(folder):
    config = {**config_of(folder), "checksums": {}}
    path = folder / "encoders" / "text" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_attention_heads": -1}))
    with pytest.raises(InputError, match="encoders.text cannot be built"):
        rebuild_encoders(config, folder)


def test_any_error_becomes_one_that_names_the_part(tmp_path):
    with pytest.raises(InputError, match=rf"{tmp_path}/config.json: tasks.a cannot be built \(KeyError: 'x'\)"):
        built(lambda: {}["x"], dict, {"class": "elsewhere.X", "args": {}}, tmp_path, "tasks.a")
    with (
        pytest.raises(ConfigError, match=rf"{tmp_path}/config.json: tasks.a cannot be built: no"),
        part_errors(tmp_path, "tasks.a"),
    ):
        raise ConfigError("no")
