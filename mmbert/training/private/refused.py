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

#: Why no strategy that works inside an encoder is taken, and why no adapters are.
INJECTS = "gradients by sample through an encoder of transformers have not been proven equal to those one by one"
#: What to take instead of a strategy.
ELSE = "fusion=gmu, fusion=cross_attention or another that works on what encoders give"

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
    if fusion.injects_into is not None:
        raise private_refusal(
            f"{type(fusion).__name__}, which changes the encoder '{fusion.injects_into}' from within", INJECTS, ELSE
        )
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
    """Refuses encoders that are trained; the layer norm over ready features may be.

    Raises:
        ConfigError: says which, and how to freeze it.
    """
    for name, encoder in model.named_encoders().items():
        if not any(parameter.requires_grad for parameter in encoder.parameters()):
            continue
        if getattr(encoder, "init_args", {}).get("lora") is not None:
            raise private_refusal(
                f"the adapters of the encoder '{name}'", INJECTS, f"encoders.{name}.lora=null, frozen=true"
            )
        if not isinstance(encoder, FeatureEncoder):
            raise private_refusal(
                f"the encoder '{name}'",
                "it is trained: the noise grows with the number of weights, and a gradient of each for every sample "
                "must be held",
                f"encoders.{name}.frozen=true, with pretrained weights or those of encoders_from",
            )
        refuse_batch_norm(f"the encoder '{name}'", encoder, f"encoders.{name}.frozen=true")


def refuse_batch_norm(what: str, module: nn.Module, remedy: str) -> None:
    """Refuses statistics of a batch.

    Raises:
        ConfigError: a layer takes them, or keeps running ones.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, _NormBase) and (layer.track_running_stats or "Batch" in type(layer).__name__):
            raise private_refusal(
                f"{what}, layer {name} ({type(layer).__name__})", "it normalises by statistics of a batch", remedy
            )


def private_refusal(what: str, reason: str, remedy: str) -> ConfigError:
    """The error."""
    return ConfigError(f"privacy=dp does not go with {what}: {reason}. Instead: {remedy}; or privacy=none.")
