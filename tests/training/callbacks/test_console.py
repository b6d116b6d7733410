"""What stands in the table at the end, in which order, and what replaces a moving bar where nobody can see one."""

from mmbert.runs.folder import RunFolder
from mmbert.training.callbacks import console


def test_the_table_goes_task_by_task_with_losses_last():
    metrics = {
        "test/loss": 3.0,
        "test/answer/loss": 1.0,
        "test/value/loss": 2.0,
        "test/answer/accuracy": 0.5,
        "test/value/mae": 1.5,
        "val/answer/accuracy": 0.6,
        "test_missing/answer/f1": 0.1,
    }
    keys = console.unique_keys(metrics, ["test", "test_missing"])
    assert keys == ["answer/accuracy", "answer/f1", "answer/loss", "value/mae", "value/loss", "loss"]


def test_the_table_shows_every_split_and_where_things_are(tmp_path, capsys):
    (tmp_path / "metrics.json").write_text("{}")
    console.print_results(
        {"test/answer/accuracy": 0.5, "other/answer/accuracy": 0.25}, ["test", "other"], RunFolder(tmp_path)
    )
    shown = capsys.readouterr().out
    assert "0.5000" in shown and "0.2500" in shown and "metrics.json" in shown
    assert "predictions" not in shown  # nothing is named that was not written


def test_without_a_terminal_there_is_a_line_an_epoch(monkeypatch):
    monkeypatch.setattr(console, "on_terminal", lambda: False)
    assert isinstance(console.progress_display(), console.EpochLines)
    monkeypatch.setattr(console, "on_terminal", lambda: True)
    assert not isinstance(console.progress_display(), console.EpochLines)


def test_an_epochs_line_begins_with_what_is_monitored():
    metrics = {"val/mood/accuracy": 0.5, "val/mood/f1_weighted": 0.25, "val/loss": 1.0, "val/mood/f1": 0.1}
    metrics |= {"train/loss": 2.0, "val/size/mae": float("nan")}
    line = console.epoch_metrics(metrics, "val/mood/f1_weighted")
    assert line == ["val/mood/f1_weighted 0.25", "val/mood/accuracy 0.5", "val/loss 1"]
    assert console.epoch_metrics(metrics, "val/loss") == ["val/loss 1", "val/mood/accuracy 0.5"]
    assert console.epoch_metrics(metrics, "val/gone") == console.epoch_metrics(metrics, None)
    assert len(console.epoch_metrics(metrics, None)) == 2


def test_notes_on_the_data_are_warnings_of_one_line_each(capsys):
    console.print_notes(["a.csv: its cells are [separated] by tabs", "another"])
    assert capsys.readouterr().out.splitlines() == [
        "  warning   a.csv: its cells are [separated] by tabs",
        "  warning   another",
    ]


def test_a_note_on_a_metric_stands_once_where_it_is_the_same_for_all_splits():
    notes = {"test/said/bleu": "tok:zh", "other/said/bleu": "tok:zh", "val/said/bleu": "tok:zh"}
    assert console.note_lines(notes, ["test", "other"]) == ["said/bleu: tok:zh"]
    notes["other/said/bleu"] = "nrefs:2"
    assert console.note_lines(notes, ["test", "other"]) == ["said/bleu of test: tok:zh", "said/bleu of other: nrefs:2"]
