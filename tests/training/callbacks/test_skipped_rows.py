"""Skipped rows: collected from batches, kept by checkpoints, listed in a file."""

import torch

from mmbert.core.privacy import WITHHELD, Privacy
from mmbert.core.types import Batch
from mmbert.data.tables.table import Table
from mmbert.training.callbacks.skipped_rows import SHOWN, SkippedRows, write_skipped


def batch(*skipped):
    return Batch({}, {}, torch.tensor([0]), skipped)


def test_rows_of_all_batches_are_kept_once():
    callback = SkippedRows()
    callback.on_train_batch_end(None, None, None, batch((4, "no file")), 0)
    callback.on_validation_batch_end(None, None, None, batch(), 0)
    callback.on_test_batch_end(None, None, None, batch((4, "no file"), (1, "empty")), 0)
    resumed = SkippedRows()
    resumed.load_state_dict(callback.state_dict())
    assert resumed.gather() == {4: "no file", 1: "empty"}


def test_the_file_lists_all_and_the_terminal_the_first(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a\n" + "x\n" * 9)
    table = Table(tmp_path / "t.csv")
    skipped = {row: f'{table.where(row)}, a "fault", here' for row in (6, 5, 4, 3, 2, 0)}
    write_skipped(tmp_path / "skipped.csv", table, skipped)
    lines = (tmp_path / "skipped.csv").read_text().splitlines()
    assert lines == ["row,reason", *(f'{row},"a ""fault"", here"' for row in (1, 3, 4, 5, 6, 7))]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "  6 rows were skipped, all listed in skipped.csv:"
    assert len(said) == 1 + SHOWN and said[1] == '    row 1: a "fault", here'


def test_reasons_of_a_private_run_are_in_the_terminal_alone(tmp_path, capsys):
    (tmp_path / "t.csv").write_text("a\nx\n")
    table, reason = Table(tmp_path / "t.csv"), "anna@b.org.png: there is no such file"
    for privacy, kept in ((Privacy(False), WITHHELD), (Privacy(mask=["email"]), "[email]: there is no such file")):
        write_skipped(tmp_path / "skipped.csv", table, {0: reason}, privacy)
        assert (tmp_path / "skipped.csv").read_text() == f"row,reason\n1,{kept}\n"
        assert f"row 1: {reason}" in capsys.readouterr().out
        callback = SkippedRows(privacy)
        callback.on_test_batch_end(None, None, None, batch((0, reason)), 0)
        assert callback.state_dict() == {"rows": {0: kept}} and callback.gather() == {0: reason}


def test_where_nothing_was_skipped_there_is_no_file(tmp_path, capsys):
    write_skipped(tmp_path / "skipped.csv", None, {})
    assert not list(tmp_path.iterdir()) and not capsys.readouterr().out
