"""What cannot be combined with weights that are shared out is told with a way out."""

import pytest
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError
from mmbert.training.sharding.compatible import NAME, check_sharding

OGM = {"_target_": "mmbert.training.modality_balance.ogm_ge.OGMGE"}


def config(strategy, **changed):
    plain = {"trainer": {"strategy": strategy}, "optimizer": {"l1": 0.0}, "compile": False, "balance_modalities": None}
    return OmegaConf.merge(plain, changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"trainer": {"precision": "16-mixed"}},
            "trainer.precision=16-mixed cannot .* Use trainer.precision=bf16-mixed",
        ),
        ({"optimizer": {"l1": 1e-4}}, "optimizer.l1=0.0001 cannot .* Set optimizer.l1=0, or use trainer=ddp"),
        ({"compile": True}, "compile=True cannot .* Set compile=false"),
        ({"balance_modalities": OGM}, "balance_modalities=.*OGMGE cannot .* Choose another balance_modalities"),
    ],
)
def test_refusals_are_of_this_strategy_alone(changed, message):
    with pytest.raises(ConfigError, match=message):
        check_sharding(config(NAME, **changed))
    check_sharding(config("ddp", **changed))


def test_usual_options_pass():
    check_sharding(config(NAME, trainer={"precision": "bf16-mixed"}, balance_modalities={"_target_": "x.Blending"}))
