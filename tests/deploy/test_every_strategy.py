"""Every fusion strategy of the package is exported in both formats, equal for every subset of three modalities."""

import importlib.util
from pathlib import Path

import pytest

from installed import skip_without
from mmbert.deploy.equality import EXPORT_TOLERANCE

ROOT = Path(__file__).parents[2]
STRATEGIES = sorted(path.stem for path in (ROOT / "conf" / "fusion").glob("*.yaml"))
#: One of each way to fuse for every run of the tests; the rest are slow.
QUICK = {"mean", "late_weighted"}


@pytest.fixture(scope="module")
def script():
    """``experiments/exported_models/run.py``, whose models these are."""
    skip_without("onnxruntime")
    path = ROOT / "experiments" / "exported_models" / "run.py"
    spec = importlib.util.spec_from_file_location("exported_models_run", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in STRATEGIES]
)
def test_the_files_of_a_strategy_give_what_the_model_gives(script, name):
    rows = script.rows_of(name)
    assert [row["format"] for row in rows] == ["onnx", "torch"]
    for row in rows:
        assert "reason" not in row, row
        assert float(row["max_difference"]) <= EXPORT_TOLERANCE


def test_the_experiment_has_every_strategy(script):
    assert script.strategies() == STRATEGIES
