"""Reports are read from files alone, and their numbers agree with numbers worked out by hand."""

import csv
import json
import math

import pytest
import yaml

from mmbert.cli.report import main
from mmbert.core.errors import ConfigError, DataError
from mmbert.reporting.collect import chosen_nodes, collect, read_run
from mmbert.reporting.statistics.summary import default_metric, other_differences, statistics, summarise

METRIC = "test/answer/accuracy"
ENCODERS = {"text": {"model": "minilm"}, "image": {"name": "resnet18"}, "audio": {"hop": 160}}


def make_run(folder, fusion="concat", seed=0, score=0.5, encoders=ENCODERS, commit="abc", error=None, **options):
    """A run's folder with the files that docs/runs.md names."""
    folder.mkdir(parents=True)
    config = {
        "seed": seed,
        "fusion": {"_target_": f"mmbert.fusion.{fusion}.Fusion", "out_dim": 256},
        "encoders": encoders,
        "tasks": {"answer": {"column": "answer"}, "value": {}},
        "data": {"seed": seed},
        **options,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    git = {"package": {"commit": commit, "dirty": False}}
    (folder / "environment.json").write_text(json.dumps({"git": git}))
    if error:
        (folder / "error.json").write_text(json.dumps({"type": "RuntimeError", "message": error}))
    elif score is not None:
        facts = {"checkpoint": {"path": "checkpoints/best.ckpt", "monitor": "val/answer/accuracy"}}
        facts |= {"wall_seconds": 60.0 * (seed + 1), "peak_memory_mib": 1000.0}
        (folder / "metrics.json").write_text(json.dumps({METRIC: score, "test/value/mae": 1 - score, **facts}))
    return folder


@pytest.fixture
def study(tmp_path):
    """Two strategies, three seeds each, one failed and one unfinished run beside them."""
    scores = {"concat": [0.70, 0.72, 0.74], "cross_attention": [0.80, 0.80, 0.83]}
    for i, (fusion, seed) in enumerate((f, s) for f in scores for s in range(3)):
        make_run(tmp_path / "multirun" / "study" / str(i), fusion, seed, scores[fusion][seed])
    make_run(tmp_path / "multirun" / "study" / "6", "concat", 3, error="out of memory")
    make_run(tmp_path / "multirun" / "study" / "10", "concat", 4, score=None)
    return tmp_path / "multirun"


def test_three_numbers_by_hand():
    # mean 0.72; deviations -0.02, 0, 0.02: variance 0.0008 / 2, std 0.02
    # t(0.975, 2) = 4.302653: half width 4.302653 * 0.02 / sqrt 3 = 0.0496828
    found = statistics([0.70, 0.72, 0.74])
    assert found["mean"] == pytest.approx(0.72, abs=1e-12)
    assert found["std"] == pytest.approx(0.02, abs=1e-12)
    assert found["low"] == pytest.approx(0.72 - 0.0496828, abs=1e-6)
    assert found["high"] == pytest.approx(0.72 + 0.0496828, abs=1e-6)
    assert (found["min"], found["max"]) == (0.70, 0.74)


def test_one_run_has_no_spread():
    found = statistics([0.5])
    assert found["mean"] == 0.5
    assert math.isnan(found["std"]) and math.isnan(found["low"]) and math.isnan(found["high"])


def test_runs_are_found_below_a_folder_in_the_order_of_their_numbers(study):
    runs = collect([study])
    assert [path.rpartition("/")[2] for path in runs["run"]] == ["0", "1", "2", "3", "4", "5", "6", "10"]
    assert runs["status"].tolist() == ["finished"] * 6 + ["failed", "unfinished"]
    assert runs["reason"].iloc[6] == "RuntimeError: out of memory"
    assert "killed" in runs["reason"].iloc[7]


def test_a_run_that_failed_behind_its_numbers_has_failed(study):
    # the numbers are written before the model is saved; what failed there is no whole run
    late = study / "study" / "0"
    (late / "error.json").write_text(json.dumps({"type": "OSError", "message": "no room for the model"}))
    runs = collect([study])
    assert runs["status"].iloc[0] == "failed" and runs["reason"].iloc[0] == "OSError: no room for the model"
    line = summarise(runs, METRIC).set_index("fusion").loc["concat"]
    assert line["n"] == 2 and line["mean"] == pytest.approx(0.73)  # (0.72 + 0.74) / 2


def test_a_run_given_twice_counts_once(study):
    assert len(collect([study, study / "study" / "0"])) == 8


def test_a_row_holds_what_is_known(tmp_path):
    row = read_run(make_run(tmp_path / "run", "product", seed=7, score=0.25))
    assert (row["fusion"], row["modalities"], row["seed"], row["tasks"]) == ("product", "text+image+audio", 7, "answer")
    assert (row["commit"], row["wall_seconds"], row["peak_memory_mib"]) == ("abc", 480.0, 1000.0)
    assert row[METRIC] == 0.25 and row["test/value/mae"] == 0.75
    assert row["checkpoint"] == "checkpoints/best.ckpt"
    assert row["config.fusion.out_dim"] == 256


@pytest.mark.parametrize(
    ("encoders", "label"),
    [
        ({"audio": {"a": 1}, "text": {"a": 1}, "image": {}}, "text+audio"),
        ({"scan": {"a": 1}, "image": {"a": 1}}, "image+scan"),
        ({"text": {"a": 1}, "image": None}, "text"),
    ],
)
def test_the_label_of_modalities_comes_from_the_encoders_left_in(tmp_path, encoders, label):
    assert read_run(make_run(tmp_path / "run", encoders=encoders))["modalities"] == label


def test_a_variant_is_called_by_its_yaml_and_an_overridden_target_by_its_class(tmp_path):
    run = make_run(tmp_path / "run", "cross_attention")
    (run / ".hydra").mkdir()
    choices = {"hydra": {"runtime": {"choices": {"fusion": "cross_attention_deep", "data": "manifest"}}}}
    (run / ".hydra" / "hydra.yaml").write_text(yaml.safe_dump(choices))
    (run / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(["seed=1"]))
    assert (read_run(run)["fusion"], read_run(run)["data"]) == ("cross_attention_deep", "manifest")
    (run / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(["fusion._target_=my_fusion.Mine"]))
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["fusion"]["_target_"] = "my_fusion.Mine"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert read_run(run)["fusion"] == "Mine"


def test_groups_of_a_study_by_hand(study):
    summary = summarise(collect([study]), METRIC, ["fusion"])
    assert summary["fusion"].tolist() == ["cross_attention", "concat"]  # the best first
    # (0.80 + 0.80 + 0.83) / 3 = 0.81; deviations -0.01, -0.01, 0.02: variance 0.0006 / 2, std 0.0173205
    assert summary["mean"].tolist() == pytest.approx([0.81, 0.72], abs=1e-12)
    assert summary["std"].tolist() == pytest.approx([0.01732051, 0.02], abs=1e-7)
    assert summary["low"].iloc[0] == pytest.approx(0.81 - 4.3026527 * 0.01, abs=1e-7)  # std / sqrt 3 = 0.01
    assert summary["n"].tolist() == [3, 3]
    assert summary["seeds"].tolist() == ["0 1 2", "0 1 2"]
    assert summary["wall_seconds"].tolist() == [120.0, 120.0]  # 60, 120, 180


def test_smaller_errors_come_first(study):
    assert summarise(collect([study]), "test/value/mae")["fusion"].tolist() == ["cross_attention", "concat"]


def test_the_default_groups_are_what_varies(tmp_path):
    make_run(tmp_path / "a", encoders={"text": {"x": 1}})
    make_run(tmp_path / "b", encoders={"audio": {"x": 1}})
    assert list(summarise(collect([tmp_path]), METRIC).columns[:2]) == ["modalities", "n"]


def test_any_option_groups(tmp_path):
    make_run(tmp_path / "a", optimizer={"lr": 0.1}, score=0.1)
    make_run(tmp_path / "b", optimizer={"lr": 0.2}, score=0.2)
    summary = summarise(collect([tmp_path]), METRIC, ["optimizer.lr"])
    assert summary[["optimizer.lr", "mean"]].to_numpy().tolist() == [[0.2, 0.2], [0.1, 0.1]]


def test_what_else_differs_inside_a_group_is_told(tmp_path):
    make_run(tmp_path / "a", seed=0, optimizer={"lr": 0.1})
    make_run(tmp_path / "b", seed=1, optimizer={"lr": 0.2}, commit="def")
    runs = collect([tmp_path])
    assert other_differences(runs, ["fusion"]) == ["commit", "optimizer.lr"]  # not data.seed: it follows the seed
    assert other_differences(runs, ["optimizer.lr"]) == []


def test_the_metric_by_default_is_the_test_counterpart_of_the_monitored_one(study):
    assert default_metric(collect([study])) == METRIC


def test_a_misspelt_metric_and_group_offer_the_nearest(study):
    runs = collect([study])
    with pytest.raises(ConfigError, match="Did you mean 'test/answer/accuracy'"):
        summarise(runs, "test/answer/acuracy")
    with pytest.raises(ConfigError, match="Did you mean 'fusion'"):
        summarise(runs, METRIC, ["fusoin"])


def test_nothing_finished_says_why(tmp_path):
    make_run(tmp_path / "a", error="out of memory")
    with pytest.raises(ConfigError, match="None of 1 runs has finished.*out of memory"):
        summarise(collect([tmp_path]), METRIC)


def test_a_broken_file_is_named(tmp_path):
    run = make_run(tmp_path / "a")
    (run / "metrics.json").write_text('{"test/answer')
    with pytest.raises(DataError, match=r"a/metrics.json cannot be read"):
        read_run(run)
    assert "a/metrics.json cannot be read" in collect([tmp_path]).iloc[0]["reason"]


def test_the_command_shows_and_writes(study, tmp_path, capsys):
    out = tmp_path / "report"
    main([str(study), "--metric", METRIC, "--by", "fusion,modalities", "--out", str(out)])
    shown = capsys.readouterr().out
    assert "0.8100 ± 0.0173" in shown and "0.7670 … 0.8530" in shown  # 0.81 ± 0.0430265
    assert "6 of 8 runs finished" in shown and "out of memory" in shown and "Student's t" in shown
    page = (out / "report.md").read_text()
    assert "| cross_attention | text+image+audio | 3 | 0.8100 ± 0.0173 | 0.7670 … 0.8530 |" in page
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row[METRIC] for row in rows[:3]] == ["0.7", "0.72", "0.74"]
    assert rows[6]["status"] == "failed" and rows[6][METRIC] == ""
    assert "config.fusion._target_" in rows[0] and "config.fusion.out_dim" not in rows[0]  # only what differs
    with (out / "summary.csv").open() as file:
        assert float(next(csv.DictReader(file))["mean"]) == pytest.approx(0.81)


def test_a_diverged_run_is_not_averaged_in_silence(tmp_path, capsys):
    make_run(tmp_path / "a", score=0.5)
    run = make_run(tmp_path / "b", score=0.5, seed=1)
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps({**metrics, METRIC: None}))
    main([str(tmp_path), "--metric", METRIC])
    assert "Without a value of test/answer/accuracy, not counted" in capsys.readouterr().out


@pytest.mark.parametrize("where", ["empty", "nowhere"])
def test_no_run_is_one_clear_message(tmp_path, capsys, where):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path / where)])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("mmbert-report: ") and where in said and said.count("\n") == 1


def test_a_seed_run_twice_is_told(tmp_path, capsys):
    make_run(tmp_path / "a", seed=1)
    make_run(tmp_path / "b", seed=1)
    main([str(tmp_path), "--metric", METRIC])
    assert "a seed occurs more than once" in capsys.readouterr().out


DAMAGE = {
    "config.yaml": "seed: [1, 2\n",
    "metrics.json": '{"test/answer/accuracy": "0.7"}',
    "environment.json": '{"git": 3}',
    "diagnostics.json": '{"test": {"gate": {"modalities": ["text"]}}}',
    "history.csv": "step,epoch\nx,0\n",
    "predictions/test.parquet": "PAR1",
    "job.json": "[]",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_run_with_a_damaged_file_is_named_and_the_others_count(study, tmp_path, name, capsys):
    path = study / "study" / "0" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(DAMAGE[name])
    main([str(study), "--metric", METRIC, "--by", "fusion", "--out", str(tmp_path / "out")])
    shown = capsys.readouterr().out
    assert f"Not counted: {path.parents[name.count('/')]} (unreadable; {path}" in shown
    rows = list(csv.DictReader((tmp_path / "out" / "results.csv").open()))
    assert [row["status"] for row in rows].count("finished") == 5 and rows[0]["status"] == "unreadable"
    assert [row["seed"] for row in rows[1:3]] == ["1", "2"]  # no 1.0 because one has none
    summary = {row["fusion"]: row for row in csv.DictReader((tmp_path / "out" / "summary.csv").open())}
    assert float(summary["concat"]["mean"]) == pytest.approx(0.73) and summary["concat"]["seeds"] == "1 2"
    assert str(path.name) in (tmp_path / "out" / "report.html").read_text()


def test_a_finished_run_without_its_config_is_named(study):
    (study / "study" / "0" / "config.yaml").unlink()
    (study / "study" / "0" / "environment.json").unlink()
    first = collect([study]).iloc[0]
    assert first["status"] == "unreadable" and "config.yaml cannot be read" in first["reason"]


def test_where_nothing_is_readable_the_reasons_are_told(study):
    for path in study.glob("*/*/config.yaml"):
        path.write_text("{")
    with pytest.raises(ConfigError, match="None of 8 runs has finished.*config.yaml cannot be read"):
        default_metric(collect([study]))


def test_runs_are_grouped_by_the_choices_of_a_sweep():
    """``balance=fixed,upgrad`` is asked for by its name, and so are a task's kind and an encoder in their places."""
    config = {"balance": {"_target_": "x.Y"}, "tasks": {"topic": {"_target_": "x.Z"}}, "encoders": {"text": {"lr": 1}}}
    choices = {
        "balance": "upgrad",
        "task@tasks.topic": "ordinal",
        "text@_global_.text": "minilm",
        "logger": "csv",
        "augment": "none",
        "hydra/launcher": "basic",
        "debug": None,
    }
    assert chosen_nodes(choices, config) == {"balance": "upgrad", "tasks.topic": "ordinal", "encoders.text": "minilm"}
