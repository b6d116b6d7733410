"""The base of methods that balance modalities changes nothing by itself."""

import torch

from mmbert.core.types import Batch
from mmbert.training.modality_balance.base import ModalityBalance


def test_the_base_returns_the_joint_loss_and_weighs_keeps_and_logs_nothing():
    method, joint = ModalityBalance(seed=3), torch.tensor(1.5, requires_grad=True)
    batch = Batch({}, {}, torch.arange(2))
    assert method.trained_loss(None, batch, None, joint) is joint and method.seed == 3
    assert method.counts({}, batch) == {} and method.state_dict() == {}
    means = {"val/loss": torch.tensor(2.0)}
    method.validated(None, batch, None)
    method.validation_ended(means)
    method.epoch_ended(means)
    assert means == {"val/loss": 2.0}
