"""Analyses of a config: none without a node or when inactive; what cannot be measured is refused beforehand."""

import pytest
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError
from mmbert.training import analyses
from mmbert.training.analyses import configured_analyses


class Checked:
    """An analysis that remembers what it was checked against."""

    def __init__(self, active, refuses=False):
        self.active, self.refuses, self.seen = active, refuses, None

    def check(self, model, data):
        self.seen = model, data
        if self.refuses:
            raise ConfigError("robustness.drop: no such modality")


@pytest.fixture(autouse=True)
def made_here(monkeypatch):
    monkeypatch.setattr(analyses, "make", lambda part: Checked(**part))


def test_only_an_active_analysis_is_checked_and_returned():
    assert configured_analyses(None, "model", "data") == []
    assert configured_analyses(OmegaConf.create({"active": False, "refuses": True}), "model", "data") == []
    (analysis,) = configured_analyses(OmegaConf.create({"active": True}), "model", "data")
    assert analysis.seen == ("model", "data")
    with pytest.raises(ConfigError, match=r"robustness.drop"):
        configured_analyses(OmegaConf.create({"active": True, "refuses": True}), "model", "data")
