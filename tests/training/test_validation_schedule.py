"""Whether a training reaches its first validation is known before it begins, as a count of batches says."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf

from mmbert.training.validation_schedule import ValidationSchedule, planned_schedule, validated_rows, why_no_validation


def validates(plan):
    """Batch by batch, as Lightning's loops go: is there a validation?"""
    epoch = total = steps = 0
    while not (plan.max_epochs >= 0 and epoch >= plan.max_epochs) and not 0 <= plan.max_steps <= steps and epoch < 99:
        for batch in range(1, int(plan.batches) + 1):
            total += 1
            last = batch == plan.batches
            steps += batch % plan.accumulate == 0 or last
            counted = total if plan.every_n_epochs is None else batch
            right_epoch = plan.every_n_epochs is None or (epoch + 1) % plan.every_n_epochs == 0
            if right_epoch and counted % plan.interval == 0 and plan.validates:
                return True
            if 0 <= plan.max_steps <= steps:
                break
        epoch += 1
    return False


def test_every_combination_is_as_a_count_of_batches_says():
    space = (
        [1, 3, 4],
        [1, 2, 3],
        [-1, 0, 1, 2, 3],
        [-1, 0, 1, 2, 3, 5],
        [None, 1, 2, 3],
        [1, 2, 3, 4, 5],
        [True, False],
    )
    seen = []
    for values in itertools.product(*space):
        plan = ValidationSchedule(*values)
        if plan.every_n_epochs is not None and plan.interval > plan.batches:
            assert "is more than" in why_no_validation(plan) or not plan.validates or 0 in values[2:4]
            continue
        seen.append(validates(plan))
        assert (why_no_validation(plan) is None) == seen[-1], plan
    assert {True, False} == set(seen)


def test_the_step_and_the_remedy_are_told():
    why = why_no_validation(ValidationSchedule(10, 2, 6, 2, 1, 10, True))
    assert why == (
        "trainer.max_steps=2 ends the training before its first validation, which comes in step 5 "
        "(trainer.val_check_interval=4 validates in time)"
    )
    assert why_no_validation(ValidationSchedule(10, 2, 6, 2, 1, 4, True)) is None
    assert "trainer.check_val_every_n_epoch=7" in why_no_validation(ValidationSchedule(10, 1, 6, -1, 7, 10, True))


def test_what_cannot_be_counted_is_not_refused():
    assert why_no_validation(ValidationSchedule(math.inf, 1, 6, 2, 1, math.inf, True)) is None
    assert why_no_validation(ValidationSchedule(10, 1, 6, 2, 1, None, True)) is None


@pytest.fixture
def data():
    rows = {"train": np.arange(17), "val": np.arange(17, 28)}
    return SimpleNamespace(rows=rows, batch_size=4, eval_batch_size=3)


def trainer(**options):
    base = {"devices": 1, "num_nodes": 1, "fast_dev_run": False, "overfit_batches": 0.0, "val_check_interval": None}
    base |= {"limit_train_batches": None, "limit_val_batches": None, "accumulate_grad_batches": 1, "max_epochs": 6}
    return OmegaConf.create(base | {"max_steps": -1, "check_val_every_n_epoch": 1, **options})


@pytest.mark.parametrize(
    ("options", "batches", "interval"),
    [
        ({}, 5, 5),  # 17 rows in fours
        ({"devices": 2}, 3, 3),
        ({"devices": [0, 1], "num_nodes": 2}, 2, 2),
        ({"limit_train_batches": 3}, 3, 3),
        ({"limit_train_batches": 0.5}, 2, 2),
        ({"val_check_interval": 0.4}, 5, 2),
        ({"val_check_interval": 7, "check_val_every_n_epoch": None}, 5, 7),
    ],
)
def test_a_config_is_counted_before_there_is_a_trainer(options, batches, interval, data):
    plan = planned_schedule(trainer(**options), data)
    assert (plan.batches, plan.interval, plan.validates) == (batches, interval, True)


@pytest.mark.parametrize(
    "options", [{"devices": "auto"}, {"devices": -1}, {"fast_dev_run": True}, {"overfit_batches": 3}]
)
def test_what_only_the_trainer_knows_is_left_to_it(options, data):
    assert planned_schedule(trainer(**options), data) is None


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 11),
        ({"limit_val_batches": 2}, 6),
        ({"limit_val_batches": 0.5}, 6),  # two of four batches
        ({"limit_val_batches": 2, "devices": 2}, 11),
        ({"fast_dev_run": True}, 3),
        ({"overfit_batches": 2}, 6),
    ],
)
def test_the_rows_that_are_validated(options, count, data):
    assert validated_rows(trainer(**options), data).tolist() == list(range(17, 17 + count))
