"""The config of a run that lies in a folder, as far as it may be used: all of one's own, of others' what is listed.

Nothing in ``config.yaml`` is resolved: a run writes it resolved, so that ``${oc.env:NAME}`` in it is mere text.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.privacy import Privacy
from mmbert.core.shown_text import printable
from mmbert.runs.folder import RunFolder
from mmbert.runs.own_privacy import read_privacy

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: Characters of a message; of a longer one the beginning is told.
LONGEST_MESSAGE = 2000
#: Where another's run kept what it made for itself; here it is made in one's own place.
MADE_IN = {"store.dir": "store.dir=FOLDER", "data.folder": "data.folder=FOLDER"}


def used_config(run: RunFolder, trusted: bool, parts: Sequence[str] = ()) -> DictConfig:
    """The config of a run for use here.

    Args:
        run: its folder.
        trusted: the user consents to whatever it names.
        parts: the parts that will be used, such as ``data``; empty = all.

    Returns:
        The config. Of a run that the user did not begin, places of its own are left out, which is said on stderr.

    Raises:
        ConfigError: the file is no config; or it names what needs consent.
    """
    from omegaconf import OmegaConf

    cfg = literal_config(run.config)
    if trusted or run.begun_here:
        return cfg
    from mmbert.cli.options.trusted import check_untrusted

    plain: Any = OmegaConf.to_container(cfg)
    check_untrusted({name: value for name, value in plain.items() if not parts or name in parts}, str(run.config))
    for place, word in MADE_IN.items():
        group, _, name = place.partition(".")
        given = plain[group].get(name) if isinstance(plain.get(group), dict) else None
        if given is None:
            continue
        OmegaConf.update(cfg, place, None)
        if not parts or place.partition(".")[0] in parts:
            print(
                f"{place}={printable(given)} of {run} is not taken over, for the run is not one that you began here: "
                f"the default is used. For another: {word}",
                file=sys.stderr,
            )
    return cfg


def run_privacy(folder: Path, composed: Mapping[str, Any], words: Sequence[str] = ()) -> Privacy:
    """What may be written of samples that a saved model is asked: as its run says, unless a word says otherwise.

    Args:
        folder: of the model, in its run's folder or elsewhere.
        composed: the config's ``privacy`` as the words make it.
        words: of the command line; only ``privacy.OPTION=VALUE`` matter.

    Raises:
        ConfigError: a pattern of the run cannot be used.
        DataError: the run's config is damaged.
    """
    run = next((run for run in (RunFolder(folder), RunFolder(folder.parent)) if run.config.is_file()), None)
    if run is None:
        return Privacy.of(composed)
    begun_with = read_privacy(run)
    given = {word.lstrip("+").partition("=")[0] for word in words}
    mask = composed.get("mask") if "privacy.mask" in given else begun_with.mask
    samples = composed.get("samples") if "privacy.samples" in given else begun_with.samples
    return Privacy.of({"samples": samples, "mask": mask})


def consent(words: Mapping[str, str]) -> bool:
    """What the word ``trust_custom_code`` of a command says; without it, no.

    Raises:
        ConfigError: it is neither true nor false.
    """
    given = words.get("trust_custom_code", "false").lower()
    if given not in ("true", "1", "yes", "false", "0", "no"):
        raise ConfigError(f"trust_custom_code={given}: true or false is wanted here.")
    return given in ("true", "1", "yes")


def literal_config(path: Path) -> DictConfig:
    """A YAML file as a config whose text is nothing but text.

    Raises:
        ConfigError: it cannot be read, or holds no options.
    """
    import yaml
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        read = OmegaConf.load(path)
        plain = OmegaConf.to_container(read) if isinstance(read, DictConfig) else None
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException, AssertionError, RecursionError) as error:
        what = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise ConfigError(f"{path} cannot be read as a config: {what}") from error
    if not isinstance(plain, dict):
        raise ConfigError(f"{path} holds no options.")
    made = OmegaConf.create(unresolved(plain))
    assert isinstance(made, DictConfig)
    return made


@contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Puts a config's file before messages on what stands in it.

    Raises:
        MmbertError: the same, with the file.
    """
    try:
        yield
    except (ConfigError, DataError) as error:
        gone = isinstance(error, DataError) and "there is no such file" in str(error)
        named = str(path.parent) in str(error) or isinstance(error, DataError) and not gone
        if named and len(str(error)) <= LONGEST_MESSAGE:
            raise
        text = str(error) if len(str(error)) <= LONGEST_MESSAGE else f"{str(error)[:LONGEST_MESSAGE]}…"
        raise type(error)(text if named else f"{path}: {text}") from error


def unresolved(value: Any) -> Any:
    """Plain values in which no text is an interpolation for OmegaConf."""
    if isinstance(value, dict):
        return {key: unresolved(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [unresolved(inner) for inner in value]
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if isinstance(value, str) else value
