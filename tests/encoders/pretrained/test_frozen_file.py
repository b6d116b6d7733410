"""Saved models with the same frozen encoder share its weights on disk, and each of them stays whole."""

import errno
import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmbert.core.errors import InputError
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.pretrained import frozen_file
from mmbert.fusion.mean import MeanFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.regression import Regression


def model_of(seed: int = 0, frozen: bool = True) -> MultimodalModel:
    """Pictures alone, with an encoder of random weights."""
    torch.manual_seed(seed)
    encoder = ImageEncoder("tiny", pretrained=False, frozen=frozen)
    fusion = MeanFusion({"image": encoder.out_dim})
    return MultimodalModel({"image": encoder}, fusion, {"value": Regression(in_dim=fusion.out_dim, column="value")})


@pytest.fixture(autouse=True)
def another_process(monkeypatch):
    """Forgets what was written before, as a new process would not know it."""
    monkeypatch.setattr(frozen_file, "WRITTEN", {})


def weights_of(folder):
    """The one file of frozen weights in a saved model."""
    (path,) = folder.glob("encoders/image/frozen-*.safetensors")
    return path


def same_weights(one: MultimodalModel, other: MultimodalModel) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("forgotten", [True, False], ids=["another process", "the same process"])
def test_two_models_share_one_file_and_deleting_one_leaves_the_other(tmp_path, monkeypatch, forgotten):
    first = model_of().save_pretrained(tmp_path / "run1" / "model")
    if forgotten:
        monkeypatch.setattr(frozen_file, "WRITTEN", {})
    model = model_of()
    second = model.save_pretrained(tmp_path / "run2" / "model")
    assert os.path.samefile(weights_of(first), weights_of(second))
    shutil.rmtree(first)
    assert same_weights(MultimodalModel.from_pretrained(second), model)


def test_the_same_process_shares_across_folders_that_are_no_neighbours(tmp_path):
    first = model_of().save_pretrained(tmp_path / "a" / "b" / "run" / "model")
    second = model_of().save_pretrained(tmp_path / "c" / "run" / "model")
    assert os.path.samefile(weights_of(first), weights_of(second))


def test_other_weights_are_another_file(tmp_path):
    first = model_of(seed=0).save_pretrained(tmp_path / "run1" / "model")
    other = model_of(seed=1)
    second = other.save_pretrained(tmp_path / "run2" / "model")
    assert weights_of(first).name != weights_of(second).name
    assert same_weights(MultimodalModel.from_pretrained(second), other)


def test_an_encoder_that_learns_has_no_file_of_its_own(tmp_path):
    folder = model_of(frozen=False).save_pretrained(tmp_path / "run" / "model")
    assert not list(folder.glob("encoders/image/frozen-*"))
    assert [name for name in load_file(folder / "model.safetensors") if name.startswith("encoders.image.")]


def test_saving_again_in_place_keeps_the_weights(tmp_path):
    model = model_of()
    for _ in range(2):
        folder = model.save_pretrained(tmp_path / "run" / "model")
    assert same_weights(MultimodalModel.from_pretrained(folder), model)


def test_another_file_system_gets_a_copy(tmp_path, monkeypatch):
    model = model_of()
    first = model.save_pretrained(tmp_path / "run1" / "model")

    def refuse(source, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    second = model.save_pretrained(tmp_path / "run2" / "model")
    assert not os.path.samefile(weights_of(first), weights_of(second))
    assert same_weights(MultimodalModel.from_pretrained(second), model)


def test_a_file_that_was_cut_short_is_not_shared(tmp_path):
    model = model_of()
    first = weights_of(model.save_pretrained(tmp_path / "run1" / "model"))
    os.truncate(first, first.stat().st_size // 2)
    second = model.save_pretrained(tmp_path / "run2" / "model")
    assert same_weights(MultimodalModel.from_pretrained(second), model)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o007, 0o660)])
def test_the_users_umask_says_who_may_read_weights(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        folder = model_of().save_pretrained(tmp_path / "run" / "model")
    finally:
        os.umask(before)
    for path in (weights_of(folder), folder / "model.safetensors", folder / "config.json"):
        assert path.stat().st_mode & 0o777 == mode, path.name


def test_a_missing_or_damaged_file_is_told_with_its_name(tmp_path):
    folder = model_of().save_pretrained(tmp_path / "run" / "model")
    path = weights_of(folder)
    state = load_file(path)
    name = next(iter(state))
    for spoil, said in (
        (lambda: save_file({**state, name: state[name] + 1}, path), "holds other weights than were saved"),
        (lambda: path.write_bytes(b"no tensors"), "cannot be read"),
        (path.unlink, "is missing"),
    ):
        spoil()
        with pytest.raises(InputError, match=said) as told:
            MultimodalModel.from_pretrained(folder)
        assert str(path) in str(told.value)


def test_a_model_of_the_version_before_is_read(tmp_path):
    model = model_of()
    folder = model.save_pretrained(tmp_path / "run" / "model")
    frozen = {f"encoders.image.{name}": tensor for name, tensor in load_file(weights_of(folder)).items()}
    save_file({**load_file(folder / "model.safetensors"), **frozen}, folder / "model.safetensors")
    weights_of(folder).unlink()
    config = json.loads((folder / "config.json").read_text())
    del config["encoders"]["image"]["frozen_weights"], config["checksums"]
    (folder / "config.json").write_text(json.dumps({**config, "format": 1}))
    assert same_weights(MultimodalModel.from_pretrained(folder), model)


def test_another_model_takes_the_frozen_weights_over(tmp_path):
    from mmbert.model.initial_weights import load_initial_weights
    from mmbert.runs.folder import model_in

    model = model_of(seed=0)
    model.save_pretrained(tmp_path / "run" / "model")
    other = model_of(seed=1).named_encoders()
    assert load_initial_weights(other, str(tmp_path / "run"), model_in) == {"image": str(tmp_path / "run")}
    ours, theirs = other["image"].state_dict(), model.named_encoders()["image"].state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())
