"""A report from run folders: what it compares, what it says, and what it leaves in files."""

import json

import numpy as np
import pandas as pd
import pytest

from mmbert.cli.report import main
from mmbert.core.errors import ConfigError
from mmbert.reporting.collect import collect
from mmbert.reporting.report import make_report

METRIC = "test/mood/accuracy"


def make_run(folder, fusion="concat", seed=0, score=0.5, study=None, said=None, fingerprint="s1", **facts):
    """A run's folder as ``mmbert-train`` leaves it, with only what a report reads."""
    import yaml

    folder.mkdir(parents=True)
    config = {"fusion": {"_target_": f"mmbert.fusion.{fusion}.X"}, "seed": seed, "tasks": {"mood": {}}}
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, **({"study": study} if study else {})}))
    environment = {
        "started": "2026-11-24T09:00:00",
        "python": "3.11.7",
        "cpu": {"model": "Abacus", "usable_cores": 2},
        "packages": {"torch": "2.11.0"},
        "git": {"package": {"commit": "abcdef0123456", "dirty": False}},
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    metrics = {METRIC: score, "seed": seed, "splits_fingerprint": fingerprint, "data_fingerprint": "d1", **facts}
    checkpoint = {"path": "checkpoints/best.ckpt", "monitor": "val/mood/accuracy"}
    (folder / "metrics.json").write_text(json.dumps({**metrics, "checkpoint": checkpoint}))
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text(f"- fusion={fusion}\n- seed={seed}\n- data.path=my table.csv\n")
    if said is not None:
        (folder / "predictions").mkdir()
        table = pd.DataFrame({"row": range(len(said)), "mood/target": ["a"] * len(said), "mood/prediction": said})
        table.to_parquet(folder / "predictions" / "test.parquet")
    return folder


@pytest.fixture
def study(tmp_path):
    """Three strategies, five seeds: seeds differ more than strategies, mean is 0.02 better than concat."""
    random = np.random.default_rng(5)
    level = random.normal(0.6, 0.05, 5)
    node = {"name": "my_study", "axes": ["fusion", "seed"], "baseline": {"fusion": "concat"}, "metric": METRIC}
    for fusion, more in (("concat", 0.0), ("mean", 0.02), ("product", 0.0)):
        for seed in range(5):
            score = float(level[seed] + more + random.normal(0, 0.002))
            make_run(tmp_path / "runs" / f"{fusion}{seed}", fusion, seed, score, node)
    return tmp_path / "runs"


def test_a_study_says_itself_what_to_compare(study):
    report = make_report(collect([study]))
    assert (report.metric, report.by, report.baseline) == (METRIC, ("fusion",), "concat")
    said = {one.group: sentence for one, sentence in zip(report.comparisons, report.sentences, strict=True)}
    assert said["mean"].startswith("mean is better than concat: +0.0")
    assert said["product"].startswith("No difference is shown between product and concat")
    assert report.summary["boot_low"].notna().all()
    assert (report.summary["boot_low"] > report.summary["low"]).all()  # five seeds: the bootstrap's is too narrow


@pytest.mark.parametrize("baseline", ["mean", "fusion=mean"])
def test_the_command_line_goes_before_the_study(study, baseline):
    report = make_report(collect([study]), baseline=baseline)
    assert report.baseline == "mean"
    assert any("concat is worse than mean" in sentence for sentence in report.sentences)


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        ("mena", "There is no group 'mena'. Did you mean 'mean'?"),
        ("fusion=gated", "no group has it. Groups: "),
        ("fusoin=mean", "runs are not grouped by it. Did you mean 'fusion'?"),
    ],
)
def test_a_baseline_that_is_none_is_told(study, baseline, said):
    with pytest.raises(ConfigError) as stop:
        make_report(collect([study]), baseline=baseline)
    assert said in str(stop.value)


def test_runs_without_the_metric_do_not_say_what_the_others_are_grouped_by(tmp_path):
    """Two sets with other tasks in one folder: only one has the metric."""
    for seed in (0, 1):
        make_run(tmp_path / f"mood{seed}", seed=seed, score=0.5 + seed / 10)
        folder = make_run(tmp_path / f"topic{seed}", seed=seed)
        facts = json.loads((folder / "metrics.json").read_text())
        facts["test/topic/accuracy"] = facts.pop(METRIC)
        (folder / "metrics.json").write_text(json.dumps(facts))
        (folder / ".hydra" / "hydra.yaml").write_text("hydra: {runtime: {choices: {data: stamps}}}")
    runs = collect([tmp_path])
    assert runs["data"].nunique(dropna=False) == 2
    report = make_report(runs, METRIC)
    assert report.by == ("fusion",) and report.summary["n"].tolist() == [2]


def test_the_files_of_a_report(study, tmp_path, capsys):
    (study / "broken").mkdir()
    (study / "broken" / "config.yaml").write_text("seed: 9\n")
    (study / "broken" / "error.json").write_text('{"type": "TrainingError", "message": "it burst"}')
    out = tmp_path / "out"
    main([str(study), "--out", str(out), "--latex", "--by", "fusion", "--baseline", "concat"])
    shown = capsys.readouterr().out
    assert "mean is better than concat" in shown
    page = (out / "report.md").read_text()
    for part in (
        "## Compared with concat",
        "p (Holm)",
        "2 cores of Abacus, no GPU; Python 3.11.7, torch 2.11.0",
        "`mmbert-train fusion=mean seed=3 'data.path=my table.csv'`",
        "| abcdef012 | checkpoints/best.ckpt | d1 |",
        "failed: TrainingError: it burst",
    ):
        assert part in page
    table = pd.read_parquet(out / "results.parquet")
    assert len(table) == 16
    assert table[METRIC].notna().sum() == 15
    tex = (out / "results.tex").read_text()
    assert tex.count(r"\\") == 4
    assert r"\mathbf" in next(line for line in tex.splitlines() if line.startswith("mean"))
    assert r"\textdagger" in next(line for line in tex.splitlines() if line.startswith("mean"))
    assert r"\textdagger" not in next(line for line in tex.splitlines() if line.startswith("product"))


def test_single_runs_are_compared_over_samples(tmp_path):
    right = ["a"] * 60
    make_run(tmp_path / "a", "concat", score=1.0, said=right)
    make_run(tmp_path / "b", "mean", score=0.8, said=["b"] * 12 + right[12:])
    report = make_report(collect([tmp_path]), METRIC, baseline="concat")
    (sentence,) = report.sentences
    assert "only mean is right on 0, only concat on 12" in sentence
    assert "how much another seed would change" in sentence


def test_other_splits_are_not_compared(tmp_path):
    make_run(tmp_path / "a", "concat", said=["a"])
    make_run(tmp_path / "b", "mean", said=["a"], fingerprint="s2")
    (sentence,) = make_report(collect([tmp_path]), METRIC, baseline="concat").sentences
    assert "measured on other samples" in sentence


def test_a_folder_that_cannot_be_written(study, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as stop:
        main([str(study), "--out", str(tmp_path / "file")])
    assert stop.value.code == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_baseline_of_a_dotted_option(tmp_path):
    for per_class in (8, 16):
        for seed in range(3):
            node = {"name": "few", "axes": ["data.per_class"], "baseline": {"data.per_class": 8}, "metric": METRIC}
            run = make_run(
                tmp_path / f"{per_class}-{seed}", seed=seed, score=0.01 * per_class + 0.001 * seed, study=node
            )
            with (run / "config.yaml").open("a") as file:
                file.write(f"data: {{per_class: {per_class}}}\n")
    report = make_report(collect([tmp_path]))
    assert report.baseline == "8"
    assert [one.group for one in report.comparisons] == ["16"]


def test_a_study_whose_baseline_has_not_finished_is_reported_without_it(study):
    import shutil

    for run in study.glob("concat*"):
        shutil.rmtree(run)
    report = make_report(collect([study]))
    assert report.baseline is None
    assert report.comparisons == []
