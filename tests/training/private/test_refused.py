"""What is refused says why and what to do instead; docs list all of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from torch import nn

from mmbert.core.errors import ConfigError
from mmbert.fusion.concat import ConcatFusion
from mmbert.tasks.base import Task
from mmbert.tasks.classification import Classification
from mmbert.tasks.matching import Matching
from mmbert.tasks.retrieval import Retrieval
from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.private.refused import (
    REFUSED_FUSIONS,
    REFUSED_OPTIONS,
    USUAL_CLIPPING,
    check_private,
    check_tasks,
    is_on,
    refuse_batch_norm,
)

DOCS = (Path(__file__).parents[3] / "docs" / "privacy.md").read_text()


def test_docs_list_what_is_refused_with_the_reasons() -> None:
    for name, (_, reason, _) in REFUSED_FUSIONS.items():
        assert f"`fusion={name}`" in DOCS and reason in DOCS
    for name, _, reason, _ in REFUSED_OPTIONS:
        assert f"`{name}` | {reason} |" in DOCS


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm1d(3), nn.BatchNorm2d(3), nn.InstanceNorm1d(3, track_running_stats=True)]
)
def test_statistics_of_a_batch_are_refused(layer: nn.Module) -> None:
    with pytest.raises(ConfigError, match="it normalises by statistics of a batch. Instead: fusion=concat"):
        refuse_batch_norm("fusion", nn.Sequential(nn.Linear(2, 3), layer), "fusion=concat")
    refuse_batch_norm("fusion", nn.Sequential(nn.LayerNorm(3), nn.GroupNorm(1, 3)), "fusion=concat")


def test_a_weight_is_on_where_it_is_not_zero() -> None:
    assert is_on({"a": 0.0, "b": 0.1}) and not is_on({"a": 0.0}) and not is_on(None)
    assert is_on(nn.Parameter(torch.tensor(0.5)))


class Parts(nn.Module):
    """What is checked of a model, with nothing in it that is refused."""

    def __init__(self, **tasks: Task) -> None:
        super().__init__()
        self.fusion = ConcatFusion({"text": 2}, 4)
        self.tasks = tasks

    def named_tasks(self) -> dict[str, Task]:
        return self.tasks

    def named_encoders(self) -> dict[str, Any]:
        return {}


#: A value of each option that is refused, as a command line gives it.
WORDS = {
    "trainer.accumulate_grad_batches": "2",
    "trainer.precision": "16-mixed",
    "trainer.devices": "2",
    "trainer.num_nodes": "2",
    "trainer.strategy": "ddp",
    "trainer.gradient_clip_val": "0.5",
    "trainer.gradient_clip_algorithm": "value",
    "trainer.overfit_batches": "0.1",
    "data.bucket_by_length": "true",
    "task_sampling": "sqrt",
    "balance_modalities": "ogm_ge",
    "optimizer.l1": "0.1",
    "compile": "true",
    "data.per_class": "4",
}


def fixed() -> FixedBalance:
    return FixedBalance({"kind": Classification(4, "kind", ["a", "b"])})


def composed(*words: str) -> DictConfig:
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        return compose("train", ["data=manifest", "data.path=no.csv", "privacy=dp", *words])


def test_the_options_of_a_plain_run_are_taken() -> None:
    cfg = composed()
    assert cfg.trainer.gradient_clip_val == USUAL_CLIPPING
    check_private(cfg, Parts(), fixed())
    check_private(composed("trainer.gradient_clip_val=null"), Parts(), fixed())


@pytest.mark.parametrize("name", [name for name, *_ in REFUSED_OPTIONS])
def test_each_option_is_refused_by_name_with_a_remedy_that_is_one(name: str) -> None:
    _, _, reason, remedy = next(row for row in REFUSED_OPTIONS if row[0] == name)
    with pytest.raises(ConfigError, match=rf"privacy=dp does not go with {re.escape(name)}.*Instead: ") as told:
        check_private(composed(f"{name}={WORDS[name]}"), Parts(), fixed())
    assert reason in str(told.value) and remedy in str(told.value)
    word = re.search(rf"{re.escape(name)}=\S+", remedy)
    if word is not None:
        check_private(composed(f"{name}={WORDS[name]}", word.group()), Parts(), fixed())


def test_balances_that_look_at_batches_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"balance \(Linear\): its weights follow .* Instead: balance=fixed"):
        check_private(composed(), Parts(), nn.Linear(1, 1))


@pytest.mark.parametrize(
    ("attribute", "value", "reason"),
    [
        ("compares_samples", True, "its loss compares the samples of a batch"),
        ("exchanges", True, "its loss compares the samples of a batch"),
        ("fits_head", True, "fitted to all training samples, without noise"),
        ("changes_inputs", ("text",), "it changes what encoders read"),
    ],
)
def test_tasks_of_several_samples_are_refused(attribute: str, value: Any, reason: str) -> None:
    task = Classification(4, "kind", ["a", "b"])
    check_tasks(Parts(mood=task))
    told = type("Told", (Classification,), {attribute: value})(4, "kind", ["a", "b"])
    with pytest.raises(ConfigError, match=rf"the task 'mood' \(Told\): .*{reason}.* Instead: tasks\.mood=null"):
        check_tasks(Parts(mood=told))


def test_the_tasks_that_docs_name_are_refused() -> None:
    dims = {"text": 4, "image": 4}
    with pytest.raises(ConfigError, match=r"'one' \(Retrieval\): its loss compares the samples of a batch"):
        check_tasks(Parts(one=Retrieval(4, dims)))
    with pytest.raises(ConfigError, match=r"'one' \(Matching\): it changes what encoders read"):
        check_tasks(Parts(one=Matching(4, dims)))
