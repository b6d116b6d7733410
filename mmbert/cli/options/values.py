"""Is a ``key=value`` right? The option must exist and the value be of its kind; else the nearest option is named."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmbert.cli.options import schema
from mmbert.cli.options.foreign import RULES_BY_PATH
from mmbert.cli.options.groups import Groups
from mmbert.core.errors import ConfigError
from mmbert.core.ranges import CellValues, Rule

#: What each option may be of groups whose options have names of the user's own.
RULES_BY_GROUP: Mapping[str, Rule] = {"data.columns": CellValues()}  # a column, or several that are read together


def override_values(override: Override) -> list[Any]:
    """The values of an override: one, or those of a sweep; of an interval its ends."""
    if not override.is_sweep_override():
        return [override.value()]
    value = override.value()
    if isinstance(value, IntervalSweep):
        return [value.start, value.end]
    if not override.is_discrete_sweep():
        return []
    return [item.text if isinstance(item, QuotedString) else item for item in override.sweep_iterator()]


def first_value(override: Override) -> Any:
    """The value in the first job of a sweep, or the only one."""
    values = override_values(override)
    return values[0] if values else None


def without_hydra(cfg: DictConfig) -> DictConfig:
    """A copy of the job's own part of a config."""
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


def apply_override(cfg: DictConfig, override: Override) -> None:
    """Gives the option its new value, in place.

    Raises:
        ConfigError: the place has a type of its own and refuses it, as Hydra's options do.
    """
    try:
        OmegaConf.update(cfg, override.key_or_group, first_value(override), merge=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{override.input_line}: {first_error_line(error)}") from error


def check_value(cfg: DictConfig, override: Override, groups: Groups) -> None:
    """The option must exist, and each value must be of its kind.

    Raises:
        ConfigError: names the nearest option, or the kind of value that is wanted.
    """
    key = override.key_or_group
    if "[" in key:
        return  # an item of a list; Hydra checks it
    *parents, last = key.split(".")
    node: Any = cfg
    rules: Mapping[str, Rule] = {}
    for depth, part in enumerate(parents):
        node = child_node(node, part)
        if not isinstance(node, (DictConfig, ListConfig)):
            raise unknown_option(cfg, override, ".".join(parents[:depth]), groups)
        rules = schema.rules_of_node(child_node(node, "_target_"), rules.get(part))
    if isinstance(node, ListConfig):
        return
    if last not in list(node.keys()):  # "in" alone says no to an option without a value yet
        raise unknown_option(cfg, override, ".".join(parents), groups)
    rule = rules.get(last) or RULES_BY_PATH.get(key) or RULES_BY_GROUP.get(".".join(parents))
    before = None if OmegaConf.is_missing(node, last) or OmegaConf.is_interpolation(node, last) else node[last]
    for value in override_values(override):
        complaint = rule.complaint(value) if rule is not None else wrong_kind(before, value)
        if complaint:
            raise ConfigError(f"{key}={as_typed(value)}: {complaint}")


def child_node(node: Any, name: str) -> Any:
    """A part of a config node, or None."""
    if isinstance(node, DictConfig):
        return node[name] if name in node and not OmegaConf.is_missing(node, name) else None
    if isinstance(node, ListConfig) and name.isdigit() and int(name) < len(node):
        return node[int(name)]
    return None


def wrong_kind(before: Any, value: Any) -> str | None:
    """What is wrong with the type of a new value, compared with that in the YAML; None if nothing is, or for null."""
    if value is None or before is None or isinstance(value, str) and value.startswith("${"):
        return None
    if isinstance(before, bool):
        good, wanted = isinstance(value, bool), "true or false"
    elif isinstance(before, int):
        good, wanted = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    elif isinstance(before, float):
        good, wanted = isinstance(value, (int, float)) and not isinstance(value, bool), "a number"
    elif isinstance(before, str):
        good, wanted = not isinstance(value, (dict, list)), "a text"
    elif isinstance(before, ListConfig):
        good, wanted = isinstance(value, list), "a list such as [a,b]"
    elif isinstance(before, DictConfig):
        good, wanted = isinstance(value, dict), "a group of options, {name: value}"
    else:
        return None
    return None if good else f"{wanted} is wanted here, such as the default {as_typed(before)}."


def unknown_option(cfg: DictConfig, override: Override, parent: str, groups: Groups) -> ConfigError:
    """The error for an option that does not exist, with the nearest one that does."""
    key, word = override.key_or_group, override.input_line
    known = list(option_paths(cfg if override.is_hydra_override() else without_hydra(cfg)))
    if parent:
        siblings = [path for path in known if path.startswith(f"{parent}.")]
        here = sorted({path.removeprefix(f"{parent}.").split(".")[0] for path in siblings})
        wrong = key.removeprefix(f"{parent}.").split(".")[0]
    else:
        here = sorted({path.split(".")[0] for path in known} | set(groups.names))
        wrong = key.split(".")[0]
    rest = key.removeprefix(f"{parent}.") if parent else key
    tail = rest.partition(".")[2]
    guess = guess_path(key, parent, wrong, tail, here, known)
    if guess:
        return ConfigError(f"{word}: there is no option '{key}'. Did you mean '{guess}'?")
    where = f"{parent} has" if parent else "There are"
    listed = ", ".join(here) or "no options"
    add = f" To add one of your own: +{word}" if parent else ""
    return ConfigError(f"{word}: there is no option '{key}'. {where}: {listed}.{add}")


def guess_path(key: str, parent: str, wrong: str, tail: str, here: list[str], known: list[str]) -> str | None:
    """The option most likely meant: a neighbour of nearly the same name, else one of the same name elsewhere."""
    prefix = f"{parent}." if parent else ""
    near = difflib.get_close_matches(wrong, here, n=1, cutoff=0.6)
    if near:
        candidate = f"{prefix}{near[0]}" + (f".{tail}" if tail else "")
        if not tail or candidate in known:
            return candidate
    name = key.split(".")[-1]
    same = [path for path in known if path.split(".")[-1] == name]
    if same:
        return max(same, key=lambda path: difflib.SequenceMatcher(None, path, key).ratio())
    alike = [path for path in known if difflib.get_close_matches(name, [path.split(".")[-1]], cutoff=0.6)]
    close = difflib.get_close_matches(key, alike, n=1, cutoff=0.75)
    return close[0] if close else None


def option_paths(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """The dotted names of all options, those of groups of options too."""
    for key in map(str, cfg):
        path = f"{prefix}{key}"
        yield path
        if OmegaConf.is_missing(cfg, key) or OmegaConf.is_interpolation(cfg, key):
            continue
        value = cfg[key]
        if isinstance(value, DictConfig):
            yield from option_paths(value, f"{path}.")


def as_typed(value: Any) -> str:
    """A value as one types it."""
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(as_typed, value))}]"
    return str(value)


def first_error_line(error: BaseException) -> str:
    """The first line of an error; OmegaConf adds others about its own types."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
