"""A tiny sweep whose jobs note what they see of the machine."""

import json
import sys
from pathlib import Path

import pytest

from spied_sweeps import SPY


@pytest.fixture
def sweep(here, train, tiny_words, monkeypatch):
    """``sweep("hydra/launcher=slots", ...)``: how a sweep over seeds ended, and what its jobs saw."""
    (here / "spying.py").write_text(SPY)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    words = [word for word in tiny_words if not word.startswith("hydra.run.dir")]

    def go(*more):
        ended = train("-m", "+callbacks.spy._target_=spying.Spy", "hydra.sweep.dir=sweep", *more, base=words)
        seen = {path.parent.name: json.loads(path.read_text()) for path in here.glob("sweep/*/seen.json")}
        return ended, seen

    yield go
    sys.modules.pop("spying", None)
