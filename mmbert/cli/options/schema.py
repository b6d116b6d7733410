"""What values an option may have, as far as that is known without importing anything heavy.

Rules belong to a class of ours or of Lightning's (the ``_target_`` of the config node) and an option's name; a user's
own class has its own ideas and is not judged here. null is allowed everywhere, unless a class itself objects.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from typing import Any

from mmbert.cli.options.rules import (
    Rule,
    either,
    is_number,
    is_whole,
    many,
    number,
    one_of,
    positive,
    share_or_count,
    switch,
    whole,
)
from mmbert.core.errors import ConfigError

#: Options that are missing in YAML on purpose and are asked for later, with more to say than is known here.
TOLD_LATER = ("tasks.*.column",)
#: Options that null cannot turn off.
NEEDED = ("seed", "data.path", "data.batch_size", "optimizer.lr", "fusion.out_dim")


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
CHANCES = Rule(
    "a chance (0.2), or one for each encoder ({text: 0.3, audio: 0.1}),",
    lambda v: all(is_number(p) and 0 <= p < 1 for p in (v.values() if isinstance(v, dict) else [v])),
)

NAME = Rule("a name", lambda v: isinstance(v, str))

#: By dotted path, for options outside any class.
PATHS: dict[str, Rule] = {
    "seed": whole(0, 2**32 - 1),
    "compile": switch(),
    "plots": switch(),
    "store.enabled": switch(),
    "store.dtype": one_of("float32", "float16", "bfloat16"),
    "store.max_gib": positive(),
    "study.resume": switch(),
    "study.trial": whole(0),
    "study.metric": Rule("a metric (test/answer/accuracy)", lambda v: isinstance(v, str) and "/" in v),
    "study.axes": many(Rule("a name such as fusion", lambda v: isinstance(v, str))),
    "checkpoint.every_minutes": positive(),
    "encoders_from": Rule(
        "a run's folder, or one for each encoder ({image: outputs/A, audio: outputs/B}),",
        lambda v: all(isinstance(p, str) and p for p in (v.values() if isinstance(v, dict) else [v])),
    ),
    "data.split.val": number(0, below=1),
    "data.split.test": number(0, below=1),
    "data.split.seed": whole(0),
    "data.missing.rate": number(0, at_most=1),
    "data.missing.mechanism": one_of("random", "label", "value", "exclusive"),
    "data.missing.modalities": many(NAME),
    "data.missing.splits": many(NAME),
    "data.missing.strength": number(0, at_most=20),
    "data.missing.seed": whole(0),
    "robustness.splits": many(NAME),
    "robustness.subsets": switch(),
    "robustness.missing.rates": many(number(0, at_most=1)),
    "robustness.missing.mechanisms": many(one_of("random", "label", "value", "exclusive")),
    "robustness.missing.strength": number(0, at_most=20),
    "robustness.missing.seed": whole(0),
    "robustness.noise.levels": many(Rule("a step above 0, at most 1", lambda v: is_number(v) and 0 < v <= 1)),
    "robustness.noise.modalities": many(NAME),
    "robustness.noise.together": switch(),
    "robustness.noise.image": one_of("gaussian", "blur"),
    "robustness.noise.audio": one_of("white", "dropout"),
    "robustness.noise.text": one_of("typos", "words"),
    "robustness.noise.noise_std": positive(),
    "robustness.noise.blur_share": positive(),
    "robustness.noise.noise_db": number(-100, at_most=100),
    "robustness.noise.seed": whole(0),
    "augment.image.flip": number(0, at_most=1),
    "augment.image.erasing": number(0, at_most=1),
    "augment.audio.shift_seconds": number(0),
    "augment.audio.gain_db": number(0),
    "augment.text.mask": number(0, below=1),
    "augment.modality_dropout": CHANCES,
    "logger.kind": one_of("wandb", "csv", "tensorboard", "mlflow", "none"),
    "logger.mode": one_of("online", "offline", "disabled"),
    "logger.log_samples": whole(0),
    "logger.log_model": switch(),
}

#: By the beginning of the class's path, then by the option's name.
CLASSES: dict[str, dict[str, Rule]] = {
    "mmbert.": {
        "dropout": number(0, below=1),
        "out_dim": whole(1),
        "hidden_dim": whole(0),
        "num_layers": whole(1),
        "num_heads": whole(1),
        "normalize": switch(),
        "frozen": switch(),
        "pretrained": switch(),
        "lr_scale": number(0),
        "weight": number(0),
    },
    "mmbert.data.": {
        "folds": whole(2),
        "fold": whole(0),
        "per_class": whole(1),
        "per_class_rare": one_of("raise", "keep"),
        "bucket_by_length": switch(),
        "batch_size": whole(1),
        "eval_batch_size": whole(1),
        "num_workers": whole(0),
        "pin_memory": switch(),
        "check_files": switch(),
        "on_error": one_of("raise", "skip"),
    },
    "mmbert.data.synthetic.": {
        "setting": one_of("redundancy", "uniqueness", "synergy", "mixed"),
        "embedding": one_of("linear", "nonlinear"),
        "modalities": whole(2, 8),
        "dim": whole(1),
        "length": whole(1),
        "noise": number(0),
    },
    "mmbert.encoders.": {
        "pooling": one_of("mean", "cls", "pooler"),
        "max_tokens": whole(1),
        "trainable_last_n": whole(1),
        "layer_decay": positive(),
        "gradient_checkpointing": switch(),
        "max_seconds": positive(),
        "image_size": either(whole(1), many(whole(1), length=2)),
        "channels": many(whole(1)),
        "num_mels": whole(1),
        "hop_seconds": positive(),
        "sample_rate_hz": whole(1),
    },
    "mmbert.fusion.": {
        "hidden_dim": whole(1),
        "chunks": whole(1),
        "rank": whole(1),
        "joint_dim": whole(1),
        "factors": whole(1),
        "attention_dim": whole(1),
        "sketch_dim": whole(2),
        "sketch_seed": whole(0),
        "product_dropout": number(0, below=1),
        "experts_per_modality": whole(1),
        "top_k": whole(2),
        "importance_weight": number(0),
        "load_weight": number(0),
        "kl_weight": number(0),
        "modulated": Rule("the name of an encoder (text)", lambda v: isinstance(v, str)),
        "probabilities": Rule(
            "a number above 0 for each encoder ({text: 2, image: 1, audio: 1})",
            lambda v: isinstance(v, dict) and all(is_number(p) and p > 0 for p in v.values()),
        ),
        "ffn_ratio": whole(1),
        "num_bottlenecks": whole(1),
        "num_latents": whole(1),
        "num_blocks": whole(1),
        "layers_per_block": whole(0),
        "memory_layers": whole(0),
        "fusion_layer": whole(0),
        "attention_dropout": number(0, below=1),
        "share_weights": switch(),
        "positions": switch(),
        "read": one_of("last", "mean"),
        "gate_init": Rule("a number", is_number),
    },
    "mmbert.fusion.stacking.": {"hidden_dim": whole(0)},
    "mmbert.fusion.adapter.": {
        "absent": one_of("learned", "zeros"),
        "project_to": whole(1),
    },
    "mmbert.tasks.": {
        "label_smoothing": number(0, below=1),
        "class_weights": either(one_of("balanced"), many(number(0))),
        "loss": one_of("mse", "l1", "huber"),
    },
    "mmbert.training.optim.": {
        "lr": positive(),
        "weight_decay": number(0),
        "betas": many(number(0, below=1), length=2),
        "eps": positive(),
        "l1": number(0),
        "fused": switch(),
        "warmup": Rule(
            "a whole number of steps (500) or a share of all steps below 1 (0.1)",
            lambda v: is_whole(v) and v >= 0 or isinstance(v, float) and 0 <= v < 1,
        ),
        "min_lr_ratio": number(0, at_most=1),
    },
    "mmbert.fusion.mag.": {
        "layer": whole(0),
        "beta": positive(),
        "words": one_of("attention", "pooled", "aligned"),
        "attention_dim": whole(1),
    },
    "mmbert.fusion.missing_aware_prompts.": {"prompts": whole(0), "prompt_layers": whole(0)},
    "mmbert.training.modality_balance.": {
        "alpha": number(0),
        "noise": switch(),
        "first_epoch": whole(0),
        "last_epoch": whole(0),
        "every_epochs": whole(1),
        "start": CHANCES,
        "end": CHANCES,
        "epochs": whole(1),
        "shape": one_of("linear", "cosine"),
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


def check(cfg: dict[Any, Any]) -> None:
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


def check_monitor(key: str, metric: str, node: dict[Any, Any]) -> None:
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


def nodes(cfg: dict[Any, Any], path: str = "") -> Iterator[tuple[str, dict[Any, Any]]]:
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
