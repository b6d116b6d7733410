"""A balance is refused with what it cannot be combined with, in a second and with a way out."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError
from mmbert.training.balance.compatible import check_balance, check_balance_of
from mmbert.training.balance.famo import FAMOBalance
from mmbert.training.balance.fixed import FixedBalance
from three_tasks_model import three_tasks

PLACE = "mmbert.training.balance."
BLENDING = {"_target_": "mmbert.training.modality_balance.gradient_blending.GradientBlending"}


@pytest.mark.parametrize(
    ("balance", "options", "message"),
    [
        ("aggregation.UPGradBalance", {"strategy": "fsdp2"}, "UPGradBalance .* trainer.strategy=fsdp2 does not allow"),
        ("gradnorm.GradNormBalance", {"strategy": "deepspeed_stage_3"}, "Use trainer=ddp"),
        ("famo.FAMOBalance", {"strategy": {"_target_": "pytorch_lightning.strategies.FSDPStrategy"}}, "FAMOBalance"),
        ("dwa.DWABalance", {"strategy": "fsdp2"}, None),
        ("fixed.FixedBalance", {"strategy": "fsdp2"}, None),
        ("aggregation.UPGradBalance", {"strategy": "ddp"}, None),
        ("aggregation.MGDABalance", {"blending": BLENDING}, "MGDABalance .*gradient_blending adds"),
        ("scalarization.STCHBalance", {"blending": BLENDING}, "STCHBalance .*gradient_blending adds"),
        ("scalarization.IMTLLBalance", {"blending": BLENDING}, None),
        ("dwa.DWABalance", {"blending": BLENDING}, None),
    ],
)
def test_combinations(balance, options, message):
    cfg = OmegaConf.create(
        {
            "balance": {"_target_": PLACE + balance},
            "trainer": {"strategy": options.get("strategy", "auto")},
            "balance_modalities": options.get("blending", {}),
        }
    )
    with nullcontext() if message is None else pytest.raises(ConfigError, match=message):
        check_balance(cfg)


def test_decisions_whose_losses_remember_are_measured_once():
    check_balance_of(FixedBalance(three_tasks()), SimpleNamespace(views=("text",)))
    check_balance_of(FAMOBalance(three_tasks()), SimpleNamespace(views=()))
    with pytest.raises(ConfigError, match="FAMOBalance measures each batch's losses twice, but SimpleNamespace joins"):
        check_balance_of(FAMOBalance(three_tasks()), SimpleNamespace(views=("text",)))
