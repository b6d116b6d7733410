"""``history.csv`` read back: curves by step and by epoch, and what a resumed run measured twice."""

import pytest

from mmbert.core.errors import DataError
from mmbert.runs.history import read_epochs, read_history, read_rows

LINES = ["step,epoch,loss,val", "2,0,1.5,", "2,0,,0.25", "1,0,2.0,", "4,1,1.0,0.5", "4,1,,0.75"]


def test_curves_are_in_order_of_steps_with_the_last_value_of_each(tmp_path):
    (tmp_path / "history.csv").write_text("\n".join(LINES) + "\n")
    path = tmp_path / "history.csv"
    assert read_history(path) == {
        "epoch": [(1, 0.0), (2, 0.0), (4, 1.0)],
        "loss": [(1, 2.0), (2, 1.5), (4, 1.0)],
        "val": [(2, 0.25), (4, 0.75)],
    }
    assert read_epochs(path, "val") == [(0, 0.25), (1, 0.5), (1, 0.75)] and read_epochs(path, "gone") == []
    assert read_rows(path)[1] == {"step": "2", "epoch": "0", "loss": "", "val": "0.25"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["step,epoch,val", "x,0,1"], r"line 2: step is 'x', no number"),
        (["step,epoch,val", "0,0,1", "1,0,0,5"], r"line 3 has not as many cells"),
        (["step,epoch,val", "0"], r"line 2 has not as many cells"),
        (["step,epoch,val", "-1,0,1"], r"line 2: step is '-1', which cannot be"),
        (["epoch,val", "0,1"], r"line 2: step is 'None', no number"),
    ],
)
def test_a_damaged_file_is_named_with_the_line(tmp_path, lines, message):
    (tmp_path / "history.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=message):
        read_history(tmp_path / "history.csv")


def test_a_file_in_another_encoding_is_named(tmp_path):
    (tmp_path / "history.csv").write_bytes("step,é\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"history.csv cannot be read"):
        read_history(tmp_path / "history.csv")


def test_a_loss_that_is_no_number_is_kept(tmp_path):
    (tmp_path / "history.csv").write_text("step,epoch,loss\n0,0,nan\n")
    assert [str(value) for _, value in read_epochs(tmp_path / "history.csv", "loss")] == ["nan"]
