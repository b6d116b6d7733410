"""What cannot be combined with weights that are shared out, said before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmbert.core.errors import ConfigError

#: The name of the strategy in the config: ``trainer.strategy``.
NAME = "fsdp2"
#: Options by dotted name, whether a value is refused, why, and what to do.
REFUSED: tuple[tuple[str, Callable[[Any], bool], str, str], ...] = (
    ("trainer.precision", lambda v: str(v) in ("16-mixed", "16"), "it scales losses by what whole gradients hold")
    + ("Use trainer.precision=bf16-mixed",),
    ("optimizer.l1", bool, "the penalty adds up whole weights", "Set optimizer.l1=0"),
    ("compile", bool, "the compiled model would leave out the exchange of weights", "Set compile=false"),
    ("balance_modalities._target_", lambda v: str(v).endswith(".OGMGE"), "it changes whole gradients")
    + ("Choose another balance_modalities",),
)


def check_sharding(cfg: DictConfig) -> None:
    """Refuses options with which a model cannot be trained that processes share out.

    Raises:
        ConfigError: names the first, and what to use instead.
    """
    if str(cfg.trainer.get("strategy")) != NAME:
        return
    for option, refused, why, instead in REFUSED:
        value = OmegaConf.select(cfg, option)
        if value is not None and refused(value):
            shown = option.removesuffix("._target_")
            raise ConfigError(
                f"{shown}={value} cannot be combined with trainer.strategy={NAME}, by which each process holds a part "
                f"of the weights and gradients: {why}. {instead}, or use trainer=ddp."
            )
