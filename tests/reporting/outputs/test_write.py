"""Which files a report leaves, and what happens where it cannot."""

import pandas as pd
import pytest

from mmbert.core.errors import ConfigError
from mmbert.reporting.outputs import write
from mmbert.reporting.report import RunsReport


@pytest.fixture
def report(monkeypatch):
    """Two runs whose option ``fusion.rank`` is a number in one and a word in the other; the pages are not built."""
    for page in ("markdown_page", "html_page", "latex"):
        monkeypatch.setattr(write, page, lambda _, page=page: page)
    runs = pd.DataFrame({"run": ["a", "b"], "config.fusion.rank": [3, "auto"], "seed": [0, 1], "test/x/f1": [0.5, 1]})
    monkeypatch.setattr(write, "results_table", lambda given: given)
    return RunsReport(runs, "test/x/f1", ("fusion",), pd.DataFrame({"group": ["mean"], "mean": [0.75]}))


def test_files_hold_what_was_given(report, tmp_path):
    paths = write.write_report_files(report, tmp_path / "new" / "out", with_latex=True)
    assert [path.name for path in paths] == [
        *("report.md", "summary.csv", "results.csv", "results.parquet", "report.html", "results.tex"),
    ]
    assert [paths[n].read_text() for n in (0, 4, 5)] == ["markdown_page", "html_page", "latex"]
    assert paths[1].read_text() == "group,mean\nmean,0.75\n"
    table = pd.read_parquet(paths[3])
    assert table["config.fusion.rank"].tolist() == ["3", "auto"], "a column of several types becomes text"
    assert table["seed"].tolist() == [0, 1] and table["test/x/f1"].tolist() == [0.5, 1.0]


def test_without_latex_there_is_none(report, tmp_path):
    write.write_report_files(report, tmp_path)
    assert not (tmp_path / "results.tex").exists()


def test_a_folder_that_cannot_be_made_is_named(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"--out .*file/out: it cannot be written \(Not a directory\)"):
        write.write_report_files(report, tmp_path / "file" / "out")


def test_true_is_no_number():
    assert [write.is_python_number(value) for value in (1, 0.5, True, "1")] == [True, True, False, False]
