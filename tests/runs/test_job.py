"""The hash of a job: what changes numbers changes it, and nothing else; the command that runs the job alone."""

import json
import shlex

import pytest
from omegaconf import OmegaConf

from mmbert.runs.folder import RunFolder
from mmbert.runs.job import changes_nothing, job_hash, read_job_hash, write_job

CONFIG = {"seed": 1, "fusion": {"out_dim": 8}, "data": {"path": "a.csv", "num_workers": 2}, "plots": True}


def changed(name, value):
    cfg = OmegaConf.create(CONFIG)
    OmegaConf.update(cfg, name, value)
    return cfg


@pytest.mark.parametrize("name", ["data.num_workers", "plots", "logger.csv", "study.name"])
def test_what_changes_no_number_leaves_the_hash(name):
    assert changes_nothing(name) and job_hash(changed(name, "x")) == job_hash(OmegaConf.create(CONFIG))


@pytest.mark.parametrize("name", ["seed", "fusion.out_dim", "data.path", "plotsize"])
def test_every_other_option_changes_it(name):
    assert not changes_nothing(name) and job_hash(changed(name, "x")) != job_hash(OmegaConf.create(CONFIG))


def test_interpolations_are_resolved_and_the_order_does_not_matter():
    one = OmegaConf.create({"seed": 3, "fusion": {"seed": "${seed}"}})
    assert job_hash(one) == job_hash(OmegaConf.create({"fusion": {"seed": 3}, "seed": 3}))


def test_the_command_runs_the_job_without_its_study_and_the_hash_is_read_back(tmp_path):
    run, cfg = RunFolder(tmp_path), OmegaConf.create(CONFIG)
    assert read_job_hash(run) is None
    write_job(run, cfg, ["seed=1", "study.name=x", "+study.note=y", "data.path=my file.csv"], ["--config-dir", "conf"])
    written = json.loads(run.job.read_text())
    assert written["overrides"] == ["seed=1", "data.path=my file.csv"]
    assert shlex.split(written["command"]) == [
        "mmbert-train",
        "--config-dir",
        "conf",
        "seed=1",
        "data.path=my file.csv",
    ]
    assert read_job_hash(run) == written["hash"] == job_hash(cfg)
    run.job.write_text("{")
    assert read_job_hash(run) is None


@pytest.mark.parametrize("name", ["fixed.FixedBalance", "uncertainty.UncertaintyBalance"])
def test_a_class_that_has_moved_leaves_the_hash(name):
    former = f"mmbert.training.balance.{name.partition('.')[2]}"
    hashes = {
        job_hash(OmegaConf.create({"balance": {"_target_": t}})) for t in (f"mmbert.training.balance.{name}", former)
    }
    assert len(hashes) == 1
    assert job_hash(OmegaConf.create({"balance": {"_target_": "mmbert.training.balance.other.Other"}})) not in hashes


def test_an_option_that_came_later_leaves_the_hash_until_it_is_used():
    without = job_hash(OmegaConf.create(CONFIG))
    assert job_hash(changed("data.na_values", [])) == without != job_hash(changed("data.na_values", ["NA"]))


@pytest.mark.parametrize(("name", "value"), [("data.rows_without", "raise"), ("data.trusted", True)])
def test_options_about_rows_that_came_later_leave_the_hash_at_their_default(name, value):
    assert job_hash(changed(name, value)) == job_hash(OmegaConf.create(CONFIG))
    assert job_hash(changed(name, "other")) != job_hash(OmegaConf.create(CONFIG))
