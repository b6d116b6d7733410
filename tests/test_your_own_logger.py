"""docs/your_own_logger.md, done as it is written, in an empty folder."""

import json
from types import SimpleNamespace

import pytest

from mmbert.runs.folder import RunFolder

PAGE = "your_own_logger.md"


def events(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_the_page_does_what_it_says(doc_page, tmp_path):
    page = doc_page(PAGE, tmp_path)
    for block in page.blocks:
        if not page.write(block):
            done = page.run(block)
            assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    written = events(tmp_path / "outputs" / "logged" / "events.jsonl")
    metrics = json.loads((tmp_path / "outputs" / "logged" / "metrics.json").read_text())
    assert [one["event"] for one in written].count("sample") == 2
    assert {"train/loss", "val/loss"} <= {name for one in written if one["event"] == "metrics" for name in one}
    summary = next(one for one in written if one["event"] == "summary")
    assert summary["test/label/accuracy"] == metrics["test/label/accuracy"]
    assert written[-1] == {"event": "end", "failed": False, "error": None}
    assert (tmp_path / "outputs" / "logged" / "history.csv").is_file()


def test_the_pages_class_writes_what_it_is_given_and_its_command_is_right(doc_page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = doc_page(PAGE, tmp_path)
    for block in page.blocks:
        page.write(block)
    run = SimpleNamespace(folder=RunFolder(tmp_path), name="concat text seed 0")
    logger = page.load("my_logger").JsonLinesLogger(run, file="seen.jsonl", num_samples=1)
    logger.log_metrics({"val/loss": 0.5}, 7)
    logger.show_samples([{"row": 3, "text": "a"}], "test")
    logger.show_summary({"test/loss": 0.25, "wall_seconds": 2.0})
    logger.close(True, ValueError("why"))
    assert (logger.name, logger.num_samples) == ("concat text seed 0", 1)
    assert events(tmp_path / "seen.jsonl") == [
        {"event": "metrics", "step": 7, "val/loss": 0.5},
        {"event": "sample", "split": "test", "row": "3", "text": "a"},
        {"event": "summary", "test/loss": 0.25},
        {"event": "end", "failed": True, "error": "why"},
    ]
    page.check_train_commands()
