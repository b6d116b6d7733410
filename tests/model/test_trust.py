"""What a saved model may name: classes of the package in their places; nothing else is imported, read or run."""

import json
import sys

import pytest
import torch

from mmbert.core.errors import ConfigError, InputError
from mmbert.encoders.image import ImageEncoder
from mmbert.fusion.mean import MeanFusion
from mmbert.model.saving import ModelParts, load_parts, save_parts
from mmbert.model.trust import is_fusion_module
from mmbert.tasks.regression import Regression


@pytest.fixture
def saved(tmp_path):
    """Makes a saved model, with ``change`` applied to its ``config.json``."""

    def make(change):
        parts = ModelParts({}, MeanFusion({"image": 4}, 8), {"size": Regression(8, "cm")}, {"a": torch.ones(1)})
        folder = save_parts(parts, tmp_path / "model")
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return make


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A module of somebody's, which leaves a file where it is imported."""
    (tmp_path / "their_parts.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nclass Theirs: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "ran"
    sys.modules.pop("their_parts", None)


@pytest.mark.parametrize("kind", ["fusion", "tasks", "encoders"])
def test_a_class_of_somebodys_is_never_imported(saved, theirs, kind):
    def change(config):
        part = {"class": "their_parts.Theirs", "args": {}}
        config[kind] = part if kind == "fusion" else {"x": part}

    with pytest.raises(InputError, match=r"uses their_parts\.Theirs.*trust_custom_code=true"):
        load_parts(saved(change))
    assert not theirs.exists()


def test_a_class_that_an_argument_names_is_never_imported(saved, theirs):
    def change(config):
        config["tasks"]["size"]["args"]["deep"] = [{"_target_": "their_parts.Theirs"}]

    with pytest.raises(InputError, match=r"uses their_parts\.Theirs"):
        load_parts(saved(change))
    assert not theirs.exists()


def test_an_adapter_builds_modules_of_the_fusions_alone():
    assert is_fusion_module("mmbert.fusion.adapter.Concatenate")
    for path in ("build_module", "find_class", "functools.partial", "nn.Linear", "Fusion.forward", "Nothing"):
        assert not is_fusion_module(f"mmbert.fusion.adapter.{path}")
    assert not is_fusion_module("mmbert.tasks.regression.Regression") and not is_fusion_module("torch.nn.Linear")


@pytest.mark.parametrize("name", ["../../secret", "a/b", "", "."])
def test_a_name_that_leaves_the_folder_is_refused(saved, name):
    def change(config):
        config["encoders"][name] = {"class": "mmbert.encoders.image.ImageEncoder", "args": {"name": "tiny"}}

    with pytest.raises(InputError, match="can name no part: the file is damaged or was changed"):
        load_parts(saved(change))


def test_a_fingerprint_that_leaves_the_folder_is_refused(saved):
    def change(config):
        part = {"class": "mmbert.encoders.image.ImageEncoder", "args": {"name": "tiny"}, "frozen_weights": "/../../x"}
        config["encoders"]["image"] = part

    with pytest.raises(InputError, match="'/../../x' can name no part"):
        load_parts(saved(change))


def test_files_that_a_saved_image_encoder_names_are_not_read(saved, tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "theirs.pth")
    args = {"name": "resnet18", "options": {"checkpoint_path": str(tmp_path / "theirs.pth")}}

    def change(config):
        config["encoders"]["image"] = {"class": "mmbert.encoders.image.ImageEncoder", "args": args}

    with pytest.raises(ConfigError, match="options.checkpoint_path is not taken"):
        load_parts(saved(change))
    # checkpoint itself is known to the class, which leaves it out: all weights lie in the folder
    rebuilt = ImageEncoder.rebuild_args({"name": "tiny", "checkpoint": str(tmp_path / "theirs.pth")}, tmp_path)
    assert rebuilt["checkpoint"] is None


@pytest.mark.parametrize("name", ["/etc/hostname", "../../x", "encoders/../../x"])
def test_a_checksum_of_a_file_elsewhere_is_refused(saved, name):
    with pytest.raises(InputError, match="can name no part"):
        load_parts(saved(lambda config: config.setdefault("checksums", {}).update({name: "0"})))
