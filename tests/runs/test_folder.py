"""What a run writes about itself: JSON that is always readable, git state, and the memory of this job alone."""

import json
import subprocess

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError
from mmbert.runs import environment as machine
from mmbert.runs import folder as record
from mmbert.runs import peak_memory as memory


def test_values_json_does_not_know_become_null_or_plain(tmp_path):
    content = {"nan": float("nan"), "inf": -float("inf"), "tensor": torch.tensor(0.5), "numpy": np.float32("nan")}
    content |= {"list": (1, np.int64(2), torch.tensor([3, 4])), "path": tmp_path, "flag": True, "none": None}
    record.write_json(tmp_path / "new" / "x.json", content)
    text = (tmp_path / "new" / "x.json").read_text()
    read = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert read == {
        "nan": None,
        "inf": None,
        "tensor": 0.5,
        "numpy": None,
        "list": [1, 2, [3, 4]],
        "path": str(tmp_path),
        "flag": True,
        "none": None,
    }


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    record.write_json(path, {"a": 1})

    def broken(self, text, **options):
        with self.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.write_text", broken)
    with pytest.raises(OSError, match="disk full"):
        record.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.json"]


def test_metrics_are_flat_keys_beside_the_checkpoint_they_come_from(tmp_path):
    checkpoint = {"path": "checkpoints/best.ckpt", "epoch": 3, "monitor": "val/answer/accuracy", "value": 0.8}
    extra = {"seed": 1, "peak_memory_mib": 900.5}
    record.write_metrics(
        tmp_path, {"test/answer/accuracy": 0.75, "test/value/pearson": float("nan")}, checkpoint, extra
    )
    read = json.loads((tmp_path / "metrics.json").read_text())
    assert read["test/answer/accuracy"] == 0.75
    assert read["test/value/pearson"] is None
    assert read["checkpoint"] == checkpoint
    assert (read["seed"], read["peak_memory_mib"]) == (1, 900.5)
    assert {key for key in read if "/" in key} == {"test/answer/accuracy", "test/value/pearson"}


def test_a_run_begins_with_its_resolved_config_and_its_environment(tmp_path):
    (tmp_path / "error.json").write_text("{}")
    record.write_start(tmp_path, OmegaConf.create({"seed": 3, "data": {"seed": "${seed}"}}))
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == {"seed": 3, "data": {"seed": 3}}
    environment = json.loads((tmp_path / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert {"mmbert", "pytorch-lightning", "transformers", "timm", "hydra-core", "numpy"} <= set(
        environment["packages"]
    )
    assert environment["cpu"]["cores"] >= 1 and environment["ram_mib"] > 100
    assert {"started", "python", "platform", "gpus", "git"} <= set(environment)
    assert not (tmp_path / "error.json").exists()  # of an earlier attempt


def test_a_plain_config_will_do(tmp_path):
    record.write_start(tmp_path, {"seed": 3})
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == {"seed": 3}


def test_a_failure_is_told_with_a_traceback_unless_the_user_can_mend_it(tmp_path):
    try:
        raise RuntimeError("boom")
    except RuntimeError as error:
        record.write_error(tmp_path, error)
    told = json.loads((tmp_path / "error.json").read_text())
    assert (told["type"], told["message"]) == ("RuntimeError", "boom") and "test_record.py" in told["traceback"]
    record.write_error(tmp_path, ConfigError("no column 'labl'"))
    told = json.loads((tmp_path / "error.json").read_text())
    assert told["message"] == "no column 'labl'" and "traceback" not in told


def test_other_ranks_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("pytorch_lightning.utilities.rank_zero_only.rank", 1, raising=False)
    record.write_start(tmp_path, {"seed": 3})
    record.write_metrics(tmp_path, {}, None)
    record.write_error(tmp_path, ValueError("x"))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def repository(tmp_path):
    def git(*words):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=n", "-c", "user.email=e@x", *words], check=True)

    git("init", "-q", "-b", "main")
    assert machine.git_state(tmp_path) is None  # before the first commit
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    return tmp_path


def test_git_tells_commit_and_changes(repository):
    head = subprocess.check_output(["git", "-C", repository, "rev-parse", "HEAD"], text=True).strip()
    (repository / "untracked").write_text("b")
    assert machine.git_state(repository) == {"commit": head, "branch": "main", "dirty": False}
    (repository / "file").write_text("changed")
    assert machine.git_state(repository)["dirty"] is True


def test_a_package_installed_inside_a_users_repository_is_not_that_repository(repository, monkeypatch):
    site = repository / ".venv" / "mmbert"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text("")
    monkeypatch.setattr("mmbert.__file__", str(site / "__init__.py"))
    assert machine.package_git() is None
    subprocess.run(["git", "-C", repository, "add", "-f", site / "__init__.py"], check=True)
    assert machine.package_git() is not None


def test_no_git_and_no_repository_cost_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert machine.git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert machine.git_state(tmp_path) is None
    assert machine.environment()["git"] == {"package": None, "folder": None}


def fill(mebibytes):
    return np.ones(mebibytes * 2**20, dtype=np.uint8)


@pytest.mark.parametrize("resettable", [True, False])
def test_the_peak_is_this_jobs_own_not_an_earlier_ones(monkeypatch, resettable):
    """Two jobs in one process, the large one first, as in a sweep; with and without Linux's resettable mark."""
    if not resettable:
        monkeypatch.setattr(memory, "reset_high_water_mark", lambda: False)
    elif not memory.reset_high_water_mark():
        pytest.skip("this system cannot reset the high-water mark")
    base = memory.resident_mib("VmRSS")
    with record.PeakMemory() as large:
        block = fill(300)
        threading_wait()
        del block
    with record.PeakMemory() as small:
        block = fill(60)
        threading_wait()
        del block
    assert large.peak_mib() == pytest.approx(base + 300, abs=40)
    assert small.peak_mib() == pytest.approx(base + 60, abs=40)
    assert small.peak_cuda_mib() is None or torch.cuda.is_available()


def test_an_inner_measurement_does_not_make_the_outer_one_forget():
    with record.PeakMemory() as outer:
        base = memory.resident_mib("VmRSS")
        block = fill(200)
        threading_wait()
        del block
        with record.PeakMemory():
            pass
        assert outer.peak_mib() > base + 160
    assert outer.peak_mib() > base + 160


def threading_wait():
    """Long enough for a sampling thread to look."""
    import time

    time.sleep(5 * memory.INTERVAL_SECONDS)
