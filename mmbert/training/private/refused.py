"""What ``privacy=dp`` refuses before training, each with its reason and a remedy.

DP-SGD bounds what one sample adds to a step by clipping the gradient of that sample's own loss. What a step takes from
several samples at once (statistics of a batch, losses between samples, weights that depend on losses) has no such
bound, and is no part of what the accountant counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from mmbert.core.errors import ConfigError
from mmbert.encoders.base import Encoder
from mmbert.encoders.features import FeatureEncoder
from mmbert.fusion.base import Fusion
from mmbert.model import MultimodalModel
from mmbert.training.balance.fixed import FixedBalance

#: Fusions by ``fusion=NAME``: attributes that make them acceptable where all are None or 0, the reason, the remedy.
REFUSED_FUSIONS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "misa": (
        (),
        "its losses compare distributions over the samples of a batch",
        "there is no such model without them; fusion=concat or fusion=gmu are near",
    ),
    "contrastive": (
        ("temperature",),
        "its alignment loss takes the other samples of a batch as negatives",
        "fusion.align_weight=0",
    ),
    "mixture_of_experts": (
        ("loss_weights",),
        "its balancing losses are of how a batch spreads over the experts",
        "fusion.importance_weight=0 fusion.load_weight=0",
    ),
    "qmf": (
        (),
        "its ranking loss compares neighbours in a batch, and it keeps each row's losses of earlier steps",
        "fusion=late_weighted or fusion=tmc",
    ),
}

#: What ``trainer.gradient_clip_val`` is unless somebody sets it (conf/trainer/auto.yaml).
USUAL_CLIPPING = 1.0

#: Options of the config: dotted name, what it may be, the reason.
REFUSED_OPTIONS: tuple[tuple[str, Callable[[Any], bool], str, str], ...] = (
    (
        "trainer.accumulate_grad_batches",
        lambda v: v in (None, 1),
        "each step is one Poisson batch, and the accountant counts steps",
        "a larger data.batch_size has the same effect",
    ),
    (
        "trainer.precision",
        lambda v: str(v) in ("32-true", "32", "64-true", "64", "None"),
        "loss scaling skips steps, and norms in half precision are not exact enough to bound a sample",
        "trainer.precision=32-true",
    ),
    (
        "trainer.devices",
        lambda v: v in (1, "1", None) or isinstance(v, list) and len(v) == 1,
        "noise and Poisson batches are of one process",
        "trainer.devices=1",
    ),
    (
        "trainer.num_nodes",
        lambda v: v in (1, None),
        "noise and Poisson batches are of one process",
        "trainer.num_nodes=1",
    ),
    (
        "trainer.strategy",
        lambda v: v in ("auto", None),
        "noise and Poisson batches are of one process",
        "trainer.strategy=auto",
    ),
    (
        "trainer.gradient_clip_val",
        lambda v: v in (None, USUAL_CLIPPING),
        "it clips the gradient of a batch, and here that of each sample is clipped; it would have no effect",
        "privacy.max_grad_norm, and trainer.gradient_clip_val=null",
    ),
    (
        "trainer.gradient_clip_algorithm",
        lambda v: v in (None, "norm"),
        "samples are clipped by the norm over all parameters, from which the noise follows",
        "trainer.gradient_clip_algorithm=norm",
    ),
    (
        "trainer.overfit_batches",
        lambda v: not v,
        "it replaces the Poisson batches by fixed ones",
        "trainer.overfit_batches=0",
    ),
    (
        "data.bucket_by_length",
        lambda v: not v,
        "batches of like length are no Poisson batches",
        "data.bucket_by_length=false",
    ),
    (
        "task_sampling",
        lambda v: v is None,
        "it draws some samples more often, so that their rate is not the accountant's",
        "task_sampling=null",
    ),
    (
        "balance_modalities",
        lambda v: not v,
        "it changes gradients by what it measures over batches",
        "balance_modalities=none",
    ),
    (
        "optimizer.l1",
        lambda v: not v,
        "the penalty is added to the loss of a batch, not of a sample",
        "optimizer.l1=0 and optimizer.weight_decay",
    ),
    ("compile", lambda v: not v, "per-sample gradients are taken of the model as it is", "compile=false"),
    (
        "data.per_class",
        lambda v: v is None,
        "which samples few-shot training draws depends on the others",
        "data.per_class=null",
    ),
)


def check_private(cfg: DictConfig, model: MultimodalModel, balance: nn.Module) -> None:
    """Refuses what DP-SGD does not cover.

    Raises:
        ConfigError: names the part, the reason and a remedy.
    """
    for name, allowed, reason, remedy in REFUSED_OPTIONS:
        node: Any = cfg
        for key in name.split("."):
            node = node.get(key) if isinstance(node, DictConfig) else None
        if isinstance(node, DictConfig):
            node = dict(node)
        if not allowed(node):
            shown = "" if isinstance(node, dict) else f"={node}"
            raise private_refusal(f"{name}{shown}", reason, remedy)
    if type(balance) is not FixedBalance:
        raise private_refusal(
            f"balance ({type(balance).__name__})",
            "its weights follow from losses or gradients of whole batches",
            "balance=fixed, with tasks.NAME.weight",
        )
    check_tasks(model)
    check_private_fusion(model.fusion)
    check_encoders(model)


def check_private_fusion(fusion: Fusion) -> None:
    """Refuses a fusion, or one within another, whose training is not a sum over samples.

    Raises:
        ConfigError: says why.
    """
    for module in fusion.modules():
        name = type(module).__module__.rpartition(".")[2]
        if (
            not isinstance(module, Fusion)
            or not type(module).__module__.startswith("mmbert.")
            or name not in REFUSED_FUSIONS
        ):
            continue
        unless, reason, remedy = REFUSED_FUSIONS[name]
        if not unless or any(is_on(getattr(module, attribute)) for attribute in unless):
            raise private_refusal(f"fusion={name}", reason, remedy)
    refuse_batch_norm("fusion", fusion, "another fusion")


def is_on(value: Any) -> bool:
    """Whether a weight, or one of several by name, has an effect."""
    return any(map(is_on, value.values())) if isinstance(value, Mapping) else value is not None and bool(value)


def check_tasks(model: MultimodalModel) -> None:
    """Refuses tasks whose loss or head takes several samples.

    Raises:
        ConfigError: says which, and why.
    """
    for name, task in model.named_tasks().items():
        what = f"the task '{name}' ({type(task).__name__})"
        if task.compares_samples or task.exchanges:
            raise private_refusal(what, "its loss compares the samples of a batch", f"tasks.{name}=null")
        if task.fits_head:
            raise private_refusal(
                what, "a part of its head is fitted to all training samples, without noise", f"tasks.{name}=null"
            )
        if task.changes_inputs:
            raise private_refusal(
                what,
                "it changes what encoders read, which then must be trained or run in every step",
                f"tasks.{name}=null",
            )
        refuse_batch_norm(what, task, f"tasks.{name}=null")


def check_encoders(model: MultimodalModel) -> None:
    """Refuses encoders whose own weights are trained; low-rank adapters and the norm over ready features may be.

    Raises:
        ConfigError: says which, and how to freeze it.
    """
    for name, encoder in model.named_encoders().items():
        if not any(parameter.requires_grad for parameter in encoder.parameters()):
            continue
        if not isinstance(encoder, FeatureEncoder) and not trains_adapters_alone(encoder):
            raise private_refusal(
                f"the encoder '{name}'",
                "it is trained: the noise grows with the number of weights, and a gradient of each for every sample "
                "must be held",
                f"encoders.{name}.frozen=true, with pretrained weights or those of encoders_from; or low-rank "
                f"adapters, encoders.{name}.lora={{r:8}}",
            )
        refuse_batch_norm(f"the encoder '{name}'", encoder, f"encoders.{name}.frozen=true", fixed_may_stay=True)


def trains_adapters_alone(encoder: Encoder) -> bool:
    """Whether all that is trained of an encoder are the low-rank adapters of its option ``lora``."""
    trained = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    return encoder.init_args.get("lora") is not None and all("lora_" in name for name in trained)


def refuse_batch_norm(what: str, module: nn.Module, remedy: str, fixed_may_stay: bool = False) -> None:
    """Refuses statistics of a batch.

    Args:
        what: is checked, in words.
        module: itself.
        remedy: what to do instead.
        fixed_may_stay: layers are taken that stay in evaluation mode while the rest is trained, with the statistics
            that they were pretrained with.

    Raises:
        ConfigError: a layer takes them, or keeps running ones.
    """
    fixed = fixed_in_training(module) if fixed_may_stay else set()
    for name, layer in module.named_modules():
        if not isinstance(layer, _NormBase) or layer in fixed:
            continue
        if layer.track_running_stats or "Batch" in type(layer).__name__:
            raise private_refusal(
                f"{what}, layer {name} ({type(layer).__name__})", "it normalises by statistics of a batch", remedy
            )


def fixed_in_training(module: nn.Module) -> set[nn.Module]:
    """The parts that stay in evaluation mode when the module is put into training mode; modes are left as they were."""
    before = {part: part.training for part in module.modules()}
    module.train()
    fixed = {part for part in before if not part.training}
    for part, mode in before.items():
        part.training = mode
    return fixed


def private_refusal(what: str, reason: str, remedy: str) -> ConfigError:
    """The error."""
    return ConfigError(f"privacy=dp does not go with {what}: {reason}. Instead: {remedy}; or privacy=none.")
