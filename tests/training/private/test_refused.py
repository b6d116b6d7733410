"""What is refused says why and what to do instead; docs list all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mmbert.core.errors import ConfigError
from mmbert.training.private.refused import REFUSED_FUSIONS, REFUSED_OPTIONS, is_on, refuse_batch_norm

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
