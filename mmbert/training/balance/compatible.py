"""With what a balance of tasks cannot be combined, said before anything heavy is loaded."""

from __future__ import annotations

from omegaconf import DictConfig

from mmbert.core.errors import ConfigError
from mmbert.core.init_args import find_class
from mmbert.fusion.base import Fusion
from mmbert.training.balance.base import Balance
from mmbert.training.modality_balance.gradient_blending import GradientBlending

#: Words in the names of strategies by which no process holds the whole model.
SHARDED = ("fsdp", "deepspeed", "model_parallel", "modelparallel")


def check_balance(cfg: DictConfig) -> None:
    """Refuses a balance with options of the run under which it cannot do what it says.

    Raises:
        ConfigError: says which, and what to use instead.
    """
    found = find_class(str(cfg.balance._target_))
    if not (isinstance(found, type) and issubclass(found, Balance)):
        return
    name = found.__name__
    strategy = str(cfg.trainer.get("strategy"))
    if (found.at_features or found.measures_again) and any(word in strategy.lower() for word in SHARDED):
        raise ConfigError(
            f"{name} runs parts of the model by themselves, which trainer.strategy={strategy} does not allow: no "
            "process has all of its parameters. Use trainer=ddp, or balance=fixed, uncertainty, imtl_l or dwa."
        )
    blending = cfg.get("balance_modalities") or {}
    if not found.blends and blending and find_class(str(blending.get("_target_"))) is GradientBlending:
        raise ConfigError(
            f"{name} weighs the tasks' losses on all modalities together, but balance_modalities=gradient_blending "
            "adds those on each alone, of which it knows nothing. Use balance=fixed, uncertainty, imtl_l or dwa."
        )


def check_balance_of(balance: object, fusion: Fusion) -> None:
    """Refuses a balance that measures losses again where decisions have losses that remember what they have seen.

    Raises:
        ConfigError: names another balance.
    """
    if isinstance(balance, Balance) and balance.measures_again and fusion.views:
        raise ConfigError(
            f"{type(balance).__name__} measures each batch's losses twice, but {type(fusion).__name__} joins "
            "decisions, whose losses are of the first time alone. Use balance=dwa or balance=gradnorm with it."
        )
