"""Checks a config's values against what its classes allow, without importing anything heavy.

The ranges are read from the annotations of each node's ``_target_`` (``annotations.py``); what no class of ours
declares is in ``foreign.py``. null is allowed everywhere, unless a class itself objects.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from typing import Any

from mmbert.cli.options.annotations import rules_of
from mmbert.cli.options.foreign import FOREIGN_CLASSES, RULES_BY_PATH
from mmbert.core.arguments import shortened
from mmbert.core.errors import ConfigError
from mmbert.core.ranges import OptionsOf, Rule

#: Options without a value in YAML that are checked later, when the table's columns are known.
CHECKED_LATER = ("tasks.*.column",)
#: Options that null cannot turn off.
NEVER_NULL = ("seed", "data.path", "data.batch_size", "optimizer.lr", "fusion.out_dim", "trainer.num_nodes")

#: Parts of a config that hold further options.
OPTION_GROUPS = (
    *("data", "encoders", "tasks", "fusion", "balance", "balance_modalities", "augment", "optimizer", "scheduler"),
    *("trainer", "logger", "callbacks", "robustness", "checkpoint", "store", "study", "privacy"),
)


def rules_of_node(target: object, enclosing: Rule | None = None) -> Mapping[str, Rule]:
    """The rules of a config node's options by name.

    Args:
        target: its ``_target_``, or None.
        enclosing: the rule of the option that the node is the value of.
    """
    if isinstance(target, str):
        foreign = [rules for beginning, rules in FOREIGN_CLASSES.items() if target.startswith(beginning)]
        return foreign[0] if foreign else rules_of(target)
    if isinstance(enclosing, OptionsOf):
        return {**(rules_of(enclosing.owner) if enclosing.owner else {}), **enclosing.more}
    return {}


def rule_of(target: str | None, key: str) -> Rule | None:
    """The rule of the option with a dotted path, in a node whose ``_target_`` is given."""
    return rules_of_node(target).get(key.rpartition(".")[2]) or RULES_BY_PATH.get(key)


def complaint(target: str | None, key: str, value: Any) -> str | None:
    """What is wrong with a value for an option, or None."""
    rule = rule_of(target, key)
    return rule.complaint(value) if rule else None


def check(cfg: dict[Any, Any]) -> None:
    """Checks every value of a resolved config that has a rule, and that nothing is chosen on the test split.

    Raises:
        ConfigError: names the option and what it may be.
    """
    known: dict[str, Mapping[str, Rule]] = {}

    def visit(node: dict[Any, Any], path: str, rules: Mapping[str, Rule]) -> None:
        for name, value in node.items():
            key = f"{path}.{name}" if path else str(name)
            rule = rules.get(str(name)) or RULES_BY_PATH.get(key)
            wrong = rule.complaint(value) if rule is not None else None
            if wrong:
                raise ConfigError(f"{shortened(key)}={shortened(value)}: {wrong}")
            if name in ("monitor", "objective") and value is not None:
                check_monitor(key, str(value), node)
        for name, value in node.items():
            if isinstance(value, dict):
                target = value.get("_target_")
                inner = known.get(str(target)) or rules_of_node(target, rules.get(str(name)))
                known.update({target: inner} if isinstance(target, str) else {})
                visit(value, f"{path}.{name}" if path else str(name), inner)

    visit(cfg, "", rules_of_node(cfg.get("_target_")))


def check_monitor(key: str, metric: str, node: dict[Any, Any]) -> None:
    """What is monitored must not come from a test split, and its node must name the direction of improvement.

    Raises:
        ConfigError: it does come from there, or the direction is missing.
    """
    split, _, rest = metric.partition("/")
    if split.startswith("test"):
        raise ConfigError(
            f"{key}={metric}: nothing is chosen on a test split, or its numbers would mean nothing. "
            f"Use the validation split: {key}=val/{rest or 'loss'}"
        )
    if node.get("mode", "") is None:
        raise ConfigError(f"{key}={metric}: is more better, or less? Say {key.rpartition('.')[0]}.mode=max or min.")


def nodes(cfg: dict[Any, Any], path: str = "") -> Iterator[tuple[str, dict[Any, Any]]]:
    """Every dictionary in a config with its dotted path, the outermost first."""
    yield path, cfg
    for name, value in cfg.items():
        if isinstance(value, dict):
            yield from nodes(value, f"{path}.{name}" if path else str(name))


def checked_later(key: str) -> bool:
    """Whether a missing value is asked for later."""
    return any(fnmatch.fnmatch(key, pattern) for pattern in CHECKED_LATER)


def placeholder(key: str) -> str:
    """What to write after the equals sign of an option that has no value."""
    name = key.rpartition(".")[2]
    return {"path": "FILE", "model": "NAME_OR_FOLDER", "folder": "FOLDER"}.get(name, name.upper())
