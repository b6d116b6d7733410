"""Tags and answers from the command's config to the files of a run: train, evaluate, predict, report, resume, DDP."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from mmbert.cli.predict import main as predict_main
from mmbert.cli.report import main as report_main
from mmbert.core.errors import DataError
from mmbert.runs.files import write_config
from mmbert.training.run import run

TASKS = [
    *(f"tasks.{name}=null" for name in ("answer", "seen", "heard", "operation", "properties", "value")),
    *("+task@tasks.tags=tagging", "tasks.tags.column=tags", "tasks.tags.unit=punctuation"),
    *("+task@tasks.place=extractive_qa", "tasks.place.column=span_start", "tasks.place.end_column=span_end"),
]

#: As trainer=ddp has it: neither task reads the joint vector, so that its last layer has no gradient.
TWO = ("trainer.devices=2", "trainer.strategy=ddp_find_unused_parameters_true")


@pytest.fixture(scope="module")
def composed(compose_tiny):
    return lambda *words: compose_tiny(*TASKS, *words)


@pytest.fixture(scope="module")
def spans_run(composed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("spans")
    run(composed("trainer.max_epochs=3", "robustness.subsets=true"), folder)
    return folder


def test_a_run_measures_both_and_leaves_their_predictions(spans_run):
    facts = json.loads((spans_run / "metrics.json").read_text())
    for name in ("tags/f1_lenient", "tags/f1_strict", "tags/accuracy", "place/exact_match", "place/f1"):
        assert 0 <= facts[f"test/{name}"] <= 1, name
    assert "IOB2" in facts["metric_notes"]["test/tags/f1_strict"]
    assert "SQuAD" in facts["metric_notes"]["test/place/f1"]
    table = pd.read_parquet(spans_run / "predictions" / "test.parquet")
    lengths = [
        (len(json.loads(a)), len(json.loads(b)))
        for a, b in zip(
            table["tags/target"].dropna(), table["tags/prediction"][table["tags/target"].notna()], strict=True
        )
    ]
    assert lengths and all(a == b for a, b in lengths)
    known = table[table["place/target"].notna()]
    assert (
        len(known) and known["place/target"].str.fullmatch("[a-z]+").all() and known["place/prediction"].notna().all()
    )
    robust = json.loads((spans_run / "robustness.json").read_text())
    assert "text" in json.dumps(robust)


def predicted(capsys, *words):
    capsys.readouterr()
    predict_main(list(words))
    return capsys.readouterr().out


def test_the_saved_model_answers_one_text_and_a_table(spans_run, tmp_path, capsys):
    out = json.loads(predicted(capsys, f"model={spans_run}", "text=Add the number, seven, please.", "--json"))
    assert len(out["tags"]["prediction"]) == len(out["tags"]["words"]) == 8
    place = out["place"]
    assert place["prediction"] == "Add the number, seven, please."[place["start"] : place["end"]]
    assert "tags" in predicted(capsys, f"model={spans_run}", "text=Add.")
    rows = ["What is it?", "", "seven"]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text", "audio"], *([text, ""] for text in rows if text)])
    answer = predicted(capsys, f"model={spans_run}", f"table={tmp_path / 't.csv'}", f"out={tmp_path / 'a.jsonl'}")
    assert "2 rows answered, 0 skipped" in answer
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [len(line["tags"]["prediction"]) for line in lines] == [4, 1]
    predicted(capsys, f"model={spans_run}", f"table={tmp_path / 't.csv'}", f"out={tmp_path / 'a.parquet'}")
    assert json.loads(pd.read_parquet(tmp_path / "a.parquet")["tags/prediction"][0]) == lines[0]["tags"]["prediction"]


def test_the_report_has_both_tasks(spans_run, tmp_path, capsys):
    report_main([str(spans_run), "--out", str(tmp_path / "report")])
    assert next((tmp_path / "report").rglob("*.html")).stat().st_size
    columns = pd.read_csv(tmp_path / "report" / "results.csv").columns
    assert {"test/tags/f1_strict", "test/tags/f1_lenient", "test/place/f1"} <= set(columns)


def test_a_wrong_label_is_an_error_with_its_row_or_a_skipped_row(digits, composed, tmp_path):
    rows = list(csv.DictReader(digits.open()))
    tests = [i for i, row in enumerate(rows) if row["split"] == "test" and row["text"]]
    rows[tests[0]]["tags"] = '["O"]'
    rows[tests[1]] |= {"span_start": "5", "span_end": "900"}
    rows[tests[2]]["tags"] = rows[tests[2]]["tags"].replace('"O"', '"B-LOC"')
    path = digits.parent / "spans_wrong.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    try:
        with pytest.raises(DataError, match=rf"row {tests[0] + 1} .*column 'tags': 1 tags for a text of"):
            run(composed(f"data.path={path}"), tmp_path / "raise")
        run(
            composed(f"data.path={path}", "data.on_error=skip", "logger=none", "trainer.max_epochs=1"),
            tmp_path / "skip",
        )
    finally:
        path.unlink()
    reasons = {int(item["row"]) - 1: item["reason"] for item in csv.DictReader((tmp_path / "skip/skipped.csv").open())}
    assert sorted(reasons) == sorted(tests[:3])
    assert "lies at characters 5 to 900" in reasons[tests[1]] and "the tag 'B-LOC'" in reasons[tests[2]]
    assert json.loads((tmp_path / "skip" / "metrics.json").read_text())["skipped_rows"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(), TWO])
def test_a_run_that_is_killed_goes_on_with_the_same_numbers(composed, what_is_left, tmp_path, processes):
    options = ("data.batch_size=8", "data.num_workers=1", "trainer.max_epochs=4", "checkpoint.every_minutes=0.0000001")
    cfg = composed(*options, *processes)

    def started(folder):
        folder.mkdir(exist_ok=True)
        if not (folder / "config.yaml").exists():
            write_config(folder / "config.yaml", cfg)
        command = [sys.executable, "-m", "mmbert.cli.train", f"resume={folder}"]
        with (folder / "log.txt").open("a") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    assert started(tmp_path / "whole").wait(timeout=500) == 0, (tmp_path / "whole" / "log.txt").read_text()
    process, checkpoint = started(tmp_path / "killed"), tmp_path / "killed" / "checkpoints" / "last.ckpt"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.01)
    assert process.poll() is None, "it ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert started(tmp_path / "killed").wait(timeout=500) == 0, (tmp_path / "killed" / "log.txt").read_text()
    expected, got = what_is_left(tmp_path / "whole"), what_is_left(tmp_path / "killed")
    for part in expected:
        assert got[part] == expected[part], part
