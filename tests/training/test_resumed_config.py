"""The config of a resumed run is the one it was begun with, in its order, or it is refused."""

import json

import pytest
import torch
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError, DataError
from mmbert.runs.folder import RunFolder
from mmbert.runs.job import job_hash
from mmbert.training.callbacks.checkpoint import BEGUN, TABLE_CONTENT
from mmbert.training.resumed_config import GROUPS, check_whole, keys_in_order, resumed_config, with_processes_as_begun

CONFIG = {"seed": 1, "encoders": {"text": {"frozen": True}, "image": {"size": 2}}, "logger": {"_target_": "x"}}


@pytest.fixture
def run(tmp_path):
    begun = {"seed": 1, "encoders.text.frozen": True, "encoders.image.size": 2, TABLE_CONTENT: "abc"}
    (tmp_path / "checkpoints").mkdir()
    parts = {"callbacks": {}, "loops": {}, "optimizer_states": [], "lr_schedulers": []}
    content = {"state_dict": {}, "epoch": 0, "global_step": 1, BEGUN: begun, **parts}
    torch.save(content, tmp_path / "checkpoints" / "last.ckpt")
    return RunFolder(tmp_path)


def config(**changes):
    return OmegaConf.create({**CONFIG, **changes})


def test_the_order_of_keys_is_that_of_the_beginning(run):
    sorted_keys = OmegaConf.create(
        {"encoders": {"image": {"size": 2}, "text": {"frozen": True}}, "logger": {}, "seed": 1}
    )
    found = OmegaConf.to_container(resumed_config(sorted_keys, run))
    assert list(found) == ["seed", "encoders", "logger"] and list(found["encoders"]) == ["text", "image"]
    same = OmegaConf.create({"logger": {"_target_": "x"}, **CONFIG})  # what is free may stand anywhere
    assert list(resumed_config(same, run)) == ["logger", "seed", "encoders"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 2}, "seed is 2, but the run was begun with 1"),
        ({"seed": 1.0}, "seed is 1.0, but the run was begun with 1"),
        ({"seed": True}, "seed is True, but the run was begun with 1"),
        ({"encoders": {"text": {"frozen": True}}}, "encoders.image.size is not there, but the run was begun with 2"),
        ({"more": 3}, "more is 3, but the run was begun with not there"),
    ],
)
def test_an_option_that_differs_is_named(run, changes, message):
    with pytest.raises(ConfigError, match=rf"{run.last_checkpoint} is of a run with another config: {message}"):
        resumed_config(config(**changes), run)


def test_what_changes_no_number_may_differ(run):
    assert resumed_config(config(logger={"_target_": "y"}), run).logger._target_ == "y"


def test_a_damaged_checkpoint_is_named(run):
    run.last_checkpoint.write_bytes(b"x")
    with pytest.raises(DataError, match="last.ckpt is damaged"):
        resumed_config(config(), run)


def test_before_the_first_checkpoint_the_jobs_hash_counts(run):
    run.last_checkpoint.unlink()
    assert resumed_config(config(seed=7), run).seed == 7  # nothing is known
    run.job.write_text(json.dumps({"hash": job_hash(config())}))
    assert resumed_config(config(), run).seed == 1
    with pytest.raises(ConfigError, match=r"config.yaml is not the config that the run was started with: .*job.json"):
        resumed_config(config(seed=7), run)


def test_order_by_hand():
    names = ["b.y", "b.x", "a"]
    assert list(keys_in_order({"a": 1, "b": {"x": 1, "y": 2}}, names)) == ["b", "a"]
    assert json.dumps(keys_in_order({"z": 0, "a": 1, "b": {"x": 1, "y": 2}}, names)) == (
        '{"b": {"y": 2, "x": 1}, "a": 1, "z": 0}'
    )
    assert list(keys_in_order({"z": 0, "b": {"y": 1}, "a": 1}, names)) == ["z", "b", "a"]


@pytest.mark.parametrize("store", [None, 3, []])
def test_a_config_without_a_group_is_named(run, store):
    whole = whole_config()
    check_whole(whole, run.config)
    whole.store = store
    with pytest.raises(ConfigError, match=rf"{run.config} has no group 'store', which every run has"):
        check_whole(whole, run.config)


def whole_config():
    every = {"logger": {}, "checkpoint": {"every_minutes": 10}, "callbacks": {"a": {"_target_": "b.C"}, "none": None}}
    return OmegaConf.create({**dict.fromkeys(GROUPS, {}), "store": {}, **every})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"callbacks": {"a": {"_TARGET_": "b.C"}}}, "callbacks.a has no class"),
        ({"callbacks": {"a": ["_target_"]}}, "callbacks.a has no class"),
        ({"checkpoint": {}}, "has no checkpoint.every_minutes"),
        ({"logger": ["_target_"]}, "logger is no group of options"),
    ],
)
def test_what_every_run_has_is_asked_for(run, change, message):
    with pytest.raises(ConfigError, match=rf"{run.config}.*{message}"):
        check_whole(OmegaConf.create({**whole_config(), **change}), run.config)


@pytest.mark.parametrize("name", ["callbacks", "loops", "optimizer_states", "lr_schedulers"])
def test_a_checkpoint_without_a_part_is_refused_where_lightning_would_begin_anew(run, name):
    content = torch.load(run.last_checkpoint)
    del content[name]
    torch.save(content, run.last_checkpoint)
    with pytest.raises(DataError, match=rf"last.ckpt is damaged: it has no '{name}'"):
        resumed_config(config(), run)


def test_the_number_of_processes_that_is_written_is_that_of_the_beginning(tmp_path):
    run = RunFolder(tmp_path)
    run.config.write_text("trainer: {devices: 2, num_nodes: 1, accelerator: gpu}\ndata: {batch_size: 8}\n")
    now = OmegaConf.create({"trainer": {"devices": 4, "num_nodes": 3, "accelerator": "cpu"}, "data": {"batch_size": 8}})
    written = with_processes_as_begun(now, run)
    assert written.trainer == {"devices": 2, "num_nodes": 1, "accelerator": "cpu"} and now.trainer.devices == 4
    run.config.write_text("data: {batch_size: 8}\n")
    assert with_processes_as_begun(now, run) == now
