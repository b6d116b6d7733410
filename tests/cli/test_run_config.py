"""A run's config from its folder: one's own as it is, another's as far as it is listed; its text is mere text."""

import pytest

from mmbert.cli.run_config import consent, literal_config, run_privacy, used_config
from mmbert.core.errors import ConfigError
from mmbert.runs.folder import RunFolder

THEIRS = {"_target_": "their_module.Theirs"}


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """Makes a run's folder with a config; ``own``: as this user's."""
    monkeypatch.setenv("MMBERT_HOME", str(tmp_path / "home"))

    def make(config, own=False):
        run = RunFolder(tmp_path / "run")
        run.write_start(config)
        if not own:
            run.environment.unlink()
        return run

    return make


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "${seed}", "a${x}b${y}", "\\${x}", "\\\\${x}", "$x {y}"])
def test_text_is_text_even_if_it_looks_like_an_interpolation(tmp_path, text):
    import yaml

    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"seed": 3, "data": {"path": text, "names": [text]}}))
    cfg = literal_config(tmp_path / "config.yaml")
    assert (cfg.data.path, cfg.data.names[0], cfg.seed) == (text, text, 3)


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [1\n", "a: !!python/object/apply:os.getcwd []\n", "a: ${\n"])
def test_what_is_no_config_is_refused(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.yaml (cannot be read|holds no options)"):
        literal_config(tmp_path / "config.yaml")


def test_ones_own_run_is_used_as_it_was_begun(begun, capsys):
    run = begun({"fusion": THEIRS, "store": {"dir": "/data/store"}}, own=True)
    assert used_config(run, False) == {"fusion": THEIRS, "store": {"dir": "/data/store"}}
    assert capsys.readouterr().err == ""


def test_anothers_run_needs_consent_for_its_classes(begun):
    run = begun({"fusion": THEIRS})
    with pytest.raises(
        ConfigError, match=r"run/config\.yaml: fusion\._target_=their_module\.Theirs.*trust_custom_code"
    ):
        used_config(run, False)
    assert used_config(run, True).fusion == THEIRS
    assert used_config(run, False, ("data",)).fusion == THEIRS  # which the caller does not use


def test_a_config_that_was_changed_is_anothers(begun):
    run = begun({"seed": 1}, own=True)
    run.config.write_text("fusion:\n  _target_: their_module.Theirs\n")
    with pytest.raises(ConfigError, match="its config was changed since"):
        used_config(run, False)


def test_anothers_places_are_not_taken_over(begun, capsys):
    run = begun({"store": {"dir": "/data/store", "dtype": "float16"}, "data": {"folder": "/data/made"}})
    cfg = used_config(run, False)
    assert cfg == {"store": {"dir": None, "dtype": "float16"}, "data": {"folder": None}}
    err = capsys.readouterr().err
    assert "store.dir=/data/store" in err and "data.folder=/data/made" in err and "For another: store.dir=FOLDER" in err


def test_consent_is_a_word():
    assert consent({"trust_custom_code": "true"}) and not consent({"trust_custom_code": "false"}) and not consent({})
    with pytest.raises(ConfigError, match="trust_custom_code=maybe: true or false"):
        consent({"trust_custom_code": "maybe"})


def test_a_models_privacy_is_its_runs_unless_a_word_says_otherwise(tmp_path):
    default = {"samples": True, "mask": []}
    assert not run_privacy(tmp_path / "model", default).hides
    (tmp_path / "config.yaml").write_text("privacy: {samples: false, mask: [email]}\n")
    for folder in (tmp_path, tmp_path / "model"):
        privacy = run_privacy(folder, default, ["data.path=x"])
        assert (privacy.samples, privacy.mask) == (False, ["email"])
    opened = run_privacy(tmp_path / "model", default, ["privacy.samples=true"])
    assert (opened.samples, opened.mask) == (True, ["email"])
    other = run_privacy(tmp_path / "model", {"samples": True, "mask": ["ip"]}, ["privacy.mask=[ip]"])
    assert (other.samples, other.mask) == (False, ["ip"])
