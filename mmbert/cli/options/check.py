"""Checks the options of a command line in well under a second, before torch is imported.

Hydra composes the config from the group choices alone; each ``key=value`` is then held against it, so a message can
name the very word that is wrong. What values an option may have is in ``schema.py``.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmbert.cli.options import custom_class, schema
from mmbert.cli.options.groups import Groups
from mmbert.cli.options.quoting import quoted_words
from mmbert.cli.options.signatures import Signature, signature_of
from mmbert.cli.options.subset import keep_subset, overruled_words
from mmbert.cli.options.values import (
    apply_override,
    check_value,
    first_error_line,
    first_value,
    override_values,
    without_hydra,
)
from mmbert.core.distributed import is_rank_zero
from mmbert.core.errors import ConfigError, nearest
from mmbert.runs.folder import RunFolder


def check_words(words: list[str], config_name: str, sweep: bool = False) -> DictConfig:
    """Checks the ``key=value`` words of a command line. Hydra must be initialised.

    Of a sweep the first job's config is composed; the other values are held against it one by one.

    Returns:
        The composed config of the run, or of the sweep's first job, with its ``hydra`` part.

    Raises:
        ConfigError: the first word found wrong, or a value that is missing or contradicts another.
    """
    groups = Groups(GlobalHydra.instance().config_loader())
    overrides = parse_overrides(words, groups)
    for override in overrides:
        if override.key_or_group == "logger.kind":
            raise ConfigError(f"{override.input_line}: the logger is chosen as a group: logger={first_value(override)}")
        if override.is_sweep_override() and not sweep:
            raise ConfigError(sweep_message(override))
        check_group(override, groups)
    cfg = compose_first_job(config_name, overrides, groups)
    if sweep and (params := OmegaConf.select(cfg, "hydra.sweeper.params")):
        given = {override.get_key_element() for override in overrides}
        extra = parse_overrides([f"{key}={value}" for key, value in params.items() if key not in given], groups)
        for override in extra:
            check_group(override, groups)
        overrides = extra + overrides
        cfg = compose_first_job(config_name, overrides, groups)
    values = [override for override in overrides if is_value(override, groups)]
    lines = [override.input_line for override in overrides if override.input_line is not None]
    custom_class.check_typed(cfg, lines, typed_targets(overrides))
    for override in values:
        check_value(cfg, override, groups)
    for override in values:
        apply_override(cfg, override)
    for word, names in custom_class.drop_unaccepted(cfg, lines, signature_or_none).items():
        noun = "option" if len(names) == 1 else "options"
        print(
            f"{word}: {noun} of the chosen file left out, which it does not take: {', '.join(names)}", file=sys.stderr
        )
    left_out = keep_subset(cfg)
    for word in [] if sweep else overruled_words(lines, left_out):
        print(f"{word}: left out, for subset=[{','.join(cfg.subset)}] does not name it", file=sys.stderr)
    check_config(without_hydra(cfg))
    check_added(cfg, overrides, groups)
    return cfg


def typed_targets(overrides: list[Override]) -> dict[str, list[str]]:
    """The classes that are typed, by the node whose ``_target_`` they become."""
    ending = f".{custom_class.TARGET}"
    found = {o.key_or_group.removesuffix(ending): o for o in overrides if o.key_or_group.endswith(ending)}
    return {path: [value for value in override_values(o) if isinstance(value, str)] for path, o in found.items()}


def signature_or_none(target: str) -> Signature | None:
    """The signature read from the source; None also where there is no such class, which is reported elsewhere."""
    try:
        return signature_of(target)
    except ConfigError:
        return None


def check_folder(cfg: DictConfig) -> None:
    """Refuses to begin where a run lies already, before Hydra writes into its folder; the first process alone asks.

    Raises:
        ConfigError: says what is there.
    """
    if is_rank_zero():
        RunFolder(str(cfg.hydra.run.dir)).refuse_taken()


@contextmanager
def writing_folders(failures: Sequence[Exception]) -> Iterator[None]:
    """While Hydra runs jobs: a folder that it cannot write becomes a ConfigError; what a job raised passes unchanged.

    Raises:
        ConfigError: says why it cannot be written.
    """
    try:
        yield
    except OSError as error:
        if any(error is failure for failure in failures):
            raise
        raise ConfigError(f"The run's folder cannot be written: {error}. Name another: hydra.run.dir=FOLDER") from error


def check_config(cfg: DictConfig) -> None:
    """Checks a composed config, less its ``hydra`` part: nothing missing, every value among those allowed.

    Raises:
        ConfigError: names the option and what it may be.
    """
    unresolved = OmegaConf.to_container(cfg)
    assert isinstance(unresolved, dict)
    for path, node in schema.nodes(unresolved):
        for name, value in node.items():
            key = f"{path}.{name}" if path else str(name)
            lacking = value == "???" or value is None and key in schema.NEVER_NULL
            if lacking and not schema.checked_later(key):
                raise ConfigError(f"{key} has no value, and needs one: {key}={schema.placeholder(key)}")
    try:
        # what Hydra knows of a run, such as ${hydra:runtime.output_dir}, it knows only inside the job
        early = "${hydra" in str(unresolved) and not HydraConfig.initialized()
        plain = unresolved if early else OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"The config cannot be resolved: {first_error_line(error)}") from error
    assert isinstance(plain, dict)
    for name in schema.OPTION_GROUPS:
        if not isinstance(plain.get(name) or {}, dict):
            raise ConfigError(f"{name}={str(plain[name])[:60]}: a group of options is wanted here, {name}.OPTION=VALUE")
    schema.check(plain)
    custom_class.check_targets(plain)


def parse_overrides(words: list[str], groups: Groups) -> list[Override]:
    """Words -> overrides; see ``quoted_words``.

    Raises:
        ConfigError: a word is not of Hydra's grammar.
    """
    parser = OverridesParser.create(config_loader=groups.loader)
    overrides = []
    for word in words:
        try:
            overrides += parser.parse_overrides(quoted_words([word]))
        except OverrideParseException as error:
            if "=" not in word:
                raise ConfigError(f"'{word}' is no option. Options are key=value, such as fusion=concat.") from error
            key, _, value = word.partition("=")
            if not key.isascii():
                raise ConfigError(
                    f"{word}: names of tasks, encoders and callbacks are written in the letters a to z, digits and _; "
                    "columns, classes and other values may be in any script."
                ) from error
            raise ConfigError(
                f"{word}: the value cannot be read. Put quotes of both kinds around a value with brackets, commas, "
                f"colons or equals signs: '{key}=\"{value}\"'"
            ) from error
    return overrides


def sweep_message(override: Override) -> str:
    """What to say of several values in a single run."""
    key, word = override.get_key_element(), override.input_line
    values = ",".join(override.sweep_string_iterator()) if override.is_discrete_sweep() else ""
    listed = f" As a list: {key}=[{values}]." if values else ""
    return f"{word}: several values are a sweep. To run one after the other, add -m.{listed}"


def check_group(override: Override, groups: Groups) -> None:
    """If the word chooses from a group, the choice must exist.

    Raises:
        ConfigError: the group or the choice is unknown.
    """
    group = override.key_or_group
    if not groups.options(group):
        guess = difflib.get_close_matches(group, groups.names, n=1, cutoff=0.7)
        if override.package is not None or (override.is_add() and guess and "." not in group):
            raise ConfigError(f"{override.input_line}: there is no group '{group}'. {nearest(group, groups.names)}")
        return
    if override.is_delete():
        return
    for value in override_values(override):
        for name in value if isinstance(value, list) else [value]:
            check_choice(override, name, groups)


def check_added(cfg: DictConfig, overrides: list[Override], groups: Groups) -> None:
    """Refuses ``+NAME=VALUE`` where NAME is no group and no part of the config refers to it: a group was meant.

    Raises:
        ConfigError: names the nearest group.
    """
    for override in overrides:
        name = override.key_or_group
        if not override.is_add() or "." in name or groups.options(name) or isinstance(first_value(override), dict):
            continue
        if f"${{{name}" not in OmegaConf.to_yaml(cfg):
            raise ConfigError(
                f"{override.input_line}: there is no group '{name}', and nothing reads an option of this name. "
                f"{nearest(name, groups.names)}"
            )


def check_choice(override: Override, name: Any, groups: Groups) -> None:
    """One choice from a group.

    Raises:
        ConfigError: the group does not have it.
    """
    group = override.key_or_group
    if isinstance(name, dict):
        return  # trainer={max_epochs: 3} is a value, not a choice
    if name is None:
        raise ConfigError(f"{override.input_line}: to choose nothing from {group}, leave it out or write ~{group}")
    folder, _, last = str(name).rpartition("/")
    known = groups.options(f"{group}/{folder}" if folder else group)
    if last.removesuffix(".yaml") not in known:
        hint = nearest(str(name), groups.options(group))
        raise ConfigError(f"{override.input_line}: {group} has no choice '{name}'. {hint}")


def is_value(override: Override, groups: Groups) -> bool:
    """Whether the word changes a value: it is no choice from a group, no addition, no deletion, no place to look in."""
    change = not (override.is_add() or override.is_force_add() or override.is_delete())
    if not change or override.key_or_group == "hydra.searchpath":
        return False
    return isinstance(first_value(override), dict) or not groups.options(override.key_or_group)


def compose_first_job(config_name: str, overrides: list[Override], groups: Groups) -> DictConfig:
    """The config of the first job, without the changed values.

    Raises:
        ConfigError: Hydra cannot compose it.
    """
    words = []
    for override in overrides:
        if is_value(override, groups):
            continue
        assert override.input_line is not None
        if override.is_sweep_override():
            first = next(iter(override.sweep_string_iterator()), None) if override.is_discrete_sweep() else None
            words += [f"{override.get_key_element()}={first}"] if first is not None else []
        else:
            words.append(override.input_line)
    try:
        return hydra.compose(config_name, words, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        cause = error.__cause__
        point = f": {first_error_line(cause)}" if isinstance(cause, OmegaConfBaseException) else ""
        deleted = next(
            (o.key_or_group for o in overrides if o.is_delete() and f"'{o.key_or_group}'" in str(error)), None
        )
        hint = f" {nearest(deleted, groups.names)}" if deleted else ""
        raise ConfigError(f"{str(error).strip()}{point}{hint}") from error
