"""Trackers: what they are given is read back from disk; wandb stays offline, asks nothing, and each job is a run."""

import json
import socket
from unittest.mock import MagicMock

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmbert.core.errors import ConfigError
from mmbert.core.types import InputFile
from mmbert.runs.folder import RunFolder
from mmbert.runs.history import read_history
from mmbert.runs.naming import sweep_name
from mmbert.runs.predictions import PredictionTable
from mmbert.training.loggers import group
from mmbert.training.loggers.base import LoggedRun
from mmbert.training.loggers.csv import HistoryLogger
from mmbert.training.loggers.group import RunLoggers
from mmbert.training.plots import run_plots as plots

COVERS = ("base", "csv", "group", "mlflow", "tensorboard", "wandb")

CONFIG = {
    "seed": 2,
    "tasks": {"answer": {"weight": 1.0}, "value": None},
    "fusion": {"_target_": "mmbert.fusion.concat.ConcatFusion", "out_dim": 8},
    "encoders": {"text": {"name": "tiny"}, "image": {}, "audio": {"name": "tiny"}},
}
WANDB = {
    "_target_": "mmbert.training.loggers.wandb.WandbRunLogger",
    "project": "mmbert-tests",
    "entity": None,
    "name": None,
    "group": None,
    "tags": ["t"],
}
WANDB |= {"mode": None, "log_samples": 5, "log_model": False}
TENSORBOARD = {"_target_": "mmbert.training.loggers.tensorboard.TensorBoardRunLogger"}
MLFLOW = {"_target_": "mmbert.training.loggers.mlflow.MLflowRunLogger"}


def start(options, folder, config):
    """The loggers of a run in a folder."""
    return group.start_loggers(options, RunFolder(folder), config)


@pytest.fixture(autouse=True)
def no_key_and_no_network(monkeypatch, tmp_path):
    """A machine without credentials, from which nothing goes out."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_DISABLED", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question at the keyboard"))
    reach = socket.create_connection

    def local_only(address, *args, **kwargs):
        assert address[0] in ("localhost", "127.0.0.1", "::1"), f"a connection to {address}"
        return reach(address, *args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", local_only)


def logged(story: dict, key: str) -> list:
    return [row[key] for row in story["history"] if key in row]


@pytest.fixture
def table():
    table = PredictionTable({"answer": "classification", "value": "regression"})
    probabilities = [{"a": 0.9, "b": 0.1}, {"a": 0.8, "b": 0.2}, {"a": 0.1, "b": 0.9}]
    answers = {
        "answer": [{"prediction": max(p, key=p.get), "probabilities": p} for p in probabilities],
        "value": [{"prediction": value} for value in (1.5, 2.0, 3.0)],
    }
    table.add([0, 1, 2], answers, {"answer": ["a", "b", None], "value": [1.0, 2.0, 3.0]})
    return table


@pytest.fixture
def samples(table, tmp_path):
    Image.new("L", (600, 300), 77).save(tmp_path / "a.png")
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    rows = table.records(3)
    none = {"row": None, "text": None, "image": None, "audio": None}
    rows = [none | row for row in rows]
    rows[0] |= {"text": "hello | you", "image": InputFile(str(tmp_path / "a.png"), "image")}
    rows[1] |= {"audio": InputFile(str(tmp_path / "a.wav"), "audio")}
    return rows


def test_wandb_runs_of_a_sweep_are_each_their_own_and_hold_everything(tmp_path, table, samples, capfd, offline_wandb):
    """Two jobs in one process: one that ends well, with all it is shown, and one that fails."""
    sweep = tmp_path / "multirun" / "study"
    sweep.mkdir(parents=True)
    (sweep / "multirun.yaml").write_text("")
    good, bad = sweep / "0", sweep / "1"
    loggers = start({**WANDB, "tags": ["t", "extra"]}, good, CONFIG)
    assert loggers.num_samples == 5
    for logger in loggers.loggers:
        logger.log_metrics({"train/loss": 2.0}, step=0)
        logger.log_metrics({"val/answer/accuracy": 0.25}, step=9)
    figures = plots.draw(table, "test")
    loggers.show_figures(figures)
    loggers.show_charts(table, "test")
    loggers.show_samples(samples, "test")
    loggers.show_summary({"test/answer/accuracy": 0.5, "peak_memory_mib": 100})
    loggers.close()
    loggers.close()  # a second time does nothing

    loggers = start({**WANDB, "name": "mine", "group": "ours"}, bad, {**CONFIG, "seed": 3})
    loggers.loggers[-1].log_metrics({"train/loss": 7.0}, step=0)
    loggers.close(RuntimeError("out of memory"))
    import wandb

    assert wandb.run is None
    first, second = offline_wandb.story(good), offline_wandb.story(bad)
    assert first["id"] != second["id"]
    assert (first["exit_code"], second["exit_code"]) == (0, 1)
    assert (first["name"], first["group"], first["job_type"]) == ("concat text+audio seed 2", "study", "train")
    assert (second["name"], second["group"]) == ("mine", "ours")
    assert (first["project"], sorted(first["tags"])) == (
        "mmbert-tests",
        ["audio:tiny", "extra", "fusion:concat", "seed:2", "t", "text:tiny"],
    )
    assert first["config"]["fusion"]["out_dim"] == 8 and first["config"]["seed"] == 2
    assert first["config"]["labels"] == {"fusion": "concat", "modalities": "text+audio", "tasks": "answer"}
    assert logged(first, "train/loss") == [2.0] and logged(second, "train/loss") == [7.0]
    assert {"val/answer/accuracy": 0.25, "trainer/global_step": 9}.items() <= first["history"][1].items()
    assert first["summary"]["test/answer/accuracy"] == 0.5
    assert second["summary"]["error"] == "RuntimeError: out of memory"
    check_shown(first, good, figures, offline_wandb)
    said = capfd.readouterr()
    assert "wandb" not in said.out + said.err  # the terminal is ours


def check_shown(story, run_dir, figures, offline_wandb):
    """The pictures, the two charts and the table of samples."""
    files = next(run_dir.glob("wandb/offline-run-*/files"))
    for name in figures:
        (picture,) = logged(story, f"plots/{name}")
        assert picture["_type"] == "image-file" and Image.open(files / picture["path"]).width > 100
    (shown,) = logged(story, "samples/test")
    assert (shown["_type"], shown["nrows"]) == ("table-file", 3)
    parts = offline_wandb.artifact(run_dir, "samplestest")  # the run's own file has the words alone
    content = json.loads(parts["samples/test.table.json"].read_text())
    columns = ["row", "text", "image", "audio"]
    columns += ["answer/target", "value/target", "answer/prediction", "value/prediction"]
    assert content["columns"] == columns
    first, second, third = content["data"]
    assert first[:2] == [0, "hello | you"] and first[2]["_type"] == "image-file" and first[3] is None
    assert (first[2]["width"], first[2]["height"]) == (256, 128)
    assert second[1:3] == [None, None] and second[3]["_type"] == "audio-file"
    assert Image.open(parts[first[2]["path"]]).size == (256, 128)
    assert soundfile.info(parts[second[3]["path"]]).samplerate == 8000
    assert third[4:] == [None, 3.0, "b", 3.0]
    matrices = {
        path.name.split("_")[0]: json.loads(path.read_text()) for path in files.glob("media/table/charts/**/*.json")
    }
    cells = {(actual, predicted): count for actual, predicted, count in matrices["confusion"]["data"]}
    assert cells == {("a", "a"): 1, ("a", "b"): 0, ("b", "a"): 1, ("b", "b"): 0}  # the unlabelled sample left out
    assert {row[0] for row in matrices["roc"]["data"]} == {"a", "b"}


def test_only_the_first_rank_starts_a_run(monkeypatch, tmp_path):
    monkeypatch.setattr("pytorch_lightning.utilities.rank_zero_only.rank", 1, raising=False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("wandb.init", lambda **_: pytest.fail("a run on rank 1"))
    loggers = start(WANDB, tmp_path, CONFIG)
    assert len(loggers.loggers) == 2  # as many as on rank 0
    for logger in loggers.loggers:
        logger.log_metrics({"val/x": 1.0}, step=0)
    loggers.show_summary({"x": 1})
    loggers.close(ValueError())
    assert not (tmp_path / "history.csv").exists() and not (tmp_path / "wandb").exists()


def test_none_is_no_logger_and_disabled_wandb_leaves_the_history(monkeypatch, tmp_path):
    assert start({}, tmp_path, CONFIG).loggers == []
    loggers = start({**WANDB, "mode": "disabled"}, tmp_path, CONFIG)
    assert [type(logger).__name__ for logger in loggers.loggers] == ["HistoryLogger"]
    assert loggers.num_samples == 0


def test_an_unknown_kind_offers_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="logger.kind='tensorbord' is unknown. Did you mean 'tensorboard'"):
        start({"kind": "tensorbord"}, tmp_path, CONFIG)


def test_the_kind_of_an_earlier_version_is_the_class_that_it_stood_for(tmp_path):
    """Configs of runs that are resumed say ``kind``."""
    for kind, names in (("csv", ["HistoryLogger"]), ("tensorboard", ["HistoryLogger", "TensorBoardRunLogger"])):
        loggers = start({"kind": kind, **({"log_samples": 2} if kind == "tensorboard" else {})}, tmp_path, CONFIG)
        assert [type(logger).__name__ for logger in loggers.loggers] == names
        loggers.close()
    assert start({"kind": "none"}, tmp_path, CONFIG).loggers == []


def test_what_is_no_logger_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="logger._target_=pathlib.Path must be a subclass of .*RunLogger"):
        start({"_target_": "pathlib.Path"}, tmp_path, CONFIG)


def test_lightnings_own_loggers_get_numbers_alone(tmp_path, samples):
    other = {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": str(tmp_path / "other"), "name": "x"}
    loggers = start(other, tmp_path, CONFIG)
    loggers.loggers[-1].log_metrics({"val/loss": 0.5}, step=3)
    assert loggers.num_samples == 0
    loggers.show_samples(samples, "test")
    loggers.close()
    assert "0.5" in next((tmp_path / "other").rglob("metrics.csv")).read_text()


def test_the_history_goes_on_after_a_kill(tmp_path):
    """Validation is on disk at once; a resumed run adds to the file, and what it measures again counts once."""
    run = LoggedRun(RunFolder(tmp_path), {})
    first = HistoryLogger(run)
    first.log_metrics({"train/loss": 3.0}, step=0)
    first.log_metrics({"val/loss": 2.0}, step=9)
    first.log_metrics({"train/loss": 1.0}, step=10)  # lost with the process
    second = HistoryLogger(run)
    second.log_metrics({"val/loss": 2.5}, step=9)
    second.log_metrics({"val/loss": 1.5, "val/answer/f1": 0.5}, step=19)
    RunLoggers([second]).close()
    assert read_history(tmp_path / "history.csv") == {
        "train/loss": [(0, 3.0)],
        "val/loss": [(9, 2.5), (19, 1.5)],
        "val/answer/f1": [(19, 0.5)],
    }
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_a_trackers_trouble_does_not_cost_the_run(tmp_path, caplog):
    class FailingLogger(HistoryLogger):
        def show_samples(self, rows, split):
            raise OSError("disk full")

    RunLoggers([FailingLogger(LoggedRun(RunFolder(tmp_path), {}))]).show_samples([{"row": 0}], "test")
    assert "FailingLogger failed at 'show_samples': OSError: disk full" in caplog.text


def test_a_sweeps_name(tmp_path):
    day = tmp_path / "multirun" / "2026-01-02" / "13-14-15"
    day.mkdir(parents=True)
    assert sweep_name(day / "0") is None
    (day / "multirun.yaml").write_text("")
    assert sweep_name(day / "0") == "2026-01-02_13-14-15"


def test_tensorboard_shows_numbers_pictures_sounds_and_texts(tmp_path, table, samples):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = start({**TENSORBOARD, "log_samples": 3}, tmp_path, CONFIG)
    for logger in loggers.loggers:
        logger.log_metrics({"val/answer/accuracy": 0.25}, step=9)
    loggers.show_figures(plots.draw(table, "test"))
    loggers.show_samples(samples, "test")
    loggers.show_summary({"test/answer/accuracy": 0.5})
    loggers.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert [(e.step, e.value) for e in events.Scalars("val/answer/accuracy")] == [(9, 0.25)]
    assert events.Scalars("test/answer/accuracy")[0].value == 0.5
    assert {"plots/test/answer/confusion", "plots/test/answer/roc", "samples/test/0"} <= set(tags["images"])
    assert tags["audio"] == ["samples/test/1"]
    text = events.Tensors("samples/test/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "hello \\| you" in text and "| 2 | 3.0 |" not in text and text.count("\n") == 4
    assert (tmp_path / "history.csv").is_file()


def test_tensorboard_not_installed_is_told(monkeypatch, tmp_path):
    def missing(*_, **__):
        raise ModuleNotFoundError("No module named 'tensorboard'")

    monkeypatch.setattr("pytorch_lightning.loggers.TensorBoardLogger.__init__", missing)
    with pytest.raises(ConfigError, match=r"pip install 'mmbert\[tensorboard\]'"):
        start(TENSORBOARD, tmp_path, CONFIG)


@pytest.mark.slow
def test_mlflow_holds_numbers_options_pictures_samples_and_how_it_ended(tmp_path, table, samples, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    options = {**MLFLOW, "log_samples": 3, "log_model": True, "project": "ours", "tags": ["first", "try"]}
    good = start({**options, "group": "study"}, tmp_path / "0", CONFIG)
    for logger in good.loggers:
        logger.log_metrics({"val/answer/accuracy": 0.25}, step=9)
    good.show_figures(plots.draw(table, "test"))
    good.show_samples(samples, "test")
    good.show_summary({"test/answer/accuracy": 0.5, "data_fingerprint": "abc"})
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    good.show_model(tmp_path / "model")
    good.close()
    bad = start({**options, "name": "mine"}, tmp_path / "1", CONFIG)
    bad.close(RuntimeError("out of memory"))

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("ours").experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED", "FAILED"} and len(runs) == 2
    failed, done = sorted(runs, key=lambda run: run.info.status)
    assert failed.data.tags["error"] == "RuntimeError: out of memory" and failed.info.run_name == "mine"
    assert done.data.metrics == {"val/answer/accuracy": 0.25, "test/answer/accuracy": 0.5}
    assert [(m.step, m.value) for m in client.get_metric_history(done.info.run_id, "val/answer/accuracy")] == [
        (9, 0.25)
    ]
    assert (
        done.data.tags["group"] == "study"
        and done.data.tags["tags"] == "first, try, fusion:concat, seed:2, text:tiny, audio:tiny"
    )
    assert done.data.tags["data_fingerprint"] == "abc"
    assert done.data.params["seed"] == str(CONFIG["seed"]) and "fusion._target_" in done.data.params
    kept = {path.relative_to(tmp_path / "mlartifacts").parts[2:] for path in (tmp_path / "mlartifacts").rglob("*.*")}
    names = {"/".join(parts) for parts in kept}
    assert {"plots/test/answer/confusion.png", "samples/test.json", "model/config.json"} <= names
    assert any(name.startswith("samples/test/") and name.endswith(".wav") for name in names)


def test_mlflow_not_installed_and_no_server_are_told(monkeypatch, tmp_path):
    from mmbert.training.loggers import mlflow as mlflow_tracker

    monkeypatch.setattr(mlflow_tracker, "PARTS", ("mlflow", "no_such_package"))
    with pytest.raises(ConfigError, match=r"needs no_such_package: pip install 'mmbert\[mlflow\]'"):
        start(MLFLOW, tmp_path, CONFIG)
    monkeypatch.undo()
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ConfigError, match="logger.tracking_uri=http://127.0.0.1:9: .*leave it out"):
        start({**MLFLOW, "tracking_uri": "http://127.0.0.1:9"}, tmp_path, CONFIG)


def test_every_run_can_be_found_by_what_it_is():
    config = {
        "fusion": {"_target_": "mmbert.fusion.mean.MeanFusion"},
        "seed": 3,
        "encoders": {
            "text": {"_target_": "mmbert.encoders.text.TextEncoder", "name": "minilm"},
            "audio": {"_target_": "mmbert.encoders.melspec_cnn.MelspecCNN"},
            "image": None,
            "long": {"name": "x" * 99},
        },
    }
    assert group.own_tags(config)[:4] == ["fusion:mean", "seed:3", "text:minilm", "audio:MelspecCNN"]
    assert [len(tag) for tag in group.own_tags(config)][4] == 64


def test_a_run_is_filed_under_its_study(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        "mmbert.training.loggers.wandb.begin", lambda mode, given, folder: seen.append(given) or MagicMock()
    )
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").touch()
    for study, own in (("my_study", None), (None, None), ("my_study", "mine")):
        start({**WANDB, "group": own}, tmp_path / "sweep" / "0", {**CONFIG, "study": {"name": study}})
    assert [given["group"] for given in seen] == ["my_study", "sweep", "mine"]
