"""A copy of an interrupted run resumes in its own folder: neither its numbers nor its files depend on the first one."""

import hashlib
import json
import shutil

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import tensor

from mmbert.core.errors import ConfigError
from mmbert.training.callbacks.moved_run import use_own_checkpoints
from mmbert.training.run import run


@pytest.fixture
def begun(compose_tiny, tmp_path):
    """A run of one epoch, without what a finished one has: as one that was interrupted after the first epoch."""
    cfg = compose_tiny("trainer.max_epochs=1", "data.batch_size=16", "fusion=mean")
    run(cfg, tmp_path / "first")
    (tmp_path / "first" / "metrics.json").unlink()
    return cfg, tmp_path / "first"


def test_a_copied_run_keeps_its_own_best_score_and_leaves_the_other_folder_alone(begun, tmp_path):
    cfg, first = begun
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    last = torch.load(copy / "checkpoints" / "last.ckpt", weights_only=True)
    (key,) = (key for key in last["callbacks"] if key.startswith("ModelCheckpoint"))
    best = last["callbacks"][key]["best_model_score"]
    before = {path: hashlib.md5(path.read_bytes()).hexdigest() for path in first.rglob("*.ckpt")}
    run(cfg, copy, resume=True)
    chosen = json.loads((copy / "metrics.json").read_text())["checkpoint"]
    assert chosen["path"] == "checkpoints/best.ckpt"
    assert chosen["value"] == pytest.approx(float(best))
    assert {path: hashlib.md5(path.read_bytes()).hexdigest() for path in first.rglob("*.ckpt")} == before


def state_of(folder):
    path = str(folder / "best.ckpt")
    return {
        "dirpath": str(folder),
        "best_model_path": path,
        "kth_best_model_path": path,
        "last_model_path": "",
        "best_model_score": tensor(0.75),
        "kth_value": tensor(0.75),
        "best_k_models": {path: tensor(0.75)},
        "monitor": "val/loss",
    }


def test_paths_and_the_best_score_follow_the_folder(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "best.ckpt").touch()
    saver = ModelCheckpoint(dirpath=str(tmp_path / "new"), filename="best", monitor="val/loss")
    states = {saver.state_key: state_of(tmp_path / "old")}
    use_own_checkpoints([saver], states)
    saver.load_state_dict(states[saver.state_key])
    here = str(tmp_path / "new" / "best.ckpt")
    assert (saver.best_model_path, float(saver.best_model_score), list(saver.best_k_models)) == (here, 0.75, [here])


def test_a_run_copied_without_its_best_checkpoint_is_refused(tmp_path):
    saver = ModelCheckpoint(dirpath=str(tmp_path / "new"), filename="best", monitor="val/loss")
    with pytest.raises(ConfigError, match=r"new/best\.ckpt is missing.*copy that folder whole"):
        use_own_checkpoints([saver], {saver.state_key: state_of(tmp_path / "old")})


@pytest.mark.parametrize("name", ["best_model_path", "kth_best_model_path", "last_model_path", "best_k_models"])
@pytest.mark.parametrize(
    "there", ["{folder}/../../thesis.txt", "/elsewhere/thesis.txt", "{folder}/sub/../../x", "s3://x/y"]
)
def test_a_file_outside_is_neither_read_nor_deleted(tmp_path, name, there):
    for folder in (tmp_path / "new", tmp_path / "old"):  # the folder of the run, and one that it was moved from
        saver = ModelCheckpoint(dirpath=str(tmp_path / "new"), filename="best", monitor="val/loss")
        path = there.format(folder=folder)
        state = {**state_of(folder), name: {path: tensor(0.5)} if name == "best_k_models" else path}
        with pytest.raises(ConfigError, match="which is not in its folder of checkpoints"):
            use_own_checkpoints([saver], {saver.state_key: state})
