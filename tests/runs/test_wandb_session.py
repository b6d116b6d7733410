"""W&B sessions: how option, environment, key and settings choose the mode, and servers that fail."""

import pytest

from mmbert.core.errors import ConfigError
from mmbert.runs import wandb_session


@pytest.fixture(autouse=True)
def no_key(monkeypatch, tmp_path):
    """A machine without credentials and without settings of wandb."""
    for name in ("API_KEY", "IDENTITY_TOKEN_FILE", "MODE", "DISABLED", "BASE_URL", "DIR"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "home" / "WANDB_CONFIG_DIR"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))


@pytest.mark.parametrize(
    ("environment", "wanted", "mode"),
    [
        ({}, None, "offline"),
        ({"WANDB_API_KEY": "k" * 40}, None, "online"),
        ({"WANDB_API_KEY": "k" * 40}, "offline", "offline"),
        ({"WANDB_API_KEY": "k" * 40, "WANDB_MODE": "offline"}, None, "offline"),
        ({"WANDB_API_KEY": "k" * 40, "WANDB_MODE": "dryrun"}, None, "offline"),
        ({"WANDB_API_KEY": "k" * 40, "WANDB_MODE": "offline"}, "online", "online"),
        ({"WANDB_MODE": "disabled"}, None, "disabled"),
        ({"WANDB_DISABLED": "true"}, None, "disabled"),
    ],
)
def test_the_mode_follows_config_then_environment_then_key(monkeypatch, environment, wanted, mode):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wandb_session.choose_mode(wanted)[0] == mode


def test_a_key_in_the_netrc_file_counts_for_its_host_alone(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert wandb_session.choose_mode(None)[0] == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert wandb_session.choose_mode(None)[0] == "offline"


def test_the_settings_of_wandbs_own_commands_count(monkeypatch, tmp_path):
    """``wandb login --host=…`` leaves the server in its settings and the key in the netrc file."""
    import wandb

    (tmp_path / "netrc").write_text("machine wandb.example.org login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.chdir(tmp_path)
    assert wandb_session.choose_mode(None)[0] == "offline"
    files = wandb.Settings(
        settings_system=str(tmp_path / "home" / "WANDB_CONFIG_DIR" / "settings"), root_dir=str(tmp_path)
    ).read_system_settings()  # as the commands write them
    files.set("base_url", "https://wandb.example.org", globally=True)
    files.save()
    assert wandb_session.host() == "wandb.example.org"
    assert wandb_session.choose_mode(None)[0] == "online"
    files.set("mode", "offline")
    files.save()
    assert (tmp_path / "wandb" / "settings").is_file()
    assert wandb_session.choose_mode(None) == ("offline", "")
    assert wandb_session.choose_mode("online")[0] == "online"
    monkeypatch.setenv("WANDB_DISABLED", "true")  # the environment comes before files
    assert wandb_session.choose_mode(None) == ("disabled", "")
    monkeypatch.setenv("WANDB_BASE_URL", "https://api.wandb.ai")
    with pytest.raises(ConfigError, match="no key for api.wandb.ai"):
        wandb_session.choose_mode("online")


def test_online_without_a_key_is_told_instead_of_asked(monkeypatch):
    with pytest.raises(ConfigError, match=r"logger.mode=online, but there is no key for api.wandb.ai.*WANDB_API_KEY"):
        wandb_session.choose_mode("online")
    with pytest.raises(ConfigError, match="logger.mode='onlin' is unknown. Did you mean 'online'"):
        wandb_session.choose_mode("onlin")
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(ConfigError, match="WANDB_MODE=online, but there is no key"):
        wandb_session.choose_mode(None)


def test_a_server_out_of_reach_leaves_the_run_offline(monkeypatch, tmp_path, caplog):
    import wandb

    asked = []

    def init(mode, **options):
        asked.append(mode)
        if mode == "online":
            raise wandb.errors.CommError("timed out")
        return "run"

    monkeypatch.setattr(wandb, "init", init)
    assert wandb_session.begin("online", {}, tmp_path) == "run"
    assert asked == ["online", "offline"] and "timed out" in caplog.text


def test_a_refused_key_is_the_users_to_mend(monkeypatch, tmp_path):
    import wandb

    def init(**options):
        raise wandb.errors.AuthenticationError("API key has 3 characters")

    monkeypatch.setattr(wandb, "init", init)
    with pytest.raises(ConfigError, match="API key has 3 characters.*logger.mode=offline"):
        wandb_session.begin("online", {}, tmp_path)
