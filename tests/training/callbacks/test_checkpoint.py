"""A run that was interrupted ends with the numbers, weights and files of one that was not, to the bit."""

import json
import os
import sys

import numpy as np
import pytest
import torch
from omegaconf import open_dict
from pytorch_lightning.callbacks import Callback

from mmbert.core.errors import ConfigError, TrainingError
from mmbert.runs.folder import RunFolder
from mmbert.training.callbacks import checkpoint as resume
from mmbert.training.callbacks import process_parts
from mmbert.training.run import run

OPTIONS = (
    "trainer.max_epochs=3",
    "data.batch_size=8",
    "checkpoint.every_minutes=0.0000001",
    "trainer.log_every_n_steps=1",
    "fusion.dropout=0.3",
    "callbacks.early_stopping.patience=9",
)


class Stop(Callback):
    """Fails behind a step, as a machine does."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == self.step:
            raise RuntimeError("the machine is gone")


def stopping(cfg, step):
    cfg = cfg.copy()
    with open_dict(cfg):
        cfg.callbacks.stop = {"_target_": f"{__name__}.Stop", "step": step}
    return cfg


@pytest.fixture(scope="module")
def whole(compose_tiny, tmp_path_factory, what_is_left):
    folder = tmp_path_factory.mktemp("whole")
    run(compose_tiny(*OPTIONS), folder)
    return what_is_left(folder)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(4, id="in the first epoch", marks=pytest.mark.slow),
        pytest.param(6, id="at the end of it"),
        pytest.param(11, id="before the last batch"),
    ],
)
def test_the_rest_of_a_run_is_the_same_to_the_bit(compose_tiny, tmp_path, monkeypatch, whole, what_is_left, step):
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Stop.__module__])
    cfg = compose_tiny(*OPTIONS)
    with pytest.raises(RuntimeError, match="the machine is gone"):
        run(stopping(cfg, step), tmp_path)
    assert json.loads((tmp_path / "error.json").read_text())["message"] == "the machine is gone"
    torch.manual_seed(99)  # whatever the new process has drawn before
    run(cfg, tmp_path, resume=True)
    resumed = what_is_left(tmp_path)
    for part in whole:
        assert resumed[part] == whole[part], part
    assert not (tmp_path / "error.json").exists()


def test_a_run_that_was_killed_while_it_wrote_its_results_writes_none_twice(compose_tiny, tmp_path, what_is_left):
    cfg = compose_tiny("trainer.max_epochs=1", "fusion=mean")
    run(cfg, tmp_path)
    whole = what_is_left(tmp_path)
    (tmp_path / "model" / "model.safetensors").unlink()  # what is written last
    torch.manual_seed(99)
    run(cfg, tmp_path, resume=True)
    assert what_is_left(tmp_path) == whole


@pytest.mark.slow
def test_a_run_that_accumulates_gradients_goes_on_between_two_of_its_steps(
    compose_tiny, tmp_path, monkeypatch, what_is_left
):
    """Six batches an epoch make windows of four and of two: the window after the break must be known for what it is."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Stop.__module__])
    cfg = compose_tiny(*OPTIONS, "trainer.accumulate_grad_batches=4")
    (tmp_path / "whole").mkdir()
    run(cfg, tmp_path / "whole")
    (tmp_path / "broken").mkdir()
    with pytest.raises(RuntimeError, match="the machine is gone"):
        run(stopping(cfg, 3), tmp_path / "broken")  # in the second epoch, after its window of four
    assert torch.load(tmp_path / "broken" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 3
    torch.manual_seed(99)
    run(cfg, tmp_path / "broken", resume=True)
    expected, resumed = what_is_left(tmp_path / "whole"), what_is_left(tmp_path / "broken")
    for part in expected:
        assert resumed[part] == expected[part], part


def test_random_states_go_on_where_they_were_after_a_trip_through_a_file(tmp_path):
    import random

    torch.save(process_parts.random_state(), tmp_path / "state")
    drawn = torch.rand(3), np.random.rand(3), random.random()
    process_parts.set_random_state(torch.load(tmp_path / "state", weights_only=True))
    again = torch.rand(3), np.random.rand(3), random.random()
    assert torch.equal(drawn[0], again[0]) and (drawn[1] == again[1]).all() and drawn[2] == again[2]


def test_a_checkpoint_is_whole_or_not_there(tmp_path, monkeypatch):
    io = resume.WholeCheckpoints()
    io.save_checkpoint({"a": torch.ones(3)}, tmp_path / "last.ckpt")
    before = (tmp_path / "last.ckpt").read_bytes()

    def half(checkpoint, file):
        file.write(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(OSError, match="No space"):
        io.save_checkpoint({"a": torch.zeros(3)}, tmp_path / "last.ckpt")
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_loss_that_is_no_number_stops_the_run_before_it_spoils_the_weights(compose_tiny, tmp_path):
    cfg = compose_tiny(*OPTIONS, "optimizer.lr=1e30", "trainer.gradient_clip_val=null", "scheduler=constant")
    with pytest.raises(TrainingError, match=r"not a number at step \d+ of epoch \d.*the batch's rows are \d+, .*lower"):
        run(cfg, tmp_path)
    assert "not a number" in json.loads((tmp_path / "error.json").read_text())["message"]


def test_a_run_that_began_before_an_option_was_there_goes_on_with_its_default(tmp_path):
    run = RunFolder(tmp_path)
    run.checkpoints.mkdir()
    content = {"state_dict": {}, "epoch": 0, "global_step": 0, resume.BEGUN: {"seed": 1}}
    torch.save(content, run.last_checkpoint)
    resume.check_same_run(run, {"seed": 1, "data.rows_without": "raise", "data.trusted": True})
    with pytest.raises(ConfigError, match=r"data\.rows_without is skip, but the run was begun with None"):
        resume.check_same_run(run, {"seed": 1, "data.rows_without": "skip"})
