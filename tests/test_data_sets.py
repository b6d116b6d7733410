"""Published data sets: each recipe has its config, its card says what papers compare by, and the page says the same."""

import json
import pickle
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from mmbert.data.sets.base import PreparedData

ROOT = Path(__file__).parents[1]


def recipes():
    found = {}
    for path in sorted((ROOT / "conf" / "data").glob("*.yaml")):
        module, _, name = re.search(r"_target_: (\S+)", path.read_text()).group(1).rpartition(".")
        kind = getattr(import_module(module), name)
        if issubclass(kind, PreparedData):
            found[path.stem] = kind
    return found


def test_every_recipe_is_called_as_its_config_and_says_licence_and_paper():
    kinds = recipes()
    assert {"mosi", "stamps", "squad_v2", "mvsa"} <= set(kinds)
    for name, kind in kinds.items():
        card = kind.card
        assert card.name == name and card.licence and card.homepage.startswith("https://"), name
        assert card.fetch or card.packages, name


def test_the_page_of_published_sets_says_what_the_cards_say():
    page = (ROOT / "docs" / "data_sets.md").read_text()
    for name, kind in recipes().items():
        if kind.card.figure:
            row = f"| `{name}` | {kind.card.metric} | {kind.card.figure} |"
            assert row in page, row


def small(count):
    generator = np.random.default_rng(count)
    return {
        "raw_text": ["good" if i % 2 else "bad" for i in range(count)],
        "id": [f"v{i}$_$0" for i in range(count)],
        "audio": generator.normal(size=(count, 4, 3)),
        "vision": generator.normal(size=(count, 5, 2)),
        "regression_labels": np.array([1.0 if i % 2 else -1.0 for i in range(count)]),
    }


@pytest.mark.slow
def test_a_published_set_trains_from_the_command_line(tmp_path):
    content = {"train": small(24), "valid": small(8), "test": small(8)}
    (tmp_path / "unaligned_50.pkl").write_bytes(pickle.dumps(content))
    command = [sys.executable, "-m", "mmbert.cli.train", "data=mosi", f"data.source={tmp_path}", "text=tiny"]
    options = [f"data.folder={tmp_path / 'home'}", "logger=none", "plots=false", "trainer.max_epochs=1", "trainer=cpu"]
    options += ["store.enabled=false", f"hydra.run.dir={tmp_path / 'run'}", "fusion.out_dim=16"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert facts["train_rows"] == 24 and "test/sentiment/mae" in facts and "test/polarity/accuracy" in facts
