"""A run that was interrupted ends as one that was not: what balances remember, draws by task, checkpoints of tasks."""

import sys

import pytest
from omegaconf import open_dict
from pytorch_lightning.callbacks import Callback

from mmbert.core.errors import ConfigError
from mmbert.training.run import run

pytestmark = pytest.mark.slow

OPTIONS = (
    *("trainer.max_epochs=3", "data.batch_size=16", "checkpoint.every_minutes=0.0000001", "plots=false"),
    *("fusion=mean", "fusion.dropout=0.3", "callbacks.early_stopping.patience=9", "checkpoint.per_task=true"),
)


class Lost(Callback):
    """Fails before a step, as a machine does."""

    def on_train_batch_start(self, trainer, module, batch, index):
        if trainer.global_step == 7:
            raise RuntimeError("the machine is gone")


@pytest.mark.parametrize("balance", ["famo", "gradnorm", "dwa", "gradvac"])
def test_a_resumed_run_ends_as_the_whole_one(compose_tiny, tmp_path, monkeypatch, what_is_left, balance):
    monkeypatch.setitem(sys.modules, __name__, sys.modules[Lost.__module__])
    cfg = compose_tiny(*OPTIONS, f"balance={balance}", "task_sampling=sqrt")
    (tmp_path / "whole").mkdir()
    run(cfg, tmp_path / "whole")
    broken = cfg.copy()
    with open_dict(broken):
        broken.callbacks.gone = {"_target_": f"{__name__}.Lost"}
    (tmp_path / "killed").mkdir()
    with pytest.raises(RuntimeError, match="the machine is gone"):
        run(broken, tmp_path / "killed")
    if balance == "dwa":
        changed = cfg.copy()
        changed.checkpoint.per_task = False
        with pytest.raises(ConfigError, match="checkpoint.per_task is False, but the run was begun with True"):
            run(changed, tmp_path / "killed", resume=True)
    run(cfg, tmp_path / "killed", resume=True)
    whole, resumed = what_is_left(tmp_path / "whole"), what_is_left(tmp_path / "killed")
    for part in whole:
        assert resumed[part] == whole[part], part
