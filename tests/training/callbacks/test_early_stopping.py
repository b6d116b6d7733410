"""A metric without a value is no improvement and no divergence; a loss that is no number still ends the training."""

import math

import pytest
from pytorch_lightning.callbacks import EarlyStopping as Lightnings
from torch import tensor

from mmbert.training.callbacks.early_stopping import EarlyStopping


def stops(monitor, values, **options):
    """After which of the values training ends, from 1; None = after none."""
    callback = EarlyStopping(monitor=monitor, mode="max", patience=2, **options)
    for number, value in enumerate(values, 1):
        if callback._evaluate_stopping_criteria(tensor(value))[0]:
            return number
    return None


@pytest.mark.parametrize(
    ("monitor", "values", "end"),
    [
        ("val/x/pearson", [math.nan, 0.1, 0.2], None),
        ("val/x/pearson", [math.nan, math.nan], 2),  # patience: two validations without a new best
        ("val/x/pearson", [0.1, math.nan, 0.2, math.nan, math.nan], 5),
        ("val/x/pearson", [math.inf], 1),
        ("val/x/loss", [0.1, math.nan], 2),
        ("val/loss", [math.nan], 1),
        ("val/mean_loss", [math.nan], 1),
    ],
)
def test_what_ends_a_training(monitor, values, end):
    assert stops(monitor, values) == end


def test_checkpoints_of_lightnings_own_go_on_with_ours():
    options = {"monitor": "val/x/accuracy", "mode": "max"}
    assert EarlyStopping(**options).state_key == Lightnings(**options).state_key
