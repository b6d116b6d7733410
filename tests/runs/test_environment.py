"""What a run says of its machine: git state without surprises, and nothing that costs a run."""

import subprocess

import pytest

from mmbert.runs import environment as machine


@pytest.fixture
def repository(tmp_path):
    def git(*words):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=n", "-c", "user.email=e@x", *words], check=True)

    git("init", "-q", "-b", "main")
    assert machine.git_state(tmp_path) is None  # before the first commit
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    return tmp_path


def test_git_tells_commit_and_changes(repository):
    head = subprocess.check_output(["git", "-C", repository, "rev-parse", "HEAD"], text=True).strip()
    (repository / "untracked").write_text("b")
    assert machine.git_state(repository) == {"commit": head, "branch": "main", "dirty": False}
    (repository / "file").write_text("changed")
    assert machine.git_state(repository)["dirty"] is True


def test_a_program_that_a_repositorys_config_names_is_not_run(repository, tmp_path):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    program.chmod(0o755)
    subprocess.run(["git", "-C", repository, "config", "core.fsmonitor", str(program)], check=True)
    assert machine.git_state(repository)["dirty"] is False
    assert not (tmp_path / "ran").exists()


def test_a_package_installed_inside_a_users_repository_is_not_that_repository(repository, monkeypatch):
    site = repository / ".venv" / "mmbert"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text("")
    monkeypatch.setattr("mmbert.__file__", str(site / "__init__.py"))
    assert machine.package_git() is None
    subprocess.run(["git", "-C", repository, "add", "-f", site / "__init__.py"], check=True)
    assert machine.package_git() is not None


def test_no_git_and_no_repository_cost_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert machine.git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert machine.git_state(tmp_path) is None
    assert machine.environment()["git"] == {"package": None, "folder": None}
