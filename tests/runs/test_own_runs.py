"""Signatures of one's own runs: they hold for the file as it was, and for this user's key alone."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from mmbert.runs import own_runs
from mmbert.runs.folder import RunFolder, is_own_model
from mmbert.runs.own_runs import is_signed, signature


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """A home of mmbert's own, still empty."""
    monkeypatch.setenv("MMBERT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("seed: 1\n")
    return path


def test_a_signature_holds_until_the_file_changes(keys, config):
    signed = signature(config)
    assert len(signed) == 64 and is_signed(config, signed) and signature(config) == signed
    config.write_text("seed: 2\n")
    assert not is_signed(config, signed)


@pytest.mark.parametrize("given", [None, "", "0" * 64, 7, "é"])
def test_anything_else_is_no_signature(keys, config, given):
    assert not is_signed(config, given)


def test_another_users_key_gives_another_signature(keys, config, tmp_path, monkeypatch):
    signed = signature(config)
    monkeypatch.setenv("MMBERT_HOME", str(tmp_path / "other"))
    assert not is_signed(config, signed)


def test_the_key_is_for_its_owner_alone(keys, config, monkeypatch):
    signature(config)
    (key,) = keys.iterdir()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and key.stat().st_size == own_runs.KEY_BYTES
    monkeypatch.setattr(os, "getuid", lambda: key.stat().st_uid + 1)
    key.rename(key.with_name(f"own_runs-{key.stat().st_uid + 1}.key"))
    assert signature(config) is None  # laid there by somebody else


def test_where_no_key_can_be_kept_nothing_is_signed(config, tmp_path, monkeypatch):
    monkeypatch.setenv("MMBERT_HOME", str(config))  # a file, no folder
    assert signature(config) is None and not is_signed(config, "0" * 64)


def test_a_run_knows_whether_it_began_here(keys, tmp_path):
    run = RunFolder(tmp_path / "run")
    assert not run.begun_here
    run.write_start({"seed": 1})
    assert run.begun_here
    moved = run.path.rename(tmp_path / "moved")
    assert RunFolder(moved).begun_here
    RunFolder(moved).config.write_text("seed: 2\n")
    assert not RunFolder(moved).begun_here
    RunFolder(moved).environment.write_text("no JSON")
    assert not RunFolder(moved).begun_here


def test_a_runs_model_is_ones_own_as_long_as_it_is_as_it_was_saved(keys, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    run.write_start({"seed": 1})
    run.model.mkdir()
    run.model_config.write_text('{"fusion": "my.Fusion"}')
    assert not is_own_model(run.model)
    run.sign_model()
    assert run.begun_here and is_own_model(run.model)
    moved = RunFolder(run.path.rename(tmp_path / "moved"))
    monkeypatch.chdir(moved.model)
    assert is_own_model(moved.model) and is_own_model(Path("."))
    copied = shutil.copytree(moved.model, tmp_path / "elsewhere" / "model")
    assert not is_own_model(copied) and not is_own_model(moved.path)
    moved.model_config.write_text('{"fusion": "their.Fusion"}')
    assert not is_own_model(moved.model) and moved.begun_here
    moved.model_config.write_text('{"fusion": "my.Fusion"}')
    moved.config.write_text("seed: 2\n")
    assert not is_own_model(moved.model)
