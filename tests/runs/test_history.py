"""``history.csv`` read back: curves by step and by epoch, and what a resumed run measured twice."""

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
