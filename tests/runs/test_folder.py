"""The folder of a run: its files are always readable, and their names are spelled in one place."""

import json

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError
from mmbert.core.privacy import WITHHELD, Privacy
from mmbert.runs.files import write_json
from mmbert.runs.folder import RunFolder

COVERS = ("files",)


def test_values_json_does_not_know_become_null_or_plain(tmp_path):
    content = {"nan": float("nan"), "inf": -float("inf"), "tensor": torch.tensor(0.5), "numpy": np.float32("nan")}
    content |= {"list": (1, np.int64(2), torch.tensor([3, 4])), "path": tmp_path, "flag": True, "none": None}
    write_json(tmp_path / "new" / "x.json", content)
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
    write_json(path, {"a": 1})

    def broken(self, content):
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.write_bytes", broken)
    with pytest.raises(OSError, match="disk full"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.json"]


def test_metrics_are_flat_keys_beside_the_checkpoint_they_come_from(tmp_path):
    checkpoint = {"path": "checkpoints/best.ckpt", "epoch": 3, "monitor": "val/answer/accuracy", "value": 0.8}
    extra = {"seed": 1, "peak_memory_mib": 900.5}
    RunFolder(tmp_path).write_metrics(
        {"test/answer/accuracy": 0.75, "test/value/pearson": float("nan")}, checkpoint, extra
    )
    read = json.loads((tmp_path / "metrics.json").read_text())
    assert read["test/answer/accuracy"] == 0.75
    assert read["test/value/pearson"] is None
    assert read["checkpoint"] == checkpoint
    assert (read["seed"], read["peak_memory_mib"]) == (1, 900.5)
    assert {key for key in read if "/" in key} == {"test/answer/accuracy", "test/value/pearson"}


def test_a_run_begins_with_its_resolved_config_and_its_environment(tmp_path):
    (tmp_path / "error.json").write_text("{}")
    RunFolder(tmp_path).write_start(OmegaConf.create({"seed": 3, "data": {"seed": "${seed}"}}))
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
    RunFolder(tmp_path).write_start({"seed": 3})
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == {"seed": 3}


def test_a_failure_is_told_with_a_traceback_unless_the_user_can_mend_it(tmp_path):
    try:
        raise RuntimeError("boom")
    except RuntimeError as error:
        RunFolder(tmp_path).write_error(error)
    told = json.loads((tmp_path / "error.json").read_text())
    assert (told["type"], told["message"]) == ("RuntimeError", "boom") and "test_folder.py" in told["traceback"]
    RunFolder(tmp_path).write_error(ConfigError("no column 'labl'"))
    told = json.loads((tmp_path / "error.json").read_text())
    assert told["message"] == "no column 'labl'" and "traceback" not in told


def test_a_private_run_says_where_it_failed_and_quotes_nothing(tmp_path):
    def written(privacy):
        try:
            raise RuntimeError("row 3: a@b.org")
        except RuntimeError as error:
            RunFolder(tmp_path).write_error(error, privacy)
        return json.loads((tmp_path / "error.json").read_text())

    withheld, masked = written(Privacy(samples=False)), written(Privacy(mask=["email"]))
    assert (withheld["type"], withheld["message"]) == ("RuntimeError", WITHHELD)
    assert "test_folder.py" in withheld["traceback"] and RunFolder(tmp_path).crashed
    assert masked["message"] == "row 3: [email]" and "RuntimeError: row 3: [email]" in masked["traceback"]


def test_other_ranks_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    RunFolder(tmp_path).write_start({"seed": 3})
    RunFolder(tmp_path).write_metrics({}, None)
    RunFolder(tmp_path).write_error(ValueError("x"))
    assert list(tmp_path.iterdir()) == []
