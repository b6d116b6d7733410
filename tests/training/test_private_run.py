"""Every byte that runs leave, in their folder and with trackers, is searched for a word that stands in samples alone.

The same run is made three times: with samples, without, and with e-mail addresses masked. The first shows that the
search would find what is there.
"""

import gzip
import io
import json
import zipfile

import hydra
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mmbert.cli import report
from mmbert.cli.run_config import run_privacy
from mmbert.core.privacy import WITHHELD
from mmbert.model import MultimodalModel
from mmbert.runs.folder import RunFolder
from mmbert.training import run as run_module
from mmbert.training.evaluate import evaluate
from mmbert.training.loggers.group import RunLoggers, start_loggers
from mmbert.training.run import run

CANARY, ADDRESS = "zyxquokka", "zyx.quokka@hidden.example"
TRACKERS = {
    "wandb": {"_target_": "mmbert.training.loggers.wandb.WandbRunLogger", "mode": "offline", "log_samples": 9},
    "tensorboard": {"_target_": "mmbert.training.loggers.tensorboard.TensorBoardRunLogger", "log_samples": 9},
    "mlflow": {"_target_": "mmbert.training.loggers.mlflow.MLflowRunLogger", "log_samples": 9, "log_model": True},
}
SETTINGS = {"open": [], "withheld": ["privacy.samples=false"], "masked": ["privacy.mask=[email]"]}


def contents(data: bytes):
    """A file's bytes, and those of whatever is packed in it: archives, Parquet columns, a picture's texts."""
    yield data
    if data[:2] == b"\x1f\x8b":
        yield from contents(gzip.decompress(data))
    if data[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(data))
        yield json.dumps(table.to_pydict(), default=str, ensure_ascii=False).encode()
        yield repr(table.schema.metadata).encode()
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        yield repr(Image.open(io.BytesIO(data)).info).encode()
    if data[:4] == b"PK\x03\x04" and zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield from contents(archive.read(name))


def places_of_word(folder, word):
    """The files in a folder, by relative path, whose name or content has a word."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and (
            word in str(path.relative_to(folder)) or any(word.encode() in part for part in contents(path.read_bytes()))
        )
    ]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Texts with their answers and class, pictures with names that tell, one of them missing."""
    folder = tmp_path_factory.mktemp("set")
    random, rows = np.random.default_rng(0), []
    for row in range(26):
        name = f"{ADDRESS}_{row}.png" if row % 2 else f"{CANARY}_{row}.png"
        if row != 4:
            Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / name)
        text = f"{CANARY} wrote {ADDRESS} on day {row}"
        split = "train" if row < 12 else "val" if row < 18 else "test"
        rows.append(
            {"text": text, "image": name, "answer": ADDRESS, "who": CANARY, "kind": row % 3 == 0, "split": split}
        )
    pd.DataFrame(rows).replace({"kind": {True: "yes", False: "no"}}).to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


def composed(table, *more):
    words = [
        *("data=manifest", f"data.path={table}", "text=tiny", "image=tiny", "audio=none", "trainer=cpu", "logger=csv"),
        *("trainer.max_epochs=1", "data.num_workers=0", "data.batch_size=6", "fusion=mean", "fusion.out_dim=8"),
        *("+task@tasks.kind=classification", "tasks.kind.column=kind", "data.on_error=skip", "data.check_files=false"),
        *("+task@tasks.found=extractive_qa", "tasks.found.column=answer"),
        *("+task@tasks.who=extractive_qa", "tasks.who.column=who", "plots=true"),
    ]
    with hydra.initialize_config_module("mmbert.conf", version_base="1.3"):
        return hydra.compose("train", [*words, *more])


@pytest.fixture(scope="module")
def runs(table, tmp_path_factory):
    """By setting a folder with the run, what trackers, an evaluation and a report have left."""
    pytest.importorskip("tensorboard")
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_API_KEY", raising=False)

        def all_trackers(options, folder, config):
            loggers = [start_loggers(options, folder, config).loggers[0]]
            return RunLoggers(loggers + [start_loggers(one, folder, config).loggers[1] for one in TRACKERS.values()])

        patch.setattr(run_module, "start_loggers", all_trackers)
        for setting, words in SETTINGS.items():
            place = tmp_path_factory.mktemp(setting)
            patch.chdir(place)  # MLflow's database lies where one stands, unless an earlier run has left its address
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
                patch.setenv(name, str(place / "home" / name))
            patch.setenv("MMBERT_HOME", str(tmp_path_factory.mktemp("home")))  # the cache of tables: docs/privacy.md
            cfg = composed(table, *words)
            run(cfg, place / "run")
            model = MultimodalModel.from_pretrained(place / "run" / "model")
            privacy = run_privacy(place / "run" / "model", {})
            evaluate(model, cfg.data, cfg.trainer, place / "evaluated", ["val"], privacy=privacy)
            report.main([str(place / "run"), "--metric", "test/kind/accuracy", "--out", str(place / "report")])
            made[setting] = place
    return made


@pytest.mark.slow
def test_the_word_is_found_where_samples_are_written(runs):
    places = places_of_word(runs["open"], CANARY)
    expected = ["run/predictions/test.parquet", "evaluated/predictions/val.parquet", "run/skipped.csv"]
    assert {*expected, "report/report.html"} <= set(places)
    for beginning in ("run/checkpoints/", "run/tensorboard/", "run/wandb/", "mlartifacts/"):
        assert any(place.startswith(beginning) for place in places), beginning
    for setting in SETTINGS:  # what was searched: each run has a database and events of its own
        assert (runs[setting] / "mlflow.db").is_file() and list(runs[setting].glob("run/wandb/offline-*"))


@pytest.mark.slow
def test_without_samples_the_word_is_nowhere(runs):
    for word in (CANARY, ADDRESS, ADDRESS.partition("@")[0]):
        assert places_of_word(runs["withheld"], word) == []
    skipped = (runs["withheld"] / "run" / "skipped.csv").read_text().splitlines()
    assert skipped == ["row,reason", f"5,{WITHHELD}"]
    assert "not shown (privacy.samples=false)" in (runs["withheld"] / "report" / "report.html").read_text()


@pytest.mark.slow
def test_masked_addresses_are_nowhere_and_the_rest_is_there(runs):
    assert places_of_word(runs["masked"], ADDRESS) == places_of_word(runs["masked"], ADDRESS.partition("@")[0]) == []
    kept, before = places_of_word(runs["masked"], CANARY), places_of_word(runs["open"], CANARY)
    assert {"run/predictions/test.parquet", "run/skipped.csv", "report/report.html"} <= set(kept) & set(before)
    marked = places_of_word(runs["masked"], "[email]")
    assert {"run/predictions/test.parquet", "report/report.html"} <= set(marked)


@pytest.mark.slow
def test_numbers_and_weights_are_the_same_whatever_is_written(runs):
    def numbers(setting):
        folder = runs[setting] / "run"
        metrics = {key: value for key, value in RunFolder(folder).read_metrics().items() if "/" in key}
        evaluated = json.loads((runs[setting] / "evaluated" / "evaluation.json").read_text())
        weights = (folder / "model" / "model.safetensors").read_bytes()
        return metrics, {key: value for key, value in evaluated.items() if "/" in key}, weights

    assert numbers("open") == numbers("withheld") == numbers("masked")
    assert "test/found/f1" in numbers("open")[0]


@pytest.mark.slow
def test_rows_classes_and_probabilities_stay(runs):
    tables = {name: pd.read_parquet(place / "run" / "predictions" / "test.parquet") for name, place in runs.items()}
    same = ["row", "kind/target", "kind/prediction", "kind/probabilities"]
    for name in ("withheld", "masked"):
        pd.testing.assert_frame_equal(tables[name][same], tables["open"][same])
    assert list(tables["withheld"]) == list(tables["open"])
    assert tables["withheld"][["found/target", "found/prediction", "who/target"]].isna().all(axis=None)
    assert set(tables["masked"]["found/target"]) == {"[email]"} and set(tables["masked"]["who/target"]) == {CANARY}
