"""A class of one's own in place of the chosen one: ``fusion._target_=my_fusion.MyFusion +fusion.hidden=64``.

The options of the YAML file that was chosen stay in the config, and were meant for its own class. Those that the new
class does not take are left out, unless they were typed: what is typed must exist, and the message for a misspelt one
names the nearest. All this is read from the source, before anything heavy is imported (``signatures.py``); only where a
source does not show it is a class imported, by the job that would import it anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from mmbert.cli.options.signatures import Signature, signature_of
from mmbert.core.errors import ConfigError, nearest

TARGET = "_target_"
#: What the building code gives to a fusion by itself.
GIVEN_BY_BUILD = {"dims"}


def keys_of(words: Sequence[str]) -> dict[str, str]:
    """The dotted key of every ``key=value`` word, and the word; a choice from a group has a key too, without dots."""
    return {re.sub(r"^[+~]*|@.*$", "", word.partition("=")[0]): word for word in words}


def retyped_nodes(keys: dict[str, str]) -> list[str]:
    """The nodes whose class was typed: ``fusion`` of ``fusion._target_=...``."""
    return [key.removesuffix(f".{TARGET}") for key in keys if key.endswith(f".{TARGET}")]


def drop_unaccepted(cfg: DictConfig, words: Sequence[str], look_up: Any = signature_of) -> dict[str, list[str]]:
    """Takes out of nodes whose class was typed the options that it does not take and nobody typed, in place.

    Args:
        cfg: a composed config.
        words: the job's ``key=value`` words.
        look_up: gives the signature of a dotted path, or None.

    Returns:
        The names of what was left out, by the word that named the class.
    """
    keys = keys_of(words)
    dropped = {}
    for path in retyped_nodes(keys):
        node = OmegaConf.select(cfg, path, throw_on_missing=False)
        if not isinstance(node, DictConfig) or not isinstance(node.get(TARGET), str):
            continue
        signature = look_up(node[TARGET])
        if signature is None:
            continue
        typed = {key.removeprefix(f"{path}.").partition(".")[0] for key in keys if key.startswith(f"{path}.")}
        names = [str(name) for name in node if not str(name).startswith("_")]
        left_out = [name for name in names if name not in typed and name not in signature.names]
        with open_dict(node):
            for name in left_out:
                del node[name]
        if left_out:
            dropped[keys[f"{path}.{TARGET}"]] = left_out
    return dropped


def drop_unaccepted_of_job(cfg: DictConfig, words: Sequence[str]) -> None:
    """As ``drop_unaccepted`` for a job that is about to run or be hashed: classes that need it are imported."""
    drop_unaccepted(cfg, words, look_up=certain_signature)


def certain_signature(target: str) -> Signature | None:
    """The signature from the source, or from the class itself; None if there is none, which building it reports."""
    try:
        found = signature_of(target)
    except ConfigError:
        return None
    return found if found is not None and not found.open else imported_signature(target) or found


def imported_signature(target: str) -> Signature | None:
    """The signature of a class that is imported for it; of one that hands the rest on, its bases' names too."""
    import inspect

    from mmbert.core.init_args import find_class

    try:
        found: Any = find_class(target)
        kinds = found.__mro__ if inspect.isclass(found) else ()
        levels = [vars(kind)["__init__"] for kind in kinds if "__init__" in vars(kind)] or [found]
        names: dict[str, bool] = {}
        for level in levels:
            parameters = list(inspect.signature(level).parameters.values())[1 if inspect.isclass(found) else 0 :]
            named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
            names = {p.name: p.default is p.empty for p in named} | names
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    except Exception:  # whatever the module does as it is imported; building reports it
        return None
    required = tuple(name for name, needed in names.items() if needed)
    return Signature(tuple(names), required, is_class=inspect.isclass(found))


def check_typed(cfg: DictConfig, words: Sequence[str], targets: dict[str, list[str]]) -> None:
    """Every typed option of a node must be one that its class takes.

    Args:
        cfg: composed, without the changed values.
        words: of the command line.
        targets: the classes that were typed, by node: several in a sweep.

    Raises:
        ConfigError: names the class, and the nearest option that it takes.
    """
    keys = keys_of(words)
    for key, word in keys.items():
        path, _, name = key.rpartition(".")
        if not path or name.startswith("_") or word.startswith("~"):
            continue
        node = OmegaConf.select(cfg, path, throw_on_missing=False)
        adds = word.startswith("+")
        if path not in targets and not adds:
            continue  # held against the YAML
        kinds = targets.get(path) or list(own_target(node))
        for target in kinds:
            try:
                signature = signature_of(target)
            except ConfigError as error:
                raise ConfigError(f"{path}.{TARGET}={target}: {error}") from error
            if signature is None or signature.open:
                continue
            if name not in signature.names:
                takes = [n for n in signature.names if n not in GIVEN_BY_BUILD]
                raise ConfigError(f"{word}: {target} takes no {name}. {nearest(name, takes)}")
            if not adds and isinstance(node, DictConfig) and name not in node:
                raise ConfigError(f"{word}: {name} is an option of {target}, but not of the chosen file: +{word}")


def own_target(node: Any) -> Iterator[str]:
    """The class that a node names itself, if any."""
    if isinstance(node, DictConfig) and isinstance(node.get(TARGET), str):
        yield node[TARGET]


def check_targets(cfg: dict[Any, Any]) -> None:
    """The strategy, if it is no class of the package, must exist, take the options given and be given what it needs.

    Args:
        cfg: a composed config as plain dictionaries.

    Raises:
        ConfigError: says what is misspelt or lacking.
    """
    node = cfg.get("fusion")
    target = node.get(TARGET) if isinstance(node, dict) else None
    if not isinstance(target, str) or target.startswith("mmbert."):
        return
    assert isinstance(node, dict)
    try:
        signature = signature_of(target)
    except ConfigError as error:
        raise ConfigError(f"fusion._target_={target}: {error}") from error
    if signature is None:
        return
    given = {str(name) for name in node if not str(name).startswith("_")}
    takes = [name for name in signature.names if name not in GIVEN_BY_BUILD]
    for name in sorted(given - set(signature.names)):
        if not signature.open:
            raise ConfigError(f"fusion.{name}: {target} takes no {name}. {nearest(name, takes)}")
    if signature.is_class:
        for name in signature.required:
            if name not in given | GIVEN_BY_BUILD:
                raise ConfigError(f"fusion: {target} needs {name}, and nothing gives it one: +fusion.{name}=VALUE")
