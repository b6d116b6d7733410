"""How a W&B run begins, for training and for reports alike: offline by itself without a key, never a question."""

from __future__ import annotations

import configparser
import logging
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mmbert.core.errors import ConfigError, nearest

MODES = ("online", "offline", "disabled")
#: other words that wandb takes for the same
SYNONYMS = {"run": "online", "dryrun": "offline", "shared": "online"}
#: a server that does not answer for so long leaves the run offline
INIT_TIMEOUT_SECONDS = 45

log = logging.getLogger(__name__)


def begin(mode: Any, options: Mapping[str, Any], folder: Path, option: str = "logger.mode") -> Any:
    """``wandb.init``; offline if the server cannot be reached.

    Args:
        mode: from ``choose_mode``.
        options: ``project``, ``entity``, ``name``, ``group``, ``job_type`` and ``tags``, any of them None or left out.
        folder: where ``wandb/`` goes; it must exist.
        option: what the user may set to be offline.

    Raises:
        ConfigError: the server refuses the key, or wandb the options.
    """
    import wandb

    arguments: dict[str, Any] = {key: options.get(key) for key in ("project", "entity", "name", "group", "job_type")}
    arguments |= {"tags": list(options.get("tags") or ()), "dir": str(folder), "reinit": "finish_previous"}
    # silent: the terminal belongs to our progress bar and tables; console off: a moving bar is no log
    settings = wandb.Settings(silent=True, console="off", init_timeout=INIT_TIMEOUT_SECONDS)
    try:
        return wandb.init(mode=mode, settings=settings, **arguments)
    except (wandb.errors.AuthenticationError, wandb.errors.UsageError) as error:
        raise ConfigError(f"wandb refuses to start: {error}. Run 'wandb login', or use {option}=offline.") from error
    except wandb.errors.CommError as error:
        if mode == "offline":
            raise
        log.warning("wandb: the server cannot be used (%s); this run goes on offline", str(error).strip())
        return wandb.init(mode="offline", settings=settings, **arguments)


def choose_mode(wanted: str | None, option: str = "logger.mode") -> tuple[str, str]:
    """The mode asked for, or the one that works here; and the reason for offline.

    It is asked for by an option, by WANDB_MODE, or by wandb's own settings, as ``wandb offline`` leaves them.

    Args:
        wanted: what the option says, None = nothing.
        option: what the user may set.

    Raises:
        ConfigError: an unknown mode, or online without a key: wandb would stop and ask for one.
    """
    source = option if wanted else "WANDB_MODE"
    mode = wanted or os.environ.get("WANDB_MODE", "").strip().lower()
    if not mode and os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes"):
        return "disabled", ""
    if not mode and (mode := own_settings().get("mode", "").strip().lower()):
        source = "mode in wandb's settings"
    mode = SYNONYMS.get(mode, mode)
    if not mode:
        return ("online", "") if has_key() else ("offline", " (no key found)")
    if mode not in MODES:
        raise ConfigError(f"{source}='{mode}' is unknown. {nearest(mode, MODES)}")
    if mode == "online" and not has_key():
        raise ConfigError(
            f"{source}=online, but there is no key for {host()}. Set WANDB_API_KEY, run 'wandb login', "
            f"or use {option}=offline."
        )
    return mode, ""


def host() -> str:
    """The server's name: of WANDB_BASE_URL, of ``wandb login --host``, or W&B's own."""
    address = os.environ.get("WANDB_BASE_URL") or own_settings().get("base_url") or "https://api.wandb.ai"
    return urlsplit(address).netloc


def own_settings() -> dict[str, str]:
    """What wandb's commands have left: the user's settings, and over them those of the folder one stands in."""
    user = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    here = Path(os.environ.get("WANDB_DIR") or ".").expanduser()
    folder = here / (".wandb" if (here / ".wandb").exists() else "wandb")
    found: dict[str, str] = {}
    for file in (user / "settings", folder / "settings"):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(file, encoding="utf-8")
        except (OSError, UnicodeError, configparser.Error):
            continue  # wandb reports it itself
        found |= dict(parser["default"]) if parser.has_section("default") else {}
    return found


def has_key() -> bool:
    """Whether wandb will find credentials without asking: in the environment, the netrc file, or its own settings."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE") or own_settings().get("api_key"):
        return True
    places = [Path(os.environ["NETRC"])] if os.environ.get("NETRC") else [Path("~/.netrc"), Path("~/_netrc")]
    for place in places:
        try:
            found = netrc.netrc(str(place.expanduser())).authenticators(host())
        except (OSError, netrc.NetrcParseError, RuntimeError):
            continue
        if found and found[2]:
            return True
    return False
