"""``mmbert-attack`` as it is typed: its files, its table, and how mistakes end."""

import csv
import json
import sys

import pytest

from mmbert.cli import attack as command

#: Two vectors a sample, encoded by nothing that learns.
WORDS = ["data=synthetic", "text=none", "image=none", "audio=none", "fusion=concat", "logger=none", "trainer=cpu"]
WORDS += ["+features@encoders.a=sequence", "+features@encoders.b=sequence", "encoders.a.frozen=true", "plots=false"]
WORDS += ["encoders.b.frozen=true", "data.sizes.train=60", "data.sizes.val=20", "data.sizes.test=20"]
WORDS += ["trainer.max_epochs=1", "privacy.samples=false"]


def trained(folder, *more):
    """The folder of a finished run."""
    from hydra import compose, initialize_config_module

    from mmbert.training.run import run

    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", overrides=[*WORDS, *more])
    run(cfg, folder)
    return folder


@pytest.fixture(scope="module")
def vectors_run(tmp_path_factory):
    """A run that can be attacked."""
    return trained(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def attacked(tmp_path_factory, vectors_run):
    """What the command leaves, and what it prints."""
    out = tmp_path_factory.mktemp("attacked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "argv", ["mmbert-attack", f"model={vectors_run}", f"out={out}", "shadows=6", "bootstraps=20"]
        )
        command.main()
    return out


def test_the_summary_says_what_was_measured_over_what(attacked, vectors_run):
    content = json.loads((attacked / "membership.json").read_text())
    assert content["model"] == str(vectors_run) and content["shadows"] == 6 and content["attack"] == "online"
    assert content["variance"] == "global" and content["privacy"] == {} and content["refused"] == {}
    task = content["tasks"]["label"]
    assert task["samples"] == 60 and task["member_pairs"] == task["non_member_pairs"] == 180
    for found in task["attacks"].values():
        assert found["auc"]["low"] <= found["auc"]["value"] <= found["auc"]["high"]
        assert found["tpr_at_fpr_0.001"]["value"] is None and "at least 1,000" in found["tpr_at_fpr_0.001"]["why"]
        assert found["tpr_at_fpr_0.01"]["value"] is not None
    assert 0 < task["accuracy"]["non_members"] <= 1


def test_files_hold_rows_and_no_samples(attacked):
    rows = list(csv.DictReader((attacked / "membership.csv").open()))
    assert len(rows) == 60 and set(rows[0]) == {"row", "label/statistic_in", "label/statistic_out", "label/found"}
    scores = list(csv.DictReader((attacked / "membership_scores.csv").open()))
    assert len(scores) == 360 and sum(int(line["member"]) for line in scores) == 180
    page = (attacked / "membership.html").read_text()
    assert "6 models are a trial, no result" in page
    assert "not resolvable" in page and "180 pairs of a model and a sample it was trained on" in page
    assert 'src="http' not in page


def test_seeds_reproduce_and_the_offline_attack_differs(attacked, vectors_run, tmp_path, monkeypatch, capsys):
    given = [
        f"model={vectors_run}",
        "shadows=6",
        "bootstraps=0",
        "attack=offline",
        "variance=sample",
        f"out={tmp_path}",
    ]
    monkeypatch.setattr(sys, "argv", ["mmbert-attack", *given])
    monkeypatch.setenv("COLUMNS", "150")
    command.main()
    printed = capsys.readouterr().out
    assert "6 models, each trained on about half of 60 training rows" in printed and "s a model, about" in printed
    assert "LiRA" in printed and "not resolvable" in printed and "membership.html" in printed
    assert "warning      6 models are a trial, no result" in printed
    first = (attacked / "membership_scores.csv").read_text().splitlines()
    again = (tmp_path / "membership_scores.csv").read_text().splitlines()
    without = [[line.rsplit(",", 1)[0] for line in lines] for lines in (first, again)]
    assert without[0] == without[1] and first != again  # the same models; the scores alone are others


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Which model? Give model=FOLDER"),
        (["model=nowhere"], "model=nowhere: there is no such folder"),
        (["model=RUN", "shadow=6"], "'shadow=6' is no option of mmbert-attack. Did you mean 'shadows'?"),
        (["model=RUN", "shadows=7"], "shadows=7: an even number from 6 is wanted"),
        (["model=RUN", "shadows=4"], "shadows=4: an even number from 6 is wanted"),
        (["model=RUN", "shadows=x"], "shadows=x: a whole number"),
        (["model=RUN", "attack=ofline"], "attack=ofline: one of online, offline is wanted"),
        (["model=RUN", "variance=big"], "variance=big: one of auto, global, sample is wanted"),
        (["model=RUN", "task=lable"], "task=lable: the run has no such task. Did you mean 'label'?"),
        (["model=LEARNS"], "The run trains its encoders"),
        (["model=ELSEWHERE"], "lies in no run's folder"),
    ],
)
def test_mistakes_end_with_code_2_and_one_line(
    words, message, vectors_run, finished_run, monkeypatch, capsys, tmp_path
):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    places = {"RUN": vectors_run, "LEARNS": finished_run, "ELSEWHERE": tmp_path / "model"}
    for name, place in places.items():
        words = [word.replace(name, str(place)) for word in words]
    monkeypatch.setattr(sys, "argv", ["mmbert-attack", *words, f"out={tmp_path / 'out'}"])
    with pytest.raises(SystemExit) as leaving:
        command.main()
    printed = capsys.readouterr().err
    assert leaving.value.code == 2 and "Traceback" not in printed
    assert message in printed and printed.startswith("mmbert-attack: ")
