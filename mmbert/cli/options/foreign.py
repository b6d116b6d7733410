"""What is allowed for options that no class of ours declares: Lightning's, and parts of the config without a class.

Everything else has its range beside the argument (``mmbert/core/ranges.py``).
"""

from __future__ import annotations

import re
from typing import Any

from mmbert.core.privacy import MaskPatterns
from mmbert.core.ranges import AnyOf, CountOrShare, Custom, Many, OneOf, Range, Rule, String, Switch, is_integer

STRATEGIES = (
    *("auto", "ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false", "ddp_spawn", "ddp_fork"),
    *("ddp_notebook", "ddp_spawn_find_unused_parameters_true", "ddp_fork_find_unused_parameters_true", "fsdp2"),
    *("deepspeed", "deepspeed_stage_1", "deepspeed_stage_2", "deepspeed_stage_3"),
)
PRECISIONS = (
    *("32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true", "32", "16", "64", "bf16"),
    *("transformer-engine", "transformer-engine-float16", 32, 16, 64),
)


def names_devices(value: Any) -> bool:
    """Whether Lightning's ``devices`` may have a value: 2, [0, 1], "0,1", -1 or auto."""
    if isinstance(value, list):
        return bool(value) and all(is_integer(number) and number >= 0 for number in value)
    if isinstance(value, str):
        return re.fullmatch(r"auto|-1|[1-9]\d*|\d+(,\d+)+,?", value) is not None
    return is_integer(value) and (value >= 1 or value == -1)


def names_runs(value: Any) -> bool:
    """Whether a value is a folder, or a dictionary of folders."""
    return all(isinstance(path, str) and path for path in (value.values() if isinstance(value, dict) else [value]))


DEVICES = Custom("a number of devices (1), a list of device numbers ([0,1]) or auto", names_devices)
BATCHES = CountOrShare("a number of batches (10) or a share of them (0.1)")
WHOLE = Range(0, whole=True)
COUNT = Range(1, whole=True)
#: What a metric is compared with: an integer beyond 64 bits is none that torch could take.
MODERATE = Range(-1e18, 1e18)
SHORT_NAME = Custom(
    "a file's name of at most 200 bytes",
    lambda value: isinstance(value, str) and 0 < len(value.encode("utf-8", "surrogatepass")) <= 200,
)

#: By dotted path.
RULES_BY_PATH: dict[str, Rule] = {
    "seed": Range(0, 2**32 - 1, whole=True),
    "compile": Switch(),
    "task_sampling": OneOf("proportional", "sqrt", "balanced"),
    "plots": Switch(),
    "store.enabled": Switch(),
    "store.dtype": OneOf("float32", "float16", "bfloat16"),
    "store.max_gib": Range(above=0),
    "study.resume": Switch(),
    "study.trial": WHOLE,
    "study.metric": Custom("a metric (test/answer/accuracy)", lambda value: isinstance(value, str) and "/" in value),
    "study.axes": Many(String("a name such as fusion")),
    "checkpoint.every_minutes": Range(above=0),
    "checkpoint.per_task": Switch(),
    "privacy.samples": Switch(),
    "privacy.mask": MaskPatterns(),
    "privacy.epsilon": Range(above=0),
    "privacy.delta": Range(above=0, below=1),
    "privacy.max_grad_norm": Range(above=0),
    "privacy.accountant": OneOf("prv", "rdp"),
    "privacy.secure": Switch(),
    "encoders_from": Custom(
        "a run's folder, or one for each encoder ({image: outputs/A, audio: outputs/B}),", names_runs
    ),
}

#: By the beginning of the class's path, then by the option's name.
FOREIGN_CLASSES: dict[str, dict[str, Rule]] = {
    "pytorch_lightning.Trainer": {
        "accelerator": OneOf("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
        "strategy": OneOf(*STRATEGIES),
        "devices": DEVICES,
        "num_nodes": COUNT,
        "precision": OneOf(*PRECISIONS),
        "max_epochs": Range(-1, whole=True),
        "min_epochs": WHOLE,
        "max_steps": Range(-1, whole=True),
        "min_steps": WHOLE,
        "accumulate_grad_batches": COUNT,
        "gradient_clip_val": Range(0),
        "gradient_clip_algorithm": OneOf("norm", "value"),
        "check_val_every_n_epoch": COUNT,
        "num_sanity_val_steps": Range(-1, whole=True),
        "limit_train_batches": BATCHES,
        "limit_val_batches": BATCHES,
        "limit_test_batches": BATCHES,
        "limit_predict_batches": BATCHES,
        "overfit_batches": BATCHES,
        "fast_dev_run": AnyOf(Switch(), WHOLE),
        "reload_dataloaders_every_n_epochs": WHOLE,
        "deterministic": OneOf(True, False, "warn"),
        "log_every_n_steps": WHOLE,
        "profiler": OneOf("simple", "advanced", "pytorch"),
    },
    "pytorch_lightning.callbacks.": {
        "patience": WHOLE,
        "min_delta": MODERATE,
        "stopping_threshold": MODERATE,
        "divergence_threshold": MODERATE,
        "filename": SHORT_NAME,
        "mode": OneOf("max", "min"),
        "train_time_interval": Custom("null (minutes are checkpoint.every_minutes)", lambda value: False),
        "save_top_k": Range(-1, whole=True),
        "save_last": OneOf(True, False, "link"),
        "every_n_epochs": WHOLE,
        "every_n_train_steps": WHOLE,
    },
}
