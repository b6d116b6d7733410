"""Where mmbert keeps its own files: an argument, an environment variable, or the user's cache."""

from pathlib import Path

from mmbert.core.home import home


def test_the_argument_comes_before_the_variable_and_that_before_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBERT_HOME", str(tmp_path / "mine"))
    assert home(tmp_path / "given") == tmp_path / "given"
    assert home() == tmp_path / "mine"
    monkeypatch.setenv("MMBERT_HOME", "")
    assert home() == Path.home() / ".cache" / "mmbert"
    monkeypatch.delenv("MMBERT_HOME")
    assert home() == Path.home() / ".cache" / "mmbert"


def test_a_tilde_is_the_users_folder(monkeypatch):
    monkeypatch.setenv("MMBERT_HOME", "~/somewhere")
    assert home() == Path.home() / "somewhere"
    assert home("~/there") == Path.home() / "there"
