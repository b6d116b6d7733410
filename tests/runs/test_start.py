"""A run has its folder to itself; what earlier attempts left does not reach the next; kills cost no knowledge."""

import json

import pytest

from mmbert.core.errors import ConfigError
from mmbert.core.folder_lock import FolderInUse, folder_lock
from mmbert.runs.files import write_json
from mmbert.runs.folder import RunFolder
from mmbert.runs.start import clear_earlier, run_lock, start_command, what_is_kept


@pytest.fixture
def folder(tmp_path):
    """A run that was killed in its first epoch."""
    run = RunFolder(tmp_path / "run")
    for path in (run.config, run.environment, run.history, run.checkpoints / "best.ckpt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_leftovers_of_a_kill_go_and_nothing_else(folder):
    for path in (
        folder.path / ".metrics.json.41.77.tmp",
        folder.checkpoints / ".last.ckpt.tmp",  # as earlier versions called them
        folder.predictions / ".test.parquet.41.77.tmp",
        folder.path / ".model-ab_d3f9x" / "model.safetensors",
        folder.path / ".mine.tmp",
        folder.path / ".hydra" / "config.yaml",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with run_lock(folder):
        pass
    assert names(folder.path) == sorted(
        [".hydra", ".mine.tmp", "checkpoints", "config.yaml", "environment.json", "history.csv", "predictions"]
    )
    assert names(folder.checkpoints) == ["best.ckpt"] and not names(folder.predictions)


def test_other_processes_of_a_distributed_run_need_no_lock(folder, monkeypatch):
    with folder_lock(folder.path, "wait"):
        monkeypatch.setenv("LOCAL_RANK", "1")
        with run_lock(folder):
            clear_earlier(folder, resume=True)
    assert folder.history.exists()


def test_without_a_checkpoint_a_resumed_run_starts_anew(folder):
    folder.model.mkdir()
    folder.weights.touch()  # of an attempt that failed: with new metrics beside it the run would count as finished
    clear_earlier(folder, resume=True)
    assert names(folder.path) == ["checkpoints", "config.yaml", "environment.json", "model"]
    assert not names(folder.checkpoints) and not folder.weights.exists()


def test_with_a_checkpoint_it_keeps_everything(folder):
    folder.last_checkpoint.touch()
    clear_earlier(folder, resume=True)
    assert folder.history.exists() and names(folder.checkpoints) == ["best.ckpt", "last.ckpt"]


def test_a_new_run_takes_over_nothing_of_one_that_failed_early(folder):
    (folder.checkpoints / "best.ckpt").unlink()
    folder.error.touch()
    clear_earlier(folder, resume=False)
    assert names(folder.path) == ["checkpoints", "environment.json", "error.json"]


@pytest.mark.parametrize(
    ("there", "message"),
    [("evaluation", "holds an evaluation"), ("last_checkpoint", r"not finished. mmbert-train res")],
)
def test_a_new_run_overwrites_no_other(folder, there, message):
    getattr(folder, there).touch()
    with pytest.raises(ConfigError, match=message):
        clear_earlier(folder, resume=False)
    assert folder.config.exists() and folder.history.exists()


def test_a_run_that_was_killed_before_it_began_knows_its_command(tmp_path):
    run = RunFolder(tmp_path / "my run")
    assert start_command(run) is None
    run.hydra_overrides.parent.mkdir(parents=True)
    run.hydra_overrides.write_text("- fusion=concat\n- tasks.x.classes=[a, b]\n")
    assert start_command(run) == (
        f"mmbert-train fusion=concat 'tasks.x.classes=[a, b]' 'hydra.run.dir={tmp_path}/my run'"
    )
    write_json(run.job, {"command": "mmbert-train --config-dir c fusion=mean"})
    assert start_command(run) == f"mmbert-train --config-dir c fusion=mean 'hydra.run.dir={tmp_path}/my run'"
    run.job.write_text("{")
    run.hydra_overrides.write_text(": [")
    assert start_command(run) is None


def test_what_is_kept_is_what_is_there(tmp_path):
    run = RunFolder(tmp_path)
    assert what_is_kept(run) == "Nothing had begun yet: start it again."
    run.config.touch()
    assert "no checkpoint yet" in what_is_kept(run)
    run.checkpoints.mkdir()
    run.last_checkpoint.touch()
    assert what_is_kept(run).startswith("What was computed before the last checkpoint is kept: mmbert-train resume=")
    run.metrics.write_text(json.dumps({}))
    assert what_is_kept(run) == f"The numbers are in {run.metrics}: mmbert-train resume={run} writes the rest."


def test_who_finds_the_folder_in_use_is_refused_before_anything_is_deleted(folder, monkeypatch):
    monkeypatch.setattr("mmbert.core.folder_lock.acquired", lambda path, shared: None)
    (folder.path / ".metrics.json.41.77.tmp").touch()
    message = r"in use by another process: wait until .* hydra\.run\.dir=FOLDER\."
    with pytest.raises(FolderInUse, match=message), run_lock(folder):
        raise AssertionError
    assert (folder.path / ".metrics.json.41.77.tmp").exists()
