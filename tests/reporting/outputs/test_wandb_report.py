"""A report as a wandb run: what was logged is read back from the offline run, and is what the report says."""

import json
import re

import pandas as pd
import pytest

from mmbert.cli.report import main
from mmbert.reporting.collect import collect
from mmbert.reporting.outputs import wandb_report
from mmbert.reporting.report import make_report

METRIC = "test/mood/accuracy"


@pytest.fixture
def no_key(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_DISABLED", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb_config"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question at the keyboard"))


def test_a_report_is_a_run_in_the_group_of_its_study(illustrated, tmp_path, no_key, capsys, offline_wandb):
    out = tmp_path / "out"
    main([str(illustrated / "runs"), "--wandb", "--wandb-project", "ours", "--out", str(out)])
    report = make_report(collect([illustrated / "runs"]))
    story = offline_wandb.story(out)
    assert (story["group"], story["job_type"], story["project"]) == ("my_study", "report", "ours")
    assert story["tags"] == ["report", f"metric:{METRIC}"] and story["exit_code"] == 0
    assert story["config"]["baseline"] == "concat" and story["config"]["runs"] == 6

    means = {line["group"]: line["mean"] for line in report.summary.to_dict("records")}
    best = {f"{METRIC}/{name}/mean": mean for name, mean in means.items()}
    assert best.items() <= story["summary"].items()

    files = next(out.glob("wandb/offline-run-*/files/media"))
    tables = {path.name.split("_")[0]: json.loads(path.read_text()) for path in files.glob("table/report/*.json")}
    assert set(tables) == {"summary", "comparisons", "runs"}
    column = {name: tables["summary"]["columns"].index(name) for name in ("group", "mean", "n")}
    rows = tables["summary"]["data"]
    assert {row[column["group"]]: row[column["mean"]] for row in rows} == pytest.approx(means)
    assert [row[column["n"]] for row in rows] == [3, 3]
    (compared,) = (
        dict(zip(tables["comparisons"]["columns"], row, strict=True)) for row in tables["comparisons"]["data"]
    )
    (expected,) = report.comparisons
    assert compared["group"] == "mean" and compared["sentence"] == report.sentences[0]
    assert (compared["difference"], compared["p"]) == pytest.approx((expected.difference, expected.p))
    assert len(tables["runs"]["data"]) == 6 and METRIC in tables["runs"]["columns"]

    (drawn,) = files.glob("plotly/figures/ROC_of_mood*.json")
    curves = json.loads(drawn.read_text())
    assert [trace["name"].split()[0] for trace in curves["data"] if trace.get("name")] == list(means)
    kept = offline_wandb.artifact(out, "report-")
    assert kept["report.html"].read_text() == (out / "report.html").read_text()
    assert "wandb: offline (no key found). To upload later: wandb sync" in capsys.readouterr().out


def test_what_cannot_be_is_told(illustrated, no_key, monkeypatch, capsys):
    runs = str(illustrated / "runs")
    for words, variable, message in (
        (["--wandb-project", "ours"], "", "add --wandb"),
        (["--wandb"], "online", "WANDB_MODE=online, but there is no key.*use WANDB_MODE=offline"),
        (["--wandb"], "onlin", "WANDB_MODE='onlin' is unknown. Did you mean 'online'"),
    ):
        monkeypatch.setenv("WANDB_MODE", variable)
        with pytest.raises(SystemExit) as left:
            main([runs, *words])
        assert left.value.code == 2
        assert re.search(message, capsys.readouterr().err)


def test_a_run_that_is_switched_off_says_so(illustrated, no_key, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    main([str(illustrated / "runs"), "--wandb"])
    assert "nothing is logged" in capsys.readouterr().out and not (tmp_path / "wandb").exists()


def test_an_option_is_shared_if_all_runs_that_name_it_agree():
    runs = pd.DataFrame({"project": ["ours", None, "ours"], "entity": ["us", "them", None]})
    assert wandb_report.shared(runs, "project") == "ours"
    assert wandb_report.shared(runs, "entity") is None and wandb_report.shared(runs, "gone") is None
