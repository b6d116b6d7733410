"""After the fit: an interruption is passed on, and the best checkpoint's weights are loaded and described."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from mmbert.runs.folder import RunFolder
from mmbert.training.callbacks.checkpoint_file import WholeCheckpoints
from mmbert.training.fit import fit, measure_splits, restore_best
from mmbert.training.monitor import Monitor
from mmbert.training.results import Results

MONITOR = Monitor("val/a/accuracy", "max")


class Module(torch.nn.Linear):
    """One weight; remembers the checkpoint that it was given."""

    def on_load_checkpoint(self, state):
        self.epoch = state["epoch"]


def test_an_interrupted_fit_is_no_finished_one(tmp_path):
    calls, last = [], tmp_path / "last.ckpt"
    torch.save({"mmbert": [{"batch_size": 8}, {"batch_size": 8}], "state_dict": {}, "epoch": 0, "global_step": 1}, last)
    strategy = SimpleNamespace(checkpoint_io=None)
    trainer = SimpleNamespace(fit=lambda *args, **options: calls.append(options), interrupted=False, strategy=strategy)
    trainer.world_size = 1
    data = SimpleNamespace(train_dataloader=lambda: "train", val_dataloader=lambda: "val", batch_size=8)
    training = SimpleNamespace(trainer=trainer, module="module")
    fit(training, data, None)
    assert calls == [{"ckpt_path": None, "weights_only": None}]
    trainer.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        fit(training, data, last)
    assert calls[1] == {"ckpt_path": last, "weights_only": True}
    assert data.batch_size == 16  # one process goes on in the steps of two


def test_the_best_weights_are_loaded(tmp_path):
    module, saver = Module(1, 1, bias=False), ModelCheckpoint()
    path = tmp_path / "checkpoints" / "best.ckpt"
    path.parent.mkdir()
    torch.save({"state_dict": {"weight": torch.tensor([[4.0]])}, "epoch": 2, "global_step": 7}, path)
    saver.best_model_path, saver.best_model_score = str(path), torch.tensor(0.75)
    trainer = SimpleNamespace(checkpoint_callback=saver, strategy=SimpleNamespace(checkpoint_io=WholeCheckpoints()))
    training = SimpleNamespace(trainer=trainer, module=module)
    known = {"monitor": "val/a/accuracy", "mode": "max"}
    best = {"path": "checkpoints/best.ckpt", "epoch": 2, "step": 7, "value": 0.75}
    assert restore_best(training, MONITOR, RunFolder(tmp_path)) == known | best
    assert module.weight.item() == 4 and module.epoch == 2


@pytest.mark.parametrize(("metrics", "value"), [({"val/a/accuracy": torch.tensor(0.5)}, 0.5), ({}, None)])
def test_without_a_checkpoint_the_last_weights_stay(tmp_path, metrics, value):
    module = Module(1, 1, bias=False)
    weight = module.weight.item()
    trainer = SimpleNamespace(checkpoint_callback=None, callback_metrics=metrics, current_epoch=3, global_step=12)
    facts = restore_best(SimpleNamespace(trainer=trainer, module=module), MONITOR, RunFolder(tmp_path))
    assert (facts["path"], facts["epoch"], facts["step"], facts["value"]) == (None, 2, 12, value)
    assert module.weight.item() == weight


def test_val_and_every_test_split_are_measured_once():
    gate = {"gate": np.array([[0.25, 0.75]])}
    shares = {name: SimpleNamespace(values=dict, modalities=["text", "image"]) for name in ("val", "test")}
    shares["test"].values = lambda: gate
    begun = []
    module = SimpleNamespace(
        notes={},
        begin_test=lambda split: begun.append(split) or SimpleNamespace(gather=lambda: split.upper()),
        shares=shares,
    )
    logged: list[Any] = []

    def test(m, dataloaders, verbose):
        assert trainer.loggers == []  # nothing is filed under the last step
        module.numbers = {f"{dataloaders}/a": 1}

    logger = SimpleNamespace(log_metrics=lambda metrics, step: logged.append((metrics, step)))
    trainer = SimpleNamespace(test=test, loggers=[logger])
    training = SimpleNamespace(trainer=trainer, module=module, epochs=SimpleNamespace(by_epoch=[{"epoch": 0}]))
    results = Results(["test"], {"epoch": 2, "step": 7})
    measure_splits(training, SimpleNamespace(test_splits=["test"], loader=lambda split: split), results)
    assert begun == ["val", "test"] and results.metrics == {"val/a": 1.0, "test/a": 1.0}
    assert results.predictions == {"val": "VAL", "test": "TEST"} and results.shares == {"test": gate}
    assert set(results.diagnostics) == {"test", "val_by_epoch"}
    assert logged == [({"test/a": 1.0, "epoch": 2}, 7)] and trainer.loggers == [logger]
