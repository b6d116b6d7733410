"""What values an option may have, as far as that is known without importing anything heavy.

Rules belong to a class of ours or of Lightning's (the ``_target_`` of the config node) and an option's name; a user's
own class has its own ideas and is not judged here. null is allowed everywhere, unless a class itself objects.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mmbert.core.errors import ConfigError, nearest

#: Options that are missing in YAML on purpose and are asked for later, with more to say than is known here.
TOLD_LATER = ("tasks.*.column",)


@dataclass(frozen=True)
class Rule:
    """What an option may be.

    Attributes:
        wanted: the end of the sentence "... is wanted here", or the choices.
        accepts: whether a value, never None, is right.
        names: the choices among which a misspelt one has a nearest.
    """

    wanted: str
    accepts: Callable[[Any], bool]
    names: tuple[str, ...] = ()

    def complaint(self, value: Any) -> str | None:
        """What is wrong with a value, or None."""
        if value is None or isinstance(value, str) and value.startswith("${") or self.accepts(value):
            return None
        if self.names and isinstance(value, str):
            return f"not one of the choices. {nearest(value, self.names)}"
        return f"{self.wanted} is wanted here."


def is_number(value: Any) -> bool:
    """A number, and not one of Python's booleans, which are numbers too."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """A whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def whole(at_least: int, at_most: int | None = None) -> Rule:
    """A whole number from a range."""
    upper = f" and at most {at_most}" if at_most is not None else ""
    return Rule(
        f"a whole number of at least {at_least}{upper}",
        lambda v: is_whole(v) and v >= at_least and (at_most is None or v <= at_most),
    )


def number(at_least: float = 0, below: float | None = None, at_most: float | None = None) -> Rule:
    """A number from a range."""
    upper = f" and below {below:g}" if below is not None else f" and at most {at_most:g}" if at_most is not None else ""
    return Rule(
        f"a number of at least {at_least:g}{upper}",
        lambda v: is_number(v) and v >= at_least and (below is None or v < below) and (at_most is None or v <= at_most),
    )


def positive() -> Rule:
    """A number above zero."""
    return Rule("a number above 0", lambda v: is_number(v) and v > 0)


def switch() -> Rule:
    """True or false."""
    return Rule("true or false", lambda v: isinstance(v, bool))


def one_of(*names: Any) -> Rule:
    """One of some words or numbers, or a node that builds an object of the user's own."""
    return Rule(
        f"one of {', '.join(map(str, names))}",
        lambda v: (
            v in names
            and not (isinstance(v, bool) and v not in [n for n in names if isinstance(n, bool)])
            or isinstance(v, dict)
            and "_target_" in v
        ),
        tuple(dict.fromkeys(map(str, names))),
    )


def many(item: Rule, length: int | None = None) -> Rule:
    """A list."""
    count = f"{length} values" if length else "values"
    return Rule(
        f"a list of {count}, each {item.wanted},",
        lambda v: isinstance(v, list) and (length is None or len(v) == length) and all(map(item.accepts, v)),
    )


def either(*rules: Rule) -> Rule:
    """Any of several rules."""
    return Rule(
        " or ".join(rule.wanted for rule in rules),
        lambda v: any(rule.accepts(v) for rule in rules),
        tuple(name for rule in rules for name in rule.names),
    )


def share_or_count() -> Rule:
    """How Lightning says "some of the batches"."""
    return Rule(
        "a number of batches (10) or a share of them (0.1)",
        lambda v: is_whole(v) and v >= 0 or isinstance(v, float) and 0 <= v <= 1,
    )


STRATEGIES = (
    *("auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false", "ddp_spawn", "ddp_fork"),
    *("ddp_notebook", "ddp_spawn_find_unused_parameters_true", "ddp_fork_find_unused_parameters_true", "fsdp"),
    *("fsdp_cpu_offload", "deepspeed", "deepspeed_stage_1", "deepspeed_stage_2", "deepspeed_stage_3"),
)
PRECISIONS = (
    *("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true", "32", "16", "64", "bf16"),
    *("transformer-engine", "transformer-engine-float16", 32, 16, 64),
)
DEVICES = Rule(
    "a number of devices (1), a list of device numbers ([0,1]) or auto",
    lambda v: (
        is_whole(v)
        and (v >= 1 or v == -1)
        or isinstance(v, list)
        and v
        and all(is_whole(n) and n >= 0 for n in v)
        or isinstance(v, str)
        and re.fullmatch(r"auto|-1|[1-9]\d*|\d+(,\d+)+,?", v) is not None
    ),
)

#: By dotted path, for options outside any class.
PATHS: dict[str, Rule] = {
    "seed": whole(0, 2**32 - 1),
    "compile": switch(),
    "logger.kind": one_of("wandb", "csv", "tensorboard", "none"),
    "logger.mode": one_of("online", "offline", "disabled"),
    "logger.log_samples": whole(0),
    "logger.log_model": switch(),
}

#: By the beginning of the class's path, then by the option's name.
CLASSES: dict[str, dict[str, Rule]] = {
    "mmbert.": {
        "batch_size": whole(1),
        "num_workers": whole(0),
        "prefetch_factor": whole(1),
        "max_tokens": whole(1),
        "max_seconds": positive(),
        "max_length": whole(1),
        "out_dim": whole(1),
        "hidden_dim": whole(0),
        "dim": whole(1),
        "width": whole(1),
        "num_layers": whole(1),
        "n_layers": whole(1),
        "layers": whole(1),
        "num_heads": whole(1),
        "n_heads": whole(1),
        "heads": whole(1),
        "dropout": number(0, below=1),
        "frozen": switch(),
        "lr_scale": number(0),
        "weight": number(0),
        "label_smoothing": number(0, below=1),
        "class_weights": either(one_of("balanced"), many(number(0))),
    },
    "mmbert.encoders.text.": {"pooling": one_of("mean", "cls", "pooler")},
    "mmbert.training.optim.": {
        "lr": positive(),
        "weight_decay": number(0),
        "betas": many(number(0, below=1), length=2),
        "eps": positive(),
        "l1": number(0),
        "fused": switch(),
        "warmup": number(0),
        "min_lr_ratio": number(0, at_most=1),
    },
    "pytorch_lightning.Trainer": {
        "accelerator": one_of("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
        "strategy": one_of(*STRATEGIES),
        "devices": DEVICES,
        "num_nodes": whole(1),
        "precision": one_of(*PRECISIONS),
        "max_epochs": whole(-1),
        "min_epochs": whole(0),
        "max_steps": whole(-1),
        "min_steps": whole(0),
        "accumulate_grad_batches": whole(1),
        "gradient_clip_val": number(0),
        "gradient_clip_algorithm": one_of("norm", "value"),
        "check_val_every_n_epoch": whole(1),
        "num_sanity_val_steps": whole(-1),
        "limit_train_batches": share_or_count(),
        "limit_val_batches": share_or_count(),
        "limit_test_batches": share_or_count(),
        "limit_predict_batches": share_or_count(),
        "overfit_batches": share_or_count(),
        "fast_dev_run": either(switch(), whole(0)),
        "reload_dataloaders_every_n_epochs": whole(0),
        "deterministic": one_of(True, False, "warn"),
        "log_every_n_steps": whole(0),
        "profiler": one_of("simple", "advanced", "pytorch"),
    },
    "pytorch_lightning.callbacks.": {
        "patience": whole(0),
        "mode": one_of("max", "min"),
        "save_top_k": whole(-1),
        "min_delta": number(float("-inf")),
        "save_last": one_of(True, False, "link"),
        "every_n_epochs": whole(0),
        "every_n_train_steps": whole(0),
    },
}


def rule_of(target: str | None, key: str) -> Rule | None:
    """The rule for the option with a dotted path, in a node whose ``_target_`` is given; the most special one."""
    found = PATHS.get(key)
    for beginning, rules in CLASSES.items():
        if target and target.startswith(beginning):
            found = rules.get(key.rpartition(".")[2], found)
    return found


def has_rule(target: str | None, key: str) -> bool:
    """Whether more is known of an option than the kind of its default."""
    return rule_of(target, key) is not None


def complaint(target: str | None, key: str, value: Any) -> str | None:
    """What is wrong with a value for an option, or None."""
    rule = rule_of(target, key)
    return rule.complaint(value) if rule else None


def check(cfg: dict[str, Any]) -> None:
    """Checks every value of a resolved config that a rule speaks of, and that nothing looks at the test split.

    Raises:
        ConfigError: names the option and what it may be.
    """
    for path, node in nodes(cfg):
        for name, value in node.items():
            key = f"{path}.{name}" if path else str(name)
            wrong = complaint(node.get("_target_"), key, value)
            if wrong:
                raise ConfigError(f"{key}={value}: {wrong}")
            if name in ("monitor", "objective") and value is not None:
                check_monitor(key, str(value), node)


def check_monitor(key: str, metric: str, node: dict[str, Any]) -> None:
    """What is monitored must not come from a test split, and must say in which direction it improves.

    Raises:
        ConfigError: it does come from there, or does not say.
    """
    split, _, rest = metric.partition("/")
    if split.startswith("test"):
        raise ConfigError(
            f"{key}={metric}: nothing is chosen on a test split, or its numbers would mean nothing. "
            f"Use the validation split: {key}=val/{rest or 'loss'}"
        )
    if node.get("mode", "") is None:
        raise ConfigError(f"{key}={metric}: is more better, or less? Say {key.rpartition('.')[0]}.mode=max or min.")


def nodes(cfg: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every dictionary in a config with its dotted path, the outermost first."""
    yield path, cfg
    for name, value in cfg.items():
        if isinstance(value, dict):
            yield from nodes(value, f"{path}.{name}" if path else str(name))


def told_later(key: str) -> bool:
    """Whether a missing value is asked for later."""
    return any(fnmatch.fnmatch(key, pattern) for pattern in TOLD_LATER)


def placeholder(key: str) -> str:
    """What to write after the equals sign of an option that has no value."""
    name = key.rpartition(".")[2]
    return {"path": "FILE", "model": "NAME_OR_FOLDER", "folder": "FOLDER"}.get(name, name.upper())
