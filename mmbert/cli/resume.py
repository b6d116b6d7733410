"""``mmbert-train resume=FOLDER``: continues an interrupted run with its own config, in its own folder.

Of a run that somebody else began only listed classes and places are used (``run_config.py``).
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.regular_files import SpecialFileError, refuse_special_inside
from mmbert.runs.folder import RunFolder
from mmbert.runs.start import start_command

RESUME_PREFIX = "resume="
#: Options of the run that may stand beside it, for it may go on elsewhere: no number of a step depends on these.
ELSEWHERE = ("store.dir", "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy")
BESIDE = (*ELSEWHERE, "trust_custom_code")


def asks_to_resume(words: list[str]) -> bool:
    """Whether a command line asks to resume."""
    return any(word.startswith(RESUME_PREFIX) for word in words)


def resume(words: list[str]) -> None:
    """Goes on with the run in the folder that ``resume=FOLDER`` names; a finished one is left as it is.

    Raises:
        ConfigError: there is no run, or something else is asked for as well.
    """
    beside = {word.partition("=")[0]: word.partition("=")[2] for word in words if word.partition("=")[0] in BESIDE}
    others = [word for word in words if word.partition("=")[0] not in (*BESIDE, RESUME_PREFIX.rstrip("="))]
    if others:
        raise ConfigError(
            f"resume=FOLDER goes on with the run's own config, so that it ends as if it had not stopped: leave out "
            f"'{others[0]}'. For other options start a new run."
        )
    given = [word.removeprefix(RESUME_PREFIX) for word in words if word.startswith(RESUME_PREFIX)]
    if len(given) > 1:
        raise ConfigError(f"resume= is given {len(given)} times: one command goes on with one run.")
    folder = Path(given[0])
    if folder.is_file():
        raise ConfigError(
            f"resume={folder} is a file. Name the run's folder, which it may lie in: resume={folder.parent}"
        )
    unfinished = RunFolder(folder)
    if not unfinished.config.is_file() and (command := start_command(unfinished)) is not None:
        raise ConfigError(
            f"resume={folder}: that run was ended before it began, or is only just starting, so nothing is lost. "
            f"Start it again: {command}"
        )
    if not unfinished.config.is_file():
        neighbours = folder.parent.iterdir() if folder.parent.is_dir() else ()
        runs = [str(path) for path in neighbours if RunFolder(path).config.is_file()]
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
    from mmbert.cli.run_config import consent, naming_file, used_config

    with naming_file(unfinished.config):
        cfg = used_config(unfinished, consent(beside))
        check_config(cfg)
    elsewhere = [f"{name}={beside[name]}" for name in ELSEWHERE if name in beside]
    processes = next((word for word in elsewhere if word.startswith(("trainer.devices", "trainer.num_nodes"))), None)
    if processes is not None and not unfinished.resumable:
        raise ConfigError(
            f"resume={folder}: that run has no checkpoint yet, so nothing is lost, and with {processes} it would be "
            f"another run: its steps would have other samples. Leave out '{processes}', or start a new run."
        )
    if elsewhere:
        cfg.merge_with(OmegaConf.from_dotlist(elsewhere))
        check_config(cfg)
    with nullcontext() if elsewhere else naming_file(unfinished.config):
        from mmbert.training.run import run

        run(cfg, folder, resume=True)
