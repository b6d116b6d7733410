"""The trainer's callbacks and plugins: what a run sets where the config leaves it open."""

from fractions import Fraction
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import EarlyStopping

from mmbert.runs.folder import RunFolder
from mmbert.training.monitor import Monitor
from mmbert.training.trainer import callback_defaults, configured_callbacks, configured_plugins, optimizer_maker

STOP, SAVE = ("pytorch_lightning.callbacks.EarlyStopping", "pytorch_lightning.callbacks.ModelCheckpoint")
MONITOR, CHOSEN = Monitor("val/a/accuracy", "max"), {"monitor": "val/a/accuracy", "mode": "max"}
HALF = {"_target_": "fractions.Fraction", "numerator": 1, "denominator": 2}


@pytest.mark.parametrize(
    ("part", "defaults"),
    [
        ({"_target_": STOP, "monitor": None}, CHOSEN),
        ({"_target_": STOP, "monitor": "val/loss"}, {}),
        ({"_target_": SAVE, "monitor": None}, CHOSEN | {"dirpath": "run/checkpoints"}),
        ({"_target_": SAVE}, {"dirpath": "run/checkpoints"}),
    ],
)
def test_callbacks_monitor_what_chooses_the_checkpoint(part, defaults):
    assert callback_defaults(OmegaConf.create(part), MONITOR, RunFolder("run")) == defaults


def test_a_callback_that_is_null_is_left_out():
    cfg = OmegaConf.create({"callbacks": {"stop": {"_target_": STOP, "monitor": None, "patience": 5}, "save": None}})
    (stop,) = configured_callbacks(cfg, MONITOR, RunFolder("run"))
    assert isinstance(stop, EarlyStopping) and (stop.monitor, stop.mode, stop.patience) == ("val/a/accuracy", "max", 5)


@pytest.mark.parametrize(
    ("plugins", "made"), [(None, []), (HALF, [Fraction(1, 2)]), ([HALF, "x"], [Fraction(1, 2), "x"])]
)
def test_plugins_are_a_list(plugins, made):
    assert configured_plugins(OmegaConf.create({"trainer": {"plugins": plugins}})) == made


def test_the_optimiser_is_built_with_its_schedule_once_the_steps_are_known():
    optimizer = SimpleNamespace(build=lambda *parts: {"parts": parts})
    assert optimizer_maker(optimizer, "cosine")("model", "balance", 9) == {"parts": ("model", "balance", 9, "cosine")}
