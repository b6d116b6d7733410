"""mmbert-evaluate: the run's own numbers again, other tables, other splits, lost modalities, and its mistakes."""

import csv
import json
import sys
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from mmbert.cli import evaluate as command
from mmbert.data.tables.table import Table
from mmbert.runs.folder import RunFolder
from mmbert.tasks.regression import Regression
from mmbert.training.build import build
from mmbert.training.evaluate import measure


@pytest.fixture
def evaluate(monkeypatch, tmp_path, capsys):
    """``evaluate("split=val", ...)`` -> exit code, what was printed, and evaluation.json if there is one."""

    def call(*words):
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        monkeypatch.setattr(sys, "argv", ["mmbert-evaluate", *words, f"out={out}"])
        code = 0
        try:
            command.main()
        except SystemExit as error:
            code = error.code
        said = capsys.readouterr()
        facts = json.loads((out / "evaluation.json").read_text()) if code == 0 else {}
        return code, said.out + said.err, facts, out

    return call


DRAWN = ("data.split.val=0.25", "data.split.test=0.25", "plots=false", "trainer.max_epochs=1", "logger=none")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tasks", "stratified"),
    [
        (("tasks.answer=null", "tasks.seen=null", "tasks.heard=null"), True),  # operation, six classes, comes first
        (("tasks.answer=null", "tasks.seen=null", "tasks.heard=null", "tasks.operation=null"), False),
    ],
)
def test_splits_that_were_drawn_are_drawn_again(evaluate, compose_tiny, digits, tmp_path, tasks, stratified):
    """Other rows would be rows that the model was trained on."""
    from mmbert.training.run import run

    folder = tmp_path / "run"
    folder.mkdir()
    rows = list(csv.DictReader(digits.open()))
    with (tmp_path / "undivided.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in rows[0] if name != "split"], extrasaction="ignore")
        writer.writeheader()
        for row in rows:
            writer.writerow(row | {n: str(digits.parent / row[n]) if row[n] else "" for n in ("image", "audio")})
    cfg = compose_tiny(*tasks, *DRAWN, f"data.path={tmp_path / 'undivided.csv'}")
    run(cfg, folder)
    known = json.loads((folder / "metrics.json").read_text())
    code, said, facts, out = evaluate(f"model={folder}", "trainer=cpu")
    assert code == 0, said
    assert metrics(facts, "test") == metrics(known, "test") != {}
    ours, theirs = (pq.read_table(place / "predictions" / "test.parquet")["row"].to_pylist() for place in (out, folder))
    assert ours == theirs
    plain = build(OmegaConf.merge(cfg, {"data": {"split": {"stratify": None}}})).data.rows["test"].tolist()
    assert (plain != ours) == stratified


def metrics(facts, split):
    return {key: value for key, value in facts.items() if key.startswith(f"{split}/") and key != f"{split}/loss"}


def test_the_runs_own_test_splits_give_the_runs_own_numbers(evaluate, finished_run):
    code, said, facts, out = evaluate(f"model={finished_run}", "trainer=cpu")
    assert code == 0, said
    known = json.loads((finished_run / "metrics.json").read_text())
    for split in ("test", "test_missing"):
        assert metrics(facts, split) == metrics(known, split) != {}
        ours, theirs = (
            pq.read_table(folder / "predictions" / f"{split}.parquet").to_pylist() for folder in (out, finished_run)
        )
        assert ours == theirs
    assert facts["data_fingerprint"] == known["data_fingerprint"]
    assert "evaluation.json" in said and (out / "plots").is_dir()


@pytest.mark.slow
def test_another_batch_size_and_split_change_no_number(evaluate, finished_run):
    _, _, facts, _ = evaluate(f"model={finished_run / 'model'}", "split=val", "data.batch_size=5", "trainer=cpu")
    known = metrics(json.loads((finished_run / "metrics.json").read_text()), "val")
    assert metrics(facts, "val") == pytest.approx(known, abs=1e-6)


@pytest.mark.slow  # that a subset is what evaluation without the others gives is tested in tests/analysis
def test_dropping_a_modality_is_emptying_its_column(evaluate, finished_run, digits, tmp_path):
    rows = [row for row in csv.DictReader(digits.open()) if row["split"] == "test"]
    for row in rows:
        row |= {"audio": "", "image": str(digits.parent / row["image"])}
    with (tmp_path / "silent.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    _, _, dropped, _ = evaluate(f"model={finished_run}", "split=test", "drop=[audio]", "trainer=cpu")
    code, said, emptied, _ = evaluate(
        f"model={finished_run}", "data=manifest", f"data.path={tmp_path / 'silent.csv'}", "split=all", "trainer=cpu"
    )
    assert code == 0, said
    ours, theirs = metrics(dropped, "test"), metrics(emptied, "all")
    assert ours == pytest.approx({key.replace("all/", "test/"): value for key, value in theirs.items()}, abs=1e-6)
    _, _, whole, _ = evaluate(f"model={finished_run}", "split=test", "trainer=cpu")
    assert metrics(whole, "test") != ours
    assert dropped["dropped_modalities"] == ["audio"]


@pytest.mark.slow
def test_rows_with_nothing_left_are_counted(evaluate, finished_run, digits):
    table = Table(digits)
    silent = [
        row
        for row in table.rows_where("split", "test_missing").tolist()
        if table.cell(row, "text") is None and table.cell(row, "image") is None
    ]
    code, said, facts, out = evaluate(f"model={finished_run}", "split=test_missing", "drop=[audio]", "trainer=cpu")
    assert code == 0, said
    assert facts["skipped_rows"] == len(silent)
    assert (out / "skipped.csv").exists() == bool(silent)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["split=tset"], "There is no split 'tset'. Did you mean 'test'?"),
        (["drop=[sound]"], "the model has no such modality. Choices: text, image, audio"),
        (["drop=text,image,audio"], "leaves nothing to predict from"),
        (["data.pth=x.csv"], "Did you mean 'data.path'?"),
        (["data=manifset"], "data has no choice 'manifset'"),
        (["data=manifest"], "data.path has no value"),
        (["fusion=mean"], "'fusion=mean' is no option of mmbert-evaluate."),
        (["split=val", "split=test"], "'split' is given twice"),
        (["data.path=gone.csv"], "there is no such file"),
        (["trust_custom_code=perhaps"], "true or false is wanted"),
    ],
)
def test_mistakes_are_told(evaluate, finished_run, words, message):
    code, said, _, out = evaluate(f"model={finished_run}", *words)
    assert code == 2
    assert message in said and "Traceback" not in said
    assert not out.exists()


def test_a_table_without_labels_is_for_predict(evaluate, finished_run, tmp_path):
    (tmp_path / "bare.csv").write_text("text,image,audio\nadd,,\n")
    words = [f"model={finished_run}", "data=manifest", f"data.path={tmp_path / 'bare.csv'}", "split=all"]
    code, said, _, _ = evaluate(*words)
    assert code == 2 and "nothing to measure" in said and "mmbert-predict" in said


def test_a_model_outside_its_run_needs_data(evaluate, finished_run, tmp_path):
    import shutil

    shutil.copytree(finished_run / "model", tmp_path / "alone")
    code, said, _, _ = evaluate(f"model={tmp_path / 'alone'}")
    assert code == 2 and "lies in no run's folder" in said


class MeasuresHalf:
    """A trainer that measures 0.5, a loss, and something of another split."""

    def __init__(self, **options):
        self.options = options

    def test(self, module, dataloaders, verbose):
        module.numbers = {f"{dataloaders}/a/accuracy": 0.5, f"{dataloaders}/loss": 2.0}


def test_metrics_are_of_the_split_alone_and_without_its_total_loss(monkeypatch, tmp_path):
    module = SimpleNamespace(
        begin_test=lambda split: SimpleNamespace(gather=lambda: f"predictions of {split}"), notes={}
    )
    monkeypatch.setattr("mmbert.training.evaluate.FusionModule", lambda *parts: module)
    monkeypatch.setattr("mmbert.training.evaluate.make", lambda cfg, **options: MeasuresHalf(**options))
    data = SimpleNamespace(rows={"val": [0], "test": [1]}, loader=lambda split: split, skipped={})
    model = SimpleNamespace(named_tasks=lambda: {"a": Regression(1, "a")})
    analysis = SimpleNamespace(measure=lambda *parts: {"robustness": 1})
    done = measure(model, data, OmegaConf.create({"enable_progress_bar": False}), RunFolder(tmp_path), [analysis])
    assert done.metrics == {"val/a/accuracy": 0.5, "test/a/accuracy": 0.5}
    assert done.predictions == {"val": "predictions of val", "test": "predictions of test"}
    assert done.facts == {"robustness": 1}
