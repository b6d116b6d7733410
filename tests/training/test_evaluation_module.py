"""What is measured of a split is of all its samples, whatever the batches, as a calculation by hand gives it."""

import pytest
import torch

from mmbert.core.types import UNLABELLED
from mmbert.training.balance.uncertainty import UncertaintyBalance
from mmbert.training.evaluation_module import AUXILIARY, MEAN_LOSS
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
