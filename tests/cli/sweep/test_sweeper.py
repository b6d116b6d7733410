"""Which jobs of a sweep are still to run, in which folders, and what a failed one leads to."""

import json
from types import SimpleNamespace

import pytest
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from mmbert.cli.failures import SweepFailed
from mmbert.cli.sweep import sweeper
from mmbert.core.errors import ConfigError
from mmbert.runs.folder import RunFolder


def planned(sweep, name, digest):
    return sweeper.PlannedJob([f"name={name}"], sweep / name, digest, name)


def leave_run(folder, digest, *, finished=False, checkpoint=False):
    """What a run leaves: config, environment and job.json, and numbers and weights if it finished."""
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    run.config.write_text("seed: 1\n")
    run.environment.write_text("{}")
    run.job.write_text(json.dumps({"hash": digest}))
    if finished:
        run.metrics.write_text("{}")
        run.model.mkdir()
        run.weights.write_bytes(b"")
    if checkpoint:
        run.last_checkpoint.parent.mkdir()
        run.last_checkpoint.write_bytes(b"")


def test_what_is_done_is_left_out_wherever_it_lies(tmp_path, capsys):
    leave_run(tmp_path / "elsewhere", "h1", finished=True)
    leave_run(tmp_path / "stopped", "h2", checkpoint=True)
    leave_run(tmp_path / "c", "another", finished=True)
    jobs = [planned(tmp_path, name, digest) for name, digest in (("a", "h1"), ("b", "h2"), ("c", "h3-long-hash"))]
    todo = sweeper.unfinished_jobs([*jobs, planned(tmp_path, "d", "h4")], tmp_path)
    assert [(job.subdir, job.folder) for job in todo] == [
        ("stopped", tmp_path / "stopped"),  # continued where it stopped
        ("c-h3-long-", tmp_path / "c-h3-long-"),  # its folder is another job's by now
        ("d", tmp_path / "d"),
    ]
    assert capsys.readouterr().err == (f"{tmp_path}: 1 of 4 jobs are done; 3 to run, 1 of them from a checkpoint\n")


def test_a_sweep_that_has_not_begun_runs_whole(tmp_path, capsys):
    jobs = [planned(tmp_path / "gone", "a", "h1")]
    assert sweeper.unfinished_jobs(jobs, tmp_path / "gone") == jobs
    assert capsys.readouterr().err.endswith("gone: 0 of 1 jobs are done; 1 to run\n")


def test_a_new_sweep_refuses_folders_with_runs(tmp_path):
    jobs = [planned(tmp_path, "a", "h1"), planned(tmp_path, "b", "h2")]
    assert sweeper.refuse_existing_runs(jobs) == jobs
    leave_run(tmp_path / "b", "h2", finished=True)
    with pytest.raises(ConfigError, match="holds a finished run.*study.resume=true runs only what is missing or fail"):
        sweeper.refuse_existing_runs(jobs)


def ended(status, value=None):
    return JobReturn(status=status, _return_value=value)


def test_failures_of_all_batches_are_raised_together():
    good, first, second = ended(JobStatus.COMPLETED, 0.5), ValueError("a"), ConfigError("b")
    sweeper.raise_failures([[good], [good, good]])
    with pytest.raises(SweepFailed, match="2 jobs") as caught:
        sweeper.raise_failures([[good, ended(JobStatus.FAILED, first)], [ended(JobStatus.FAILED, second)]])
    assert caught.value.errors == [first, second]


def test_within_a_job_hydras_config_is_the_jobs_own():
    before = HydraConfig.instance().cfg
    cfg = OmegaConf.create({"hydra": HydraConf})
    cfg.hydra.job.num = 7
    with pytest.raises(ZeroDivisionError), sweeper.as_job(cfg):
        assert HydraConfig.instance().cfg.hydra.job.num == 7
        1 / 0  # noqa: B018
    assert HydraConfig.instance().cfg is before


def test_jobs_of_one_folder_are_told_apart_by_their_hash(monkeypatch):
    def compose(_, words):
        values = dict(word.split("=") for word in words)
        cfg = OmegaConf.create({**values, "hydra": HydraConf})
        cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir = "out", values["fusion"]
        return cfg

    study = sweeper.StudySweeper()
    study.config = OmegaConf.create({})
    study.hydra_context = SimpleNamespace(config_loader=SimpleNamespace(load_sweep_config=compose))
    monkeypatch.setattr("mmbert.cli.options.custom_class.drop_unaccepted_of_job", lambda cfg, words: None)
    monkeypatch.setattr("mmbert.runs.job.job_hash", lambda cfg: f"{cfg.fusion}{cfg.seed}-and-more")
    jobs = study.plan([["fusion=mean", "seed=1"], ["fusion=mean", "seed=2"], ["fusion=mlb", "seed=1"]])
    assert [job.subdir for job in jobs] == ["mean-mean1-an", "mean-mean2-an", "mlb"]
    assert [str(job.folder) for job in jobs] == ["out/mean-mean1-an", "out/mean-mean2-an", "out/mlb"]
    assert jobs[1].words == ["fusion=mean", "seed=2"] and jobs[1].hash == "mean2-and-more"


def test_a_subset_that_no_job_can_have_is_refused_before_the_first_job_starts():
    def compose(_, words):
        subset = words[0].partition("=")[2].split("_")
        encoders = {"text": {"a": 1}, "image": {}}
        cfg = OmegaConf.create({"subset": subset, "encoders": encoders, "hydra": HydraConf})
        cfg.hydra.sweep.dir, cfg.hydra.sweep.subdir = "out", "0"
        return cfg

    study = sweeper.StudySweeper()
    study.config = OmegaConf.create({})
    study.hydra_context = SimpleNamespace(config_loader=SimpleNamespace(load_sweep_config=compose))
    with pytest.raises(ConfigError, match="uses the encoder 'image', but the config leaves it out"):
        study.plan([["modalities=text"], ["modalities=text_image"]])
