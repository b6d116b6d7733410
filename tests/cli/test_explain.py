"""``mmbert-explain`` as it is typed: its files, its tables, and how mistakes end."""

import csv
import json
import re
import sys
from contextlib import redirect_stdout

import pytest

from mmbert.cli import explain as command

#: A transcription and a decoder on the tiny demo set.
SPEECH = (
    *(f"tasks.{name}=null" for name in ("answer", "seen", "heard", "operation", "properties", "value")),
    *("+task@tasks.said=transcription", "tasks.said.column=heard", "fusion=mean"),
    *("+task@tasks.told=generation", "tasks.told.column=statement", "tasks.told.decoder=tiny"),
    "tasks.told.config={hidden_size: 16, num_hidden_layers: 1, intermediate_size: 16}",
    *("tasks.told.vocab_size=60", "tasks.told.max_length=6"),
)


@pytest.fixture(scope="module")
def explained(tmp_path_factory, finished_run):
    """What the command leaves of the split whose samples lack modalities."""
    out = tmp_path_factory.mktemp("explained")
    given = [f"model={finished_run}", f"out={out}", "split=test_missing", "bootstraps=20", "device=cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mmbert-explain", *given, "task=answer,properties"])
        with (out / "printed.txt").open("w") as printed, redirect_stdout(printed):
            command.main()
    return out


def test_the_whole_is_what_the_run_measured_and_the_parts_add_up(explained, finished_run):
    content = json.loads((explained / "explanation.json").read_text())
    metrics = json.loads((finished_run / "metrics.json").read_text())
    assert content["modalities"] == ["text", "image", "audio"] and content["split"] == "test_missing"
    assert list(content["tasks"]) == ["answer", "properties"]
    for name, task in content["tasks"].items():
        output, metric = task["output"], task["metric"]
        assert metric["subsets"][-1]["value"] == pytest.approx(metrics[f"test_missing/{name}/{metric['metric']}"])
        assert len(metric["subsets"]) == 8
        total = sum(one["value"]["value"] for one in output["modalities"].values())
        assert total == pytest.approx(output["mean_output"] - output["mean_without_any"], abs=1e-6)
        gained = sum(one["value"]["value"] for one in metric["modalities"].values())
        expected = metric["subsets"][-1]["value"] - metric["subsets"][0]["value"]
        assert gained == pytest.approx(expected, abs=1e-6)


def test_it_says_what_it_has_to_do(explained):
    samples = json.loads((explained / "explanation.json").read_text())["samples"]
    assert f"explain   {samples} samples, each fused 7 times" in (explained / "printed.txt").read_text()


def test_each_sample_has_its_line(explained):
    content = json.loads((explained / "explanation.json").read_text())
    rows = list(csv.DictReader((explained / "explanation.csv").open()))
    assert len(rows) == content["samples"] == content["tasks"]["answer"]["output"]["samples"]
    for name in content["modalities"]:
        assert sum(row[f"answer/value/{name}"] != "" for row in rows) == content["present"][name] < len(rows)


@pytest.mark.slow
def test_speech_and_written_answers_are_explained_by_the_probability_of_the_label(compose_tiny, tmp_path, monkeypatch):
    from mmbert.training.run import run

    run(compose_tiny(*SPEECH), tmp_path)
    monkeypatch.setattr(sys, "argv", ["mmbert-explain", f"model={tmp_path}", "bootstraps=10", "device=cpu"])
    command.main()
    content = json.loads((tmp_path / "explanation.json").read_text())
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    said, told = content["tasks"]["said"], content["tasks"]["told"]
    for task in (said, told):
        values = [one["value"]["value"] for one in task["output"]["modalities"].values()]
        assert task["output"]["explained"] == "probability of the label" and task["output"]["mean_without_any"] == 0
        assert sum(values) == pytest.approx(task["output"]["mean_output"]) and task["output"]["mean_output"] > 0
    assert said["metric"]["subsets"][-1]["value"] == pytest.approx(metrics["test/said/wer"])
    without = [one["value"] for one in said["metric"]["subsets"] if "audio" not in one["modalities"]]
    assert without == [1, 1, 1, 1]  # nothing is heard
    assert told["metric"] == {"metric": None, "why": "the task chooses its checkpoint by 'loss', which is no metric"}


def ended(words, monkeypatch, capsys):
    """How the command ends: its code and what it tells."""
    monkeypatch.setattr(sys, "argv", ["mmbert-explain", *words])
    try:
        command.main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code
    return code, capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["split=test"], "Which model? Give model=FOLDER"),
        (["model=nowhere"], "model=nowhere: there is no such folder"),
        (["model=RUN", "splt=test"], "'splt=test' is no option of mmbert-explain. Did you mean 'split'?"),
        (["model=RUN", "split=val,test"], "split=val,test: one split is measured at a time"),
        (["model=RUN", "split=tset"], "tset"),
        (["model=RUN", "task=anwser"], "task=anwser: the model has no such task. Did you mean 'answer'?"),
        (["model=RUN", "bootstraps=-1"], "bootstraps=-1: a whole number from 0 to 100000 is wanted"),
        (["model=RUN", "seed=x"], "seed=x: a whole number"),
        (["model=RUN", "device=abacus"], "device=abacus cannot be used on this machine"),
        (["model=RUN", "data.pth=x.csv"], "data.pth"),
    ],
)
def test_mistakes_end_with_code_2_and_one_line(words, message, finished_run, monkeypatch, capsys, tmp_path):
    given = [word.replace("RUN", str(finished_run)) for word in words]
    code, printed = ended([*given, f"out={tmp_path / 'out'}"], monkeypatch, capsys)
    assert code == 2 and "Traceback" not in printed.err
    assert message in printed.err and printed.err.startswith("mmbert-explain: ")


def test_the_tables_show_shares_values_and_pairs(explained, capsys, monkeypatch):
    from mmbert.runs.folder import RunFolder

    monkeypatch.setenv("COLUMNS", "200")
    command.print_explanation(json.loads((explained / "explanation.json").read_text()), RunFolder(explained))
    shown = capsys.readouterr().out
    assert "answer: probability of the class that is answered with all modalities" in shown
    assert re.search(r"text\s+│\s+\d+\.\d % \[\d+\.\d, \d+\.\d\]", shown)
    assert "text × image" in shown and "gain in accuracy" in shown and "explanation.csv" in shown


def test_numbers_are_shown_with_their_intervals():
    found = {"value": 0.1234, "low": 0.1, "high": 0.2}
    assert command.number(found) == "+0.123 [+0.100, +0.200]" and command.percent(found) == "12.3 % [10.0, 20.0]"
    assert command.number(found | {"low": None}) == "+0.123" and command.percent(found | {"value": None}) == "–"


def test_help_is_printed(monkeypatch, capsys):
    code, printed = ended(["--help"], monkeypatch, capsys)
    assert code == 0 and printed.out.startswith("usage: mmbert-explain model=FOLDER")
