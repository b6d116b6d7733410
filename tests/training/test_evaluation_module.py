"""What is measured of a split is of all its samples, whatever the batches, as a calculation by hand gives it."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from mmbert.core.types import UNLABELLED
from mmbert.data.loading.samplers import LazyLoader
from mmbert.training.balance.uncertainty import UncertaintyBalance
from mmbert.training.evaluation_module import AUXILIARY, MEAN_LOSS
from mmbert.training.module import FusionModule
from three_tasks_model import module_of, part, samples

COVERS = ("stage_metrics",)


def measured(module, batches, monkeypatch):
    """``{"test/loss": number}`` and so on, as they would be logged."""
    shown = {}
    monkeypatch.setattr(module, "publish", lambda values, **options: shown.update(values))
    module.eval()
    table = module.begin_test("test")
    with torch.no_grad():
        for batch in batches:
            module.test_step(batch, 0)
        module.on_test_epoch_end()
    return {name: float(value) for name, value in shown.items()}, table


@pytest.mark.parametrize("cut", [1, 3, 8])
def test_losses_and_metrics_are_of_the_split_whatever_the_batches(monkeypatch, cut):
    whole = samples(answers=[True, False, False, True, True, True, False, True])
    module = module_of(UncertaintyBalance)
    torch.nn.init.constant_(module.balance.log_variances["answer"], 0.3)
    with torch.no_grad():
        output = module.eval()(whole)
    label, logits = whole.targets["answer"]["label"], output.outputs["answer"]["logits"]
    known = label != UNLABELLED
    losses = {
        "answer": -logits.log_softmax(1)[known].gather(1, label[known].unsqueeze(1)).mean(),
        **{
            name: (output.outputs[name]["value"] - whole.targets[name]["label"]).square().mean()
            for name in ("value", "other")
        },
    }
    own = output.fused.auxiliary_losses["size"]
    found, table = measured(module, [part(whole, 0, cut), part(whole, cut, 8)][: 1 if cut == 8 else 2], monkeypatch)
    assert found["test/answer/accuracy"] == pytest.approx(float((logits.argmax(1) == label)[known].float().mean()))
    for name, loss in losses.items():
        assert found[f"test/{name}/loss"] == pytest.approx(float(loss), rel=1e-5)
    assert found[f"test/{AUXILIARY}size"] == pytest.approx(float(own), rel=1e-5)
    plain = losses["answer"] + 0.5 * losses["value"] + losses["other"]
    assert found["test/loss_sum"] == pytest.approx(float(plain + own), rel=1e-5)
    assert found[f"test/{MEAN_LOSS}"] == pytest.approx(float(sum(losses.values())) / 3, rel=1e-5)
    assert abs(found["test/loss"] - found["test/loss_sum"]) > 1e-3  # that of the balance is another
    assert len(table.gather()) == 8


def test_of_a_task_without_labels_nothing_is_measured(monkeypatch):
    found, _ = measured(module_of(), [samples(answers=[False] * 8)], monkeypatch)
    assert not any(name.startswith("test/answer/") for name in found)
    assert found[f"test/{MEAN_LOSS}"] == pytest.approx(
        (found["test/value/loss"] + found["test/other/loss"]) / 2, rel=1e-5
    )


class Rows(Logger):
    """Keeps what it is given."""

    name, version = "rows", "0"

    def __init__(self):
        super().__init__()
        self.rows, self.saved = [], 0

    def log_hyperparams(self, *parts):
        pass

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, metrics))

    def save(self):
        self.saved += 1


class Sees(pl.Callback):
    """Keeps what callbacks can read, and when."""

    def __init__(self):
        self.sanity, self.validation, self.steps, self.bar = None, [], [], []

    def on_sanity_check_end(self, trainer, module):
        self.sanity = dict(trainer.callback_metrics)

    def on_validation_end(self, trainer, module):
        if not trainer.sanity_checking:
            self.validation.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    def on_train_batch_end(self, trainer, module, *args):
        self.steps.append(float(trainer.callback_metrics["train/loss"]))
        self.bar.append(dict(trainer.progress_bar_metrics))


def test_callbacks_and_loggers_get_the_same_numbers_at_the_right_time():
    whole, given, sees = samples(), Rows(), Sees()
    loader = LazyLoader(range(8), collate_fn=lambda places: part(whole, places[0], places[-1] + 1), batch_size=4)
    three = module_of()
    module = FusionModule(three.model, three.balance, three.make_optimizer)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        devices=1,
        logger=given,
        callbacks=[sees],
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader, loader)
    assert sees.sanity == {}  # weights that nobody has trained choose nothing
    validations = [(step, row) for step, row in given.rows if "val/loss" in row]
    assert [(step, row["epoch"]) for step, row in validations] == [(1, 0), (3, 1)]
    for (_, row), seen in zip(validations, sees.validation, strict=True):
        assert {name: seen[name] for name in row if name != "epoch"} == {n: v for n, v in row.items() if n != "epoch"}
    steps = [(step, row["train/loss"]) for step, row in given.rows if set(row) == {"train/loss", "epoch"}]
    # numbered as Lightning numbers what a step and its validation log: before the step is counted
    assert [loss for _, loss in steps] == sees.steps and [step for step, _ in steps] == [0, 1, 2, 3]
    assert all("train/loss" not in shown for shown in sees.bar)  # there is no bar
    assert given.saved >= 2
    measured = trainer.validate(module, loader, verbose=False)[0]
    assert measured["val/loss"] == pytest.approx(sees.validation[-1]["val/loss"], rel=1e-5)
