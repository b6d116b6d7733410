"""A run with DDP or FSDP2 and one, two or four processes ends with the numbers of one process.

Some encoders learn, some are frozen, and tasks read tokens as well as vectors; a batch of a process may lack every
label of a task. Steps have the same samples, and nothing random is in the network: weights differ by rounding alone.
"""

import json

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from killed_runs import killed_in_mid_epoch, started
from mmbert.model import MultimodalModel
from mmbert.runs.files import write_config
from mmbert.training.sharding.compatible import NAME
from mmbert.training.sharding.strategy import ShardedStrategy, sharded

pytestmark = pytest.mark.slow

OPTIONS = (
    # one that learns in part, one that is frozen and not stored, one that learns
    *("encoders.text.trainable_last_n=1", "encoders.image.frozen=true", "store.enabled=false"),
    *(
        "trainer.max_epochs=2",
        "fusion=cross_attention",
        "checkpoint.every_minutes=0.0000001",
        "fusion.dropout=0",
        "logger=csv",
        "optimizer.lr=1e-3",
    ),
    # Adam divides by sizes of gradients: where one is rounding alone, so would be the step
    "optimizer.eps=1e-3",
    *("callbacks.early_stopping.patience=9", "trainer.gradient_clip_val=0.5", "data.num_workers=0"),
    *(f"tasks.{name}=null" for name in ("seen", "heard", "operation", "properties", "value")),
    *("+task@tasks.tags=tagging", "tasks.tags.column=tags", "tasks.tags.unit=punctuation", "tasks.tags.dropout=0"),
    *("+task@tasks.place=extractive_qa", "tasks.place.column=span_start", "tasks.place.end_column=span_end"),
    *("tasks.place.dropout=0", "tasks.answer.dropout=0"),
    "encoders.text.config={hidden_dropout_prob:0,attention_probs_dropout_prob:0}",
)


def prepared(compose_tiny, folder, strategy, processes, *more):
    """A folder with the config of a run of 16 samples a step."""
    folder.mkdir(exist_ok=True)
    machine = (f"trainer.strategy={strategy}", f"trainer.devices={processes}", f"data.batch_size={16 // processes}")
    write_config(folder / "config.yaml", compose_tiny(*OPTIONS, *machine, *more))
    return folder


def finished(folder, *words):
    """The metrics of a run that is gone on with."""
    assert started(folder, *words).wait(timeout=300) == 0, (folder / "log.txt").read_text()
    found = json.loads((folder / "metrics.json").read_text())
    return {name: value for name, value in found.items() if "/" in name and isinstance(value, float)}


@pytest.fixture(scope="module")
def alone(compose_tiny, tmp_path_factory):
    """The folder and the metrics of one process."""
    folder = prepared(compose_tiny, tmp_path_factory.mktemp("alone"), "auto", 1)
    return folder, finished(folder)


DDP = "ddp_find_unused_parameters_true"


@pytest.mark.parametrize(("strategy", "processes"), [(DDP, 2), (DDP, 4), (NAME, 1), (NAME, 2), (NAME, 4)])
def test_the_numbers_are_those_of_one_process(compose_tiny, alone, tmp_path, strategy, processes):
    folder = prepared(compose_tiny, tmp_path, strategy, processes)
    assert_same_as(alone, folder, finished(folder))


def test_batch_normalisation_and_accumulated_steps_are_those_of_ddp(compose_tiny, tmp_path):
    """Batch normalisation sees a process's own batch, so that only another run with as many processes can be equal."""
    more = ("encoders.image.frozen=false", "trainer.accumulate_grad_batches=2", "trainer.max_epochs=1")
    folders = [prepared(compose_tiny, tmp_path / strategy, strategy, 2, *more) for strategy in (DDP, NAME)]
    first, other = ((folder, finished(folder)) for folder in folders)
    norms = [m for m in MultimodalModel.from_pretrained(first[0] / "model").modules() if hasattr(m, "running_mean")]
    assert norms and all(norm.weight.requires_grad for norm in norms)
    assert_same_as(first, *other)


def assert_same_as(alone, own, got):
    """Losses to 1e-4 of their size, weights to 2e-4."""
    folder, expected = alone
    assert got.keys() == expected.keys() and len(got) > 12
    for name in (name for name in expected if name.endswith("/loss")):
        assert got[name] == pytest.approx(expected[name], rel=1e-4), name
    first, other = (MultimodalModel.from_pretrained(place / "model").state_dict() for place in (folder, own))
    for name, tensor in first.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-3, atol=2e-4, msg=name)
    assert np.isfinite([*got.values()]).all()


@pytest.mark.parametrize(
    ("begun", "processes", "words"),
    [
        (NAME, 2, ("trainer.devices=1", "trainer.strategy=auto")),
        (NAME, 2, ("trainer.devices=4",)),
        (DDP, 2, ("trainer.devices=2", f"trainer.strategy={NAME}")),
    ],
)
def test_a_killed_run_goes_on_with_another_strategy_and_number(compose_tiny, alone, tmp_path, begun, processes, words):
    folder = prepared(compose_tiny, tmp_path, begun, processes)
    killed_in_mid_epoch(folder)
    assert_same_as(alone, folder, finished(folder, *words))


def test_its_name_makes_it():
    trainer = pl.Trainer(accelerator="cpu", strategy=NAME, devices=1, logger=False, enable_checkpointing=False)
    assert isinstance(sharded(trainer), ShardedStrategy)
    assert sharded(None) is None and sharded(pl.Trainer(accelerator="cpu", logger=False)) is None
