"""A study's page at W&B: what would be saved shows the study's runs and its metric; saving without a key is told."""

import json
import sys

import pytest

from mmbert.cli.study import main
from mmbert.reporting.outputs import wandb_workspace
from mmbert.reporting.outputs.wandb_workspace import StudyPage, stored_form

pytest.importorskip("wandb_workspaces")
METRIC = "test/answer/accuracy"


@pytest.fixture
def no_key(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb_config"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question at the keyboard"))


def typed(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["mmbert-study", "workspace", *words])
    main()


def filters(runset):
    return {one["key"]["name"]: one["value"] for one in runset["filters"]["filters"]}


def test_the_spec_of_a_study_without_a_key(monkeypatch, no_key, capsys):
    typed(monkeypatch, "encoder_comparison", "--project", "ours", "--entity", "team", "--dry-run")
    made = json.loads(capsys.readouterr().out)
    view = made["workspace"]
    assert (view["project"], view["entity"], view["displayName"]) == ("ours", "team", "study encoder_comparison")
    section = view["spec"]["section"]
    (runset,) = section["runSets"]
    assert filters(runset) == {"group": "encoder_comparison", "jobType": "train"}
    keys = ["encoders.value.text.name", "encoders.value.image.name", "encoders.value.audio._target_"]
    assert [key["name"] for key in runset["grouping"]] == keys
    assert runset["sort"]["keys"] == [{"key": {"section": "summary", "name": METRIC}, "ascending": False}]
    assert runset["runFeed"]["columnOrder"][1:] == [
        f"summary:{METRIC}",
        *(f"config:{k}" for k in keys),
        "config:seed.value",
    ]
    panels = {part["name"]: part["panels"] for part in section["panelBankConfig"]["sections"]}
    assert panels["Result"][0]["config"]["metrics"] == [f"summary_metrics.{METRIC}"]
    assert {panel["config"]["yAxis"] for panel in panels["Result"][1:]} == {f"summary:{METRIC}"}
    assert [panel["config"]["metrics"] for panel in panels["Learning"]] == [
        ["val/answer/accuracy"],
        ["val/loss"],
    ]
    assert panels["Weights of modalities"][0]["config"]["metricRegex"] == "^diagnostics/val/.*"


def test_the_report_shows_the_runs_and_the_logged_comparison():
    page = StudyPage("my_study", METRIC, ["fusion", "seed"], "ours", question="Which?", baseline={"fusion": "concat"})
    blocks = stored_form(page)["report"]["spec"]["blocks"]
    words = [child["text"] for block in blocks for child in block.get("children", ())]
    assert "Which?" in words and any("baseline fusion=concat" in word for word in words)
    grids = [block["metadata"] for block in blocks if block["type"] == "panel-grid"]
    runsets = [filters(grid["runSets"][0]) for grid in grids]
    assert runsets == [{"group": "my_study", "jobType": kind} for kind in ("train", "train", "report")]
    assert grids[0]["runSets"][0]["grouping"] == [{"section": "config", "name": "labels.value.fusion"}]
    assert "report/comparisons" in json.dumps(grids[2])


def test_without_a_key_or_the_package_it_is_told(monkeypatch, no_key, capsys):
    with pytest.raises(SystemExit) as left:
        typed(monkeypatch, "fusion_comparison")
    assert left.value.code == 2
    assert "there is no key for api.wandb.ai" in (said := capsys.readouterr().err) and "--dry-run" in said
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    with pytest.raises(SystemExit) as left:
        typed(monkeypatch, "fusion_comparison", "--dry-run")
    assert left.value.code == 2 and "pip install 'mmbert[workspaces]'" in capsys.readouterr().err


def test_a_server_that_refuses_is_told(monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)

    class Refusing:
        def save(self):
            raise ValueError("project not found")

    monkeypatch.setattr(wandb_workspace, "workspace", lambda page: Refusing())
    with pytest.raises(SystemExit) as left:
        typed(monkeypatch, "fusion_comparison", "--entity", "team")
    assert left.value.code == 2
    assert "did not save the study's page in team/mmbert: project not found" in capsys.readouterr().err
