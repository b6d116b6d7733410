"""What a run does for ``privacy=dp`` besides training: checks, Poisson batches, and what is said and stored of ε."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig

from mmbert.training.build import Parts
from mmbert.training.private.budget import PrivateOptions, check_delta
from mmbert.training.private.module import PrivateModule
from mmbert.training.private.refused import check_private


def prepare_private(cfg: DictConfig, parts: Parts) -> None:
    """Checks the run's parts, and lets its data draw Poisson batches; nothing without ``privacy=dp``.

    Raises:
        ConfigError: a part does not go with DP-SGD, or δ is too large.
    """
    options = PrivateOptions.of(cfg.get("privacy"))
    if options is None:
        return
    check_private(cfg, parts.model, parts.balance)
    check_delta(options, len(parts.data.rows["train"]))
    parts.data.draw_poisson(options.secure)


def private_facts(module: pl.LightningModule) -> dict[str, Any]:
    """``{"privacy": what was spent}`` of a private run, for its metrics.json; empty of others."""
    return {"privacy": module.private_facts()} if isinstance(module, PrivateModule) else {}


def spent_line(facts: Mapping[str, Any]) -> str:
    """What a run prints at its end."""
    return (
        f"privacy   ε = {facts['epsilon']:.4g} spent of {facts['target_epsilon']:g}, at δ = {facts['delta']:.3g}, in "
        f"{facts['steps']:,} of {facts['planned_steps']:,} steps ({facts['accountant']}); of the weights, "
        "with regard to the train split alone"
    )
