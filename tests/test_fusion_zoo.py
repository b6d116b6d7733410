"""The study of all strategies is fair: the same search for each, on validation alone, and seeds that chose nothing."""

import importlib.util
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_module

from mmbert.cli.study import load_study
from mmbert.training.build import build

ROOT = Path(__file__).parents[1]
STRATEGIES = sorted({path.stem for path in (ROOT / "conf" / "fusion").glob("*.yaml")} - {"adapter", "mag"})


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("fusion_zoo_run", ROOT / "experiments" / "fusion_zoo" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def study():
    return load_study("fusion_zoo")


def test_the_study_has_every_strategy_with_three_seeds(script, study):
    assert sorted(study.params["fusion"]) == STRATEGIES == sorted(script.strategies())
    assert study.params["seed"] == ["0", "1", "2"]
    assert study.cfg.encoders.image.frozen and study.cfg.encoders.audio.frozen
    assert study.cfg.encoders_from.image == str(script.ENCODERS / "seen")
    assert study.cfg.hydra.sweep.dir == str(script.RUNS)


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES)
def test_each_strategy_takes_the_tasks_of_the_study(study, compose_tiny, name):
    cfg = compose_tiny("~tasks.value", f"fusion={name}")
    assert {task for task, node in study.cfg.tasks.items() if node} == set(cfg.tasks)
    build(cfg)


def test_searches_differ_in_nothing_but_the_strategy_and_its_folder(script, study):
    first, second = (script.search_words(name, 8, ["a.word=1"]) for name in ("concat", "cross_attention"))
    assert [word.replace("concat", "cross_attention") for word in first] == second
    assert {"seed=100", "data.splits.test=null", "data.splits.test_missing=null", "a.word=1"} <= set(first)
    assert "hydra.sweeper.n_trials=8" in first and "fusion.dropout=interval(0.0,0.4)" in first
    assert str(script.SEARCH_SEED) not in study.params["seed"]


def test_the_words_of_search_and_runs_compose(script):
    options = {"optimizer.lr": 0.0020554, "optimizer.weight_decay": 0.02, "fusion.dropout": 0.1}
    runs = script.run_words("mean", "0,1", options, ["trainer.max_epochs=2"])
    ranges = [word for word in script.search_words("mean", 3, [])[1:] if "interval" not in word]
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        cfg = compose("train", [word for word in runs[1:] if not word.startswith("seed=")])
        assert (cfg.optimizer.lr, cfg.fusion.dropout, cfg.trainer.max_epochs) == (0.0020554, 0.1, 2)
        cfg = compose("train", ranges, return_hydra_config=True)
        assert cfg.hydra.sweeper.sampler._target_ == "optuna.samplers.QMCSampler" and cfg.hydra.sweeper.pruner is None
        assert (cfg.data.splits.test, cfg.data.splits.test_missing, cfg.seed) == (None, None, 100)


def test_a_strategy_without_dropout_has_its_heads_searched(script, tmp_path, monkeypatch):
    assert script.dropout_of("mean") == "fusion.dropout"
    (tmp_path / "fusion").mkdir()
    (tmp_path / "fusion" / "dry.yaml").write_text("_target_: mine.Dry\nout_dim: 128\n")
    monkeypatch.chdir(tmp_path)
    assert script.dropout_of("dry") == "tasks.answer.dropout"


def test_what_is_chosen_is_what_each_search_found_best(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "chosen.yaml"
    found = {"name": "optuna", "trials": {"complete": 8}, "best_trial": 5, "best_value": 0.7}
    for name, lr in (("mean", 0.001), ("concat", 0.01)):
        folder = script.SEARCHES / name
        folder.mkdir(parents=True)
        told = yaml.safe_dump({**found, "best_params": {"optimizer.lr": lr}})
        (folder / "optimization_results.yaml").write_text(told)
    script.write_chosen(["mean"], file)
    script.write_chosen(["concat", "product"], file)  # product's has not ended
    chosen = script.read_chosen(file)
    assert list(chosen) == ["concat", "mean"]
    assert chosen["mean"] == {
        "validation": 0.7,
        "trial": 5,
        "trials": {"complete": 8},
        "options": {"optimizer.lr": 0.001},
    }
    assert chosen["concat"]["options"] == {"optimizer.lr": 0.01}


def test_one_failure_stops_no_other_strategy_and_is_told(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file, called = tmp_path / "chosen.yaml", []
    file.write_text(yaml.safe_dump({name: {"options": {"optimizer.lr": 0.001}} for name in ("mean", "concat")}))
    monkeypatch.setattr(script, "call", lambda words: called.append(words) or int("fusion=mean" in words))
    monkeypatch.setattr(
        sys, "argv", ["run.py", "--strategies", "mean,concat,max", "--chosen", str(file), "--only", "runs", "report"]
    )
    with pytest.raises(SystemExit, match="max: no options were chosen; runs of mean"):
        script.main()
    assert [next((w for w in words if w.startswith("fusion=")), "report") for words in called] == [
        "fusion=mean",
        "fusion=concat",
        "report",
    ]
