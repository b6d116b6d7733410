"""What of a config from elsewhere is used without consent: listed classes, and nothing that writes elsewhere.

A run's ``config.yaml`` names classes, which are imported and called, and places, which are written to. Whoever passes
a run's folder on has written both. ``check_untrusted`` lets through what stands in the lists below and refuses the
rest, before anything is imported; ``trust_custom_code=true`` is the consent to all of it (docs/trust.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from mmbert.core.errors import ConfigError, InputError
from mmbert.core.moved import current_path
from mmbert.runs.folder import RunFolder

if TYPE_CHECKING:
    from argparse import Namespace

#: By place in the config: the part of the package that a class must lie in, and the class that it must derive from.
PACKAGE_CLASSES = {
    "data": ("mmbert.data.", "mmbert.data.datamodule.MultimodalData"),
    "augment": ("mmbert.data.augment.", "mmbert.data.augment.augmentation.Augmentation"),
    "encoders.*": ("mmbert.encoders.", "mmbert.encoders.base.Encoder"),
    "fusion": ("mmbert.fusion.", "mmbert.fusion.base.Fusion"),
    "fusion.module": ("mmbert.fusion.", "torch.nn.Module"),
    "tasks.*": ("mmbert.tasks.", "mmbert.tasks.base.Task"),
    "balance": ("mmbert.training.balance.", "torch.nn.Module"),
    "balance_modalities": ("mmbert.training.modality_balance.", "pytorch_lightning.Callback"),
    "optimizer": ("mmbert.training.optim.", "mmbert.training.optim.AdamWOptimizer"),
    "logger": ("mmbert.training.loggers.", "mmbert.training.loggers.base.RunLogger"),
    "robustness": ("mmbert.analysis.", "mmbert.analysis.robustness.Robustness"),
}
LIGHTNING_CALLBACKS = (
    *("DeviceStatsMonitor", "EarlyStopping", "GradientAccumulationScheduler", "LearningRateMonitor"),
    *("ModelCheckpoint", "ModelSummary", "RichModelSummary", "RichProgressBar", "StochasticWeightAveraging"),
    *("TQDMProgressBar", "Timer"),
)
#: By place in the config: the very classes that are allowed there, of the package's dependencies and of the package.
LISTED_CLASSES = {
    "trainer": ("pytorch_lightning.Trainer",),
    "callbacks.*": tuple(f"pytorch_lightning.callbacks.{name}" for name in LIGHTNING_CALLBACKS),
    "scheduler": ("mmbert.training.optim.WarmupCosine", "mmbert.training.optim.WarmupConstant"),
}
#: Options by which something is written, or sent, outside the run's folder.
WRITES_ELSEWHERE = ("callbacks.*.dirpath", "logger.entity", "logger.tracking_uri", "trainer.model_registry")
#: The word by which a user consents to all that is not listed.
CONSENT = "trust_custom_code=true"
#: Options that name a file to be written, which must be a plain name.
FILE_NAMES = ("callbacks.*.filename",)
#: What Hydra takes for an order, beside ``_target_``: none is needed for the classes above.
HYDRA_ORDERS = ("_args_", "_partial_")


def check_untrusted(config: Mapping[str, Any], origin: str) -> None:
    """Refuses whatever a config would have called, imported or written outside its run's folder.

    Args:
        config: plain dictionaries, or a part of a run's config such as ``{"data": …}``.
        origin: the file it is from, for the message.

    Raises:
        ConfigError: names the option, and how to consent.
    """
    targets = {}
    for path, value in config_values(config):
        place, _, name = path.rpartition(".")
        wrong = None
        if name == "_target_":
            targets[place] = str(value)
            wrong = None if allowed_by_name(place, value) else f"{value} is no class that mmbert may use there"
        elif name in HYDRA_ORDERS:
            wrong = "no config that mmbert wrote for its own classes has it"
        elif value is not None and path_matches(path, WRITES_ELSEWHERE):
            wrong = "it writes or sends something outside the run's folder"
        elif isinstance(value, str) and path_matches(path, FILE_NAMES) and os.path.basename(value) != value:
            wrong = "it leaves the run's folder"
        elif isinstance(value, str) and "${" in value:  # Hydra resolves text once more when it builds a part
            wrong = "a run's config is written resolved, so nothing in it is left to be looked up"
        if wrong:
            raise untrusted(path, value, wrong, origin)
    for place, target in targets.items():  # the names are of the package: only now is it imported
        if not derives_as_wanted(place, target):
            raise untrusted(f"{place}._target_", target, "it is no class of the kind that belongs there", origin)


def config_values(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its dotted path, of dictionaries and lists too, the outermost first."""
    pairs = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        inner = f"{path}.{key}" if path else str(key)
        yield inner, value
        yield from config_values(value, inner)


def path_matches(path: str, patterns: Iterator[str] | tuple[str, ...]) -> bool:
    """Whether a dotted path is one of some, whose ``*`` stands for one name."""
    return any(fnmatchcase(path, pattern) and path.count(".") == pattern.count(".") for pattern in patterns)


def allowed_by_name(place: str, target: object) -> bool:
    """Whether the lists allow a class at a place of the config, as far as its name shows."""
    if not isinstance(target, str):
        return False
    path = current_path(target)
    listed = [paths for pattern, paths in LISTED_CLASSES.items() if path_matches(place, (pattern,))]
    package = [prefix for pattern, (prefix, _) in PACKAGE_CLASSES.items() if path_matches(place, (pattern,))]
    return any(path in paths for paths in listed) or any(path.startswith(prefix) for prefix in package)


def derives_as_wanted(place: str, target: str) -> bool:
    """Whether a class of the package, which may be imported, is of the kind that its place in the config wants."""
    from mmbert.core.init_args import find_class, package_class

    bases = [base for pattern, (_, base) in PACKAGE_CLASSES.items() if path_matches(place, (pattern,))]
    try:
        return all(package_class(target, find_class(base)) is not None for base in bases)
    except InputError:
        return False


def untrusted(path: str, value: object, wrong: str, origin: str) -> ConfigError:
    """The error for an option that is not used without consent."""
    return ConfigError(
        f"{origin}: {path}={value!s:.200}: {wrong}. The run's folder is not one that you began on this machine, or its "
        f"config was changed since: it may run code and write files. If you trust whoever wrote it, add "
        f"{CONSENT}"
    )


def refuse_pickle(args: Namespace) -> None:
    """Refuses Hydra's rerun of a job from its pickle, which runs any code in it, unless the user consents.

    Raises:
        ConfigError: says how to run the job otherwise.
    """
    if CONSENT not in args.overrides:
        job = RunFolder("").job.name
        raise ConfigError(
            f"--experimental-rerun {args.experimental_rerun}: this is a pickle, which runs any code that is in it. "
            f"The command in the run's {job} does the same without. If you trust whoever wrote it: {CONSENT}"
        )
