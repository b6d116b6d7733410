"""What tests in several folders share: a tiny copy of the demo set, and runs on it."""

from __future__ import annotations

import os

import pytest

# before torch or wandb are imported: tests share two cores, and nothing of theirs leaves the machine or lands at home
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory):
    """Caches of the tests' own, so that nothing found at home can make a test pass."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MMBERT_HOME", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "HF_DATASETS_CACHE"):
            patch.setenv(name, str(folder / name.lower()))
        yield folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """manifest.csv of a tiny talking_digits: 48 train, 16 val, 17 test and 12 test_missing rows."""
    from mmbert.data.digits.build import Options, build

    options = Options(train=48, val=16, test=17, test_missing=12, train_voices=3, test_voices=2)
    return build(tmp_path_factory.mktemp("digits") / "set", options)


@pytest.fixture(scope="session")
def compose_tiny(digits):
    """``compose_tiny("fusion=mean", ...)``: the config of a run of seconds, tiny encoders on the tiny demo set."""
    from hydra import compose, initialize_config_module

    # so few rows do not show every class in train
    numbers = [str(n) for n in range(13)]
    classes = {
        "answer": [str(n) for n in range(-12, 25)],
        "seen": numbers,
        "heard": numbers,
        "operation": ["add", "distance", "larger", "smaller", "subtract", "subtract_from"],
        "properties": ["even", "odd", "prime", "square", "above_nine", "negative"],
    }

    def make(*overrides: str):
        base = [
            "data=manifest",
            f"data.path={digits}",
            "tasks=talking_digits",
            "text=tiny",
            "image=tiny",
            "audio=tiny",
            "logger=csv",
            "trainer=cpu",
            "trainer.max_epochs=2",
            "data.num_workers=0",
            "data.batch_size=16",
            "fusion.out_dim=16",
            *(f"tasks.{task}.classes={names}" for task, names in classes.items()),
        ]
        with initialize_config_module("mmbert.conf", version_base="1.3"):
            return compose("train", overrides=[*base, *overrides])

    return make


@pytest.fixture(scope="session")
def finished_run(compose_tiny, tmp_path_factory):
    """The folder of a finished tiny run with the default strategy, measured on test and test_missing."""
    from mmbert.training.run import run

    folder = tmp_path_factory.mktemp("run")
    run(compose_tiny("+data.splits.test_missing=test_missing", "logger=csv"), folder)
    return folder


@pytest.fixture(scope="session")
def what_is_left():
    """``what_is_left(folder)``: what a run leaves that interruptions, workers and company must not change."""
    import json

    def left(folder):
        metrics = json.loads((folder / "metrics.json").read_text())
        return {
            "metrics": {key: value for key, value in metrics.items() if "/" in key},
            "checkpoint": metrics["checkpoint"],
            "steps": metrics["steps"],
            "model": (folder / "model" / "model.safetensors").read_bytes(),
            "predictions": (folder / "predictions" / "test.parquet").read_bytes(),
            "history": (folder / "history.csv").read_text().splitlines(),
        }

    return left
