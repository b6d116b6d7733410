"""``mmbert-train resume=FOLDER``: continues an interrupted run with its own config, in its own folder."""

from __future__ import annotations

import sys
from pathlib import Path

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.regular_files import SpecialFileError, refuse_special_inside
from mmbert.runs.folder import RunFolder

RESUME_PREFIX = "resume="


def asks_to_resume(words: list[str]) -> bool:
    """Whether a command line asks to resume."""
    return any(word.startswith(RESUME_PREFIX) for word in words)


def resume(words: list[str]) -> None:
    """Goes on with the run in the folder that ``resume=FOLDER`` names; a finished one is left as it is.

    Raises:
        ConfigError: there is no run, or something else is asked for as well.
    """
    others = [word for word in words if not word.startswith(RESUME_PREFIX)]
    if others:
        raise ConfigError(
            f"resume=FOLDER goes on with the run's own config, so that it ends as if it had not stopped: leave out "
            f"'{others[0]}'. For other options start a new run."
        )
    folder = Path(next(word for word in words if word.startswith(RESUME_PREFIX)).removeprefix(RESUME_PREFIX))
    unfinished = RunFolder(folder)
    if not unfinished.config.is_file():
        beside = folder.parent.iterdir() if folder.parent.is_dir() else ()
        runs = [str(path) for path in beside if RunFolder(path).config.is_file()]
        raise ConfigError(
            f"resume={folder}: there is no {unfinished.config.name}, so this is no run's folder. "
            f"{nearest(str(folder), runs)}"
        )
    try:
        refuse_special_inside(folder)
    except SpecialFileError as error:
        raise ConfigError(f"resume={folder}: {error.filename}: {error.strerror}.") from error
    if unfinished.finished:
        print(f"{folder} has finished: its numbers are in {unfinished.metrics.name}", file=sys.stderr)
        return

    from omegaconf import OmegaConf

    from mmbert.cli.options.check import check_config

    cfg = OmegaConf.load(unfinished.config)
    check_config(cfg)  # type: ignore[arg-type]

    from mmbert.training.run import run

    run(cfg, folder, resume=True)  # type: ignore[arg-type]
