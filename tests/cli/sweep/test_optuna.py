"""A search with Optuna: what is asked, what is told, trials cut short, and a search that goes on."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.utils import instantiate
from omegaconf import OmegaConf

optuna = pytest.importorskip("optuna")

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: E402
from optuna.trial import TrialState  # noqa: E402

from mmbert.cli.sweep.optuna import OptunaSweeper, search_distribution  # noqa: E402
from mmbert.cli.sweep.search_storage import (  # noqa: E402
    STUDY_NAME,
    search_storage,
    study_name,
    without_password,
)
from mmbert.core.errors import ConfigError  # noqa: E402
from mmbert.reporting.collect import collect  # noqa: E402

COVERS = ("search_storage",)
PRUNER = """\
from optuna.pruners import BasePruner


class OddOnes(BasePruner):
    def prune(self, study, trial):
        return trial.number % 2 == 1 and trial.last_step >= 1
"""


@pytest.fixture
def search(here, train, tiny_words):
    """``search("seed=0,1", ...)``: how a search in ``sweep/`` ended."""
    (here / "odd.py").write_text(PRUNER)
    words = [word for word in tiny_words if not word.startswith(("hydra.run.dir", "trainer.max_epochs"))]
    words += ["trainer.max_epochs=3", "hydra.sweep.dir=sweep", "logger=csv"]

    def go(*more):
        return train("-m", "hydra/sweeper=optuna", *more, base=words)

    yield go
    sys.modules.pop("odd", None)


def study_in(here):
    return optuna.load_study(study_name=STUDY_NAME, storage=search_storage(here / "sweep"))


ODD = [
    "hydra.sweeper.pruner._target_=odd.OddOnes",
    "~hydra.sweeper.pruner.n_startup_trials",
    "~hydra.sweeper.pruner.n_warmup_steps",
]


@pytest.mark.slow
def test_bad_trials_are_cut_short_and_shown_so_and_the_search_goes_on(search, here):
    asked = ["optimizer.lr=tag(log,interval(1e-4,1e-2))", "fusion=mean,concat", *ODD]
    ended = search(*asked, "hydra.sweeper.n_trials=3")
    assert ended.code == 0, ended.err
    assert "sweep: 2 complete, 1 pruned" in ended.err
    trials = study_in(here).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.COMPLETE]
    assert [len(trial.intermediate_values) for trial in trials] == [3, 2, 3]  # one value a validation
    for trial in trials:
        config = OmegaConf.load(here / "sweep" / str(trial.number) / "config.yaml")
        assert config.optimizer.lr == trial.params["optimizer.lr"] and 1e-4 <= config.optimizer.lr <= 1e-2
        assert config.study.trial == trial.number
    for number in (0, 2):
        told = json.loads((here / "sweep" / str(number) / "metrics.json").read_text())
        assert told["checkpoint"]["value"] == pytest.approx(trials[number].value)
    cut = json.loads((here / "sweep" / "1" / "pruned.json").read_text())
    assert cut["monitor"] == "val/label/accuracy" and cut["validations"] == 2 and cut["epoch"] == 1
    assert cut["value"] == pytest.approx(trials[1].value)
    assert not (here / "sweep" / "1" / "metrics.json").exists() and not (here / "sweep" / "1" / "error.json").exists()
    table = collect([here / "sweep"]).set_index("run")
    assert list(table["status"]) == ["finished", "pruned", "finished"]
    assert table["reason"].iloc[1] == "cut short by the search after 2 validations"
    best = OmegaConf.load(here / "sweep" / "optimization_results.yaml")
    assert best.best_value == max(trials[0].value, trials[2].value)
    assert f"best: trial {best.best_trial} with" in ended.out

    refused = search(*asked, "hydra.sweeper.n_trials=4")
    assert refused.code == 2 and "sweep holds a search already" in refused.err
    more = search(*asked, "hydra.sweeper.n_trials=5", "study.resume=true")
    assert more.code == 0, more.err
    assert [trial.state for trial in study_in(here).trials][3:] == [TrialState.PRUNED, TrialState.COMPLETE]


def test_a_failed_trial_is_told_and_tried_again_when_the_search_goes_on(search, here):
    (here / "fusion").mkdir()
    (here / "fusion" / "absent.yaml").write_text("_target_: not_yet_there.Fusion\nout_dim: 8\n")
    (here / "not_yet_there.py").write_text("import nothing_of_this_name as it\n\nclass Fusion(it.Fusion): ...\n")
    ended = search("fusion=absent", "seed=0,1", "hydra.sweeper.n_trials=1", "trainer.max_epochs=1")
    assert ended.code == 2 and "1 job of the sweep failed" in ended.err
    (failed,) = study_in(here).trials
    assert failed.state == TrialState.FAIL
    (here / "not_yet_there.py").write_text("from mmbert.fusion.mean import MeanFusion as Fusion\n")
    again = search("fusion=absent", "seed=0,1", "hydra.sweeper.n_trials=1", "trainer.max_epochs=1", "study.resume=true")
    assert again.code == 0, again.err
    trial = study_in(here).trials[1]
    assert trial.state == TrialState.COMPLETE and trial.params == failed.params
    sys.modules.pop("not_yet_there", None)


@pytest.mark.parametrize("sampler", ["TPESampler", "RandomSampler", "QMCSampler"])
def test_a_resumed_search_asks_what_one_without_a_break_asks(tmp_path, sampler):
    space = {"x": FloatDistribution(0.0, 1.0), "y": CategoricalDistribution(["a", "b", "c"])}

    def asked(folder, *parts):
        for number, until in enumerate(parts):
            node = {"_target_": f"optuna.samplers.{sampler}", "seed": 3}
            made = OptunaSweeper(until, 1, "maximize", instantiate(node), None, None)
            made.config = OmegaConf.create(
                {
                    "study": {"resume": number > 0},
                    "hydra": {"sweep": {"dir": str(folder)}, "sweeper": {"sampler": node}},
                }
            )
            made.launcher = Quick(folder)
            search = made.begin(folder)
            assert made.run_trials(search, space, []) == []
        return [trial.params for trial in search.trials]

    whole, broken = asked(tmp_path / "whole", 16), asked(tmp_path / "broken", 2, 3, 13, 16)
    assert broken == whole
    assert len({str(params) for params in whole}) == 16


def test_a_search_may_leave_the_sampler_to_optuna(tmp_path):
    made = OptunaSweeper(2, 1, "maximize", None, None, None)
    made.config = OmegaConf.create(
        {"study": {"resume": False}, "hydra": {"sweep": {"dir": str(tmp_path)}, "sweeper": {"sampler": None}}}
    )
    made.launcher = Quick(tmp_path)
    search = made.begin(tmp_path)
    assert made.run_trials(search, {"x": FloatDistribution(0.0, 1.0)}, []) == []
    assert [trial.state for trial in search.trials] == [TrialState.COMPLETE] * 2


@pytest.mark.parametrize("storage", [None, "sqlite"])
def test_processes_that_share_a_search_make_as_many_trials_as_were_asked_for(tmp_path, storage):
    address = None if storage is None else f"sqlite:///{tmp_path / 'search.db'}"
    space = {"x": FloatDistribution(0.0, 1.0)}
    folder = tmp_path / "sweep"

    def work(place):
        made = OptunaSweeper(12, 1 + place, "maximize", None, None, None, address, shared=True)
        sweep = {"sweep": {"dir": str(folder)}, "sweeper": {"sampler": None}}
        made.config = OmegaConf.create({"study": {"resume": False}, "hydra": sweep})
        made.launcher = Quick(folder, seconds=0.02)
        folder.mkdir(exist_ok=True)
        return made.run_trials(made.begin(folder), space, []), len(made.launcher.done)

    work(0) if storage else None  # tables are made by the first
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(work, range(3)))
    study = optuna.load_study(study_name=study_name(folder, address), storage=search_storage(folder, address))
    assert [errors for errors, _ in found] == [[]] * 3
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 12
    assert sum(count for _, count in found) == (0 if storage else 12)


def test_a_search_whose_trials_all_fail_ends(tmp_path):
    made = OptunaSweeper(3, 1, "maximize", None, None, None)
    made.config = OmegaConf.create(
        {"study": {"resume": False}, "hydra": {"sweep": {"dir": str(tmp_path)}, "sweeper": {"sampler": None}}}
    )
    made.launcher = Quick(tmp_path, fails=True)
    assert len(made.run_trials(made.begin(tmp_path), {"x": FloatDistribution(0.0, 1.0)}, [])) == 3


def test_a_database_that_is_not_there_is_told_without_its_password(tmp_path):
    for address in (f"sqlite:///{tmp_path}/none/search.db", "nonsense://anna:secret@host/x"):
        with pytest.raises(ConfigError, match=r"hydra\.sweeper\.storage=.*the database cannot be had") as told:
            search_storage(tmp_path, address)
        assert "secret" not in str(told.value)
    assert without_password("postgresql://anna:secret@host/x") == "postgresql://anna:***@host/x"


class Quick:
    """A launcher whose jobs are over at once: the nearer x is to 0.3, the better."""

    def __init__(self, folder, seconds=0.0, fails=False):
        self.hydra_cfg = OmegaConf.create({"hydra": {"runtime": {"output_dir": str(folder)}}})
        self.seconds, self.fails, self.done = seconds, fails, []

    def launch(self, jobs, first):
        time.sleep(self.seconds)
        self.done += jobs
        if self.fails:
            return [JobReturn(status=JobStatus.FAILED, _return_value=RuntimeError("broken")) for _ in jobs]
        options = [dict(word.split("=") for word in job) for job in jobs]
        return [
            JobReturn(status=JobStatus.COMPLETED, _return_value=-abs(float(one["x"]) - 0.3), hydra_cfg=self.hydra_cfg)
            for one in options
        ]


def test_a_search_in_the_wrong_direction_is_refused_at_once(search):
    ended = search("seed=0,1", "hydra.sweeper.n_trials=1", "monitor=val/loss")
    assert ended.code == 2
    assert "hydra.sweeper.direction=maximize, but val/loss is better the smaller" in ended.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["seed=0"], "Nothing is searched"),
        (["seed=0,1", "hydra.sweeper.n_trials=0"], "of at least 1"),
        (["optimizer.lr=interval(-1,1)"], "optimizer.lr=-1.0: a number above 0"),
    ],
)
def test_what_cannot_be_searched_is_told(search, words, message):
    ended = search(*words)
    assert ended.code == 2 and message in ended.err


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("x=a,b", CategoricalDistribution(["a", "b"])),
        ("x=choice(1,2)", CategoricalDistribution(["1", "2"])),
        ("x=interval(0.1,1)", FloatDistribution(0.1, 1.0)),
        ("x=tag(log,interval(1e-5,1e-2))", FloatDistribution(1e-5, 1e-2, log=True)),
        ("x=int(interval(1,9))", IntDistribution(1, 9)),
        ("x=range(1,9,3)", IntDistribution(1, 7, step=3)),
        ("x=range(0.0,1.0,0.25)", CategoricalDistribution(["0.0", "0.25", "0.5", "0.75"])),
    ],
)
def test_hydras_words_become_optunas(word, expected):
    (override,) = OverridesParser.create().parse_overrides([word])
    assert search_distribution(override) == expected
