"""``resume=FOLDER``: what is refused, what is left alone, and that a run continues in its own folder."""

import sys
from types import SimpleNamespace

import pytest

from mmbert.cli.resume import asks_to_resume, resume
from mmbert.core.errors import ConfigError
from mmbert.runs.folder import RunFolder


@pytest.fixture
def run_folder(tmp_path):
    """A folder ``mine`` with a config, as a run has after its start."""
    run = RunFolder(tmp_path / "mine")
    run.path.mkdir()
    run.config.write_text("seed: 1\n")
    return run


@pytest.fixture
def runs(monkeypatch):
    """The calls of ``mmbert.training.run.run``, which is replaced: it takes seconds to import."""
    calls = []
    stub = SimpleNamespace(run=lambda cfg, folder, resume: calls.append((dict(cfg), folder, resume)))
    monkeypatch.setitem(sys.modules, "mmbert.training.run", stub)
    return calls


def test_the_word_is_recognised():
    assert asks_to_resume(["--traceback", "resume=out"])
    assert not asks_to_resume(["study.resume=true", "seed=1"])


def test_no_other_option_is_taken(run_folder):
    with pytest.raises(ConfigError, match="leave out 'seed=2'. For other options start a new run"):
        resume([f"resume={run_folder}", "seed=2"])


def test_what_is_no_run_is_answered_with_the_runs_beside_it(run_folder):
    with pytest.raises(ConfigError, match=f"this is no run's folder. Did you mean '{run_folder}'"):
        resume([f"resume={run_folder.path.with_name('mien')}"])


def test_two_folders_and_a_file_are_refused(run_folder, runs):
    with pytest.raises(ConfigError, match="given 2 times: one command goes on with one run"):
        resume([f"resume={run_folder}", "resume=other"])
    with pytest.raises(ConfigError, match=f"is a file. Name the run's folder.*resume={run_folder}$"):
        resume([f"resume={run_folder.config}"])
    assert runs == []


def test_a_finished_run_is_left_as_it_is(run_folder, capsys, runs):
    run_folder.metrics.write_text("{}")
    run_folder.model.mkdir()
    run_folder.weights.write_bytes(b"")
    resume([f"resume={run_folder}"])
    assert runs == []
    assert capsys.readouterr().err == f"{run_folder} has finished: its numbers are in metrics.json\n"


def test_an_unfinished_run_continues_with_its_own_config(run_folder, runs):
    run_folder.metrics.write_text("{}")  # without weights it is not complete
    resume([f"resume={run_folder}"])
    assert runs == [({"seed": 1}, run_folder.path, True)]


@pytest.fixture
def others_run(run_folder):
    """The run as somebody else's, with a class and a store of their own."""
    run_folder.config.write_text("fusion:\n  _target_: their_module.Theirs\nstore:\n  dir: /data/their_store\n")
    return run_folder


def test_anothers_classes_need_consent(others_run, runs):
    with pytest.raises(ConfigError, match=r"fusion\._target_=their_module\.Theirs.*add trust_custom_code=true"):
        resume([f"resume={others_run}"])
    assert runs == []


def test_anothers_store_is_not_written_to(others_run, runs, capsys):
    others_run.config.write_text("store:\n  dir: /data/their_store\n")
    resume([f"resume={others_run}"])
    assert "store.dir=/data/their_store" in capsys.readouterr().err
    resume([f"resume={others_run}", "store.dir=mine"])
    assert [cfg["store"]["dir"] for cfg, _, _ in runs] == [None, "mine"]


def test_with_consent_a_run_goes_on_as_it_was_begun(others_run, runs):
    others_run.config.write_text("fusion:\n  _target_: mmbert.testing.laws.Theirs\n")
    with pytest.raises(ConfigError, match="trust_custom_code=true"):
        resume([f"resume={others_run}"])
    resume([f"resume={others_run}", "trust_custom_code=true"])
    assert [cfg["fusion"]["_target_"] for cfg, _, _ in runs] == ["mmbert.testing.laws.Theirs"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("'1'", r"config.yaml cannot be read as a config"),
        ("[1, 2]", r"config.yaml holds no options"),
        ("seed: [1", r"config.yaml cannot be read as a config"),
    ],
)
def test_a_damaged_config_is_named(tmp_path, content, message):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        resume([f"resume={tmp_path}"])


def test_a_value_that_is_none_is_told_with_its_file(tmp_path):
    (tmp_path / "config.yaml").write_text(f"seed: {'x' * 1000}\n")
    with pytest.raises(ConfigError, match=rf"{tmp_path}/config.yaml: seed=x+…: a whole number") as told:
        resume([f"resume={tmp_path}"])
    assert len(str(told.value)) < 500


@pytest.mark.parametrize("word", ["trainer.devices=1", "trainer.num_nodes=2"])
def test_another_number_of_processes_needs_a_checkpoint_whose_steps_it_keeps(run_folder, runs, monkeypatch, word):
    monkeypatch.setattr("mmbert.cli.options.check.check_config", lambda cfg: None)
    with pytest.raises(ConfigError, match=f"no checkpoint yet.*Leave out '{word}', or start a new run"):
        resume([f"resume={run_folder}", word])
    assert runs == []
    run_folder.last_checkpoint.parent.mkdir()
    run_folder.last_checkpoint.touch()
    resume([f"resume={run_folder}", word])
    name, _, value = word.rpartition(".")[2].partition("=")
    assert runs[0][0]["trainer"][name] == int(value)
