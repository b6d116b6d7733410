"""Pieces of report.md and the table for a paper, from numbers that are given."""

import json
import math

import pandas as pd
import pytest

from mmbert.reporting.outputs import markdown
from mmbert.reporting.report import RunsReport
from mmbert.reporting.statistics.compare import Comparison
from mmbert.reporting.statistics.shapley import Contribution


@pytest.fixture
def report():
    """Two groups, the second compared with the first."""
    comparison = Comparison("m_n", "concat", 3, -0.25, -0.5, math.nan, 0.5, 0.01, math.nan, 1.5, 0)
    summary = pd.DataFrame({"group": ["concat", "m_n"], "n": [3, 1], "mean": [0.75, 0.5], "std": [0.125, math.nan]})
    contributions = [Contribution("text", {0: 0.1}, 0.75, 0.25), Contribution("image", {0: 0.4, 1: 0.4}, 0.75, 0.25)]
    return RunsReport(
        *(pd.DataFrame({"run": []}), "test/x/f1", ("fusion",), summary, "concat", [comparison]),
        contributions=contributions,
    )


def test_the_table_for_a_paper(report):
    lines = markdown.latex(report).splitlines()
    assert lines[3] == r"fusion & $n$ & test/x/f1 \\"
    assert lines[5] == r"concat & 3 & $\mathbf{0.750 \pm 0.125}$ \\"
    assert lines[6] == r"m\_n & 1 & $0.500$\textsuperscript{\textdagger} \\"


def test_letters_that_latex_would_read_are_escaped():
    assert markdown.escaped("50% of a_b & #1 ${x}") == r"50\% of a\_b \& \#1 \$\{x\}"


def test_a_comparison_shows_a_dash_for_what_is_unknown(report):
    report.comparisons.append(Comparison("x", "concat", 0, *[math.nan] * 6, math.nan, 0))
    row, empty = markdown.comparison_table(report).splitlines()[2:]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["m_n", "3", "-0.2500"] and cells[6:] == ["–", "+1.50"]
    assert [cell.strip() for cell in empty.strip("|").split("|")] == ["x", "0", *["–"] * 6]


def test_the_largest_contribution_comes_first_and_they_are_added_up(report):
    rows = [
        [cell.strip() for cell in row.strip("|").split("|")] for row in markdown.contribution_table(report).splitlines()
    ]
    assert rows[2:] == [["image", "+0.4000 ± 0.0000", "2"], ["text", "+0.1000", "1"]]
    assert "add up to +0.5000" in markdown.contribution_note(report)


def test_an_environment_in_a_sentence():
    told = {
        "started": "2026-11-24T10:00:00",
        "python": "3.11",
        "packages": {"timm": "1.0", "torch": "2.9", "pip": "25"},
        "cpu": {"usable_cores": 1, "model": "Z80"},
        "gpus": [{"name": "G1"}, "G2"],
    }
    assert markdown.environment_text(told) == "2026-11-24: 1 core of Z80 and G1, G2; Python 3.11, torch 2.9, timm 1.0"
    assert markdown.environment_text({"python": "3.11"}).startswith(
        "? cores of an unknown processor, no GPU; Python 3.11"
    )
    assert markdown.environment_text({}) == ""


def test_the_command_of_a_run_is_the_one_it_noted(tmp_path):
    (tmp_path / "job.json").write_text(json.dumps({"hash": "h", "command": "mmbert-train seed=3"}))
    assert markdown.command_of(tmp_path) == "mmbert-train seed=3"


def test_names_of_strangers_are_shown_and_obeyed_nowhere(report):
    name = "<script>x</script>|`\n# y"
    report.comparisons.append(Comparison(name, "concat", 0, *[math.nan] * 6, math.nan, 0))
    row = markdown.comparison_table(report).splitlines()[-1]
    assert row.startswith("| &lt;script&gt;x&lt;/script&gt;\\|\\` # y | 0 |")
    assert markdown.one_line("a\nb\x1b[2J") == "a b\\x1b[2J"
    assert markdown.escaped("\\input{x}^~\n%") == r"\textbackslash{}input\{x\}\textasciicircum{}\textasciitilde{} \%"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("mmbert-train --config-dir conf seed=1 'data.path=my file.csv'",) * 2,
        ("mmbert-train seed=1; rm -r .", "mmbert-train 'seed=1;' rm -r ."),
        ("mmbert-train seed=$(x)", "mmbert-train 'seed=$(x)'"),
        ("mmbert-train; x", "–"),
        ("x mmbert-train", "–"),
        ("mmbert-train 'open", "–"),
        (" ", "–"),
    ],
)
def test_a_command_that_is_shown_runs_nothing_but_mmbert_train(given, shown):
    assert markdown.quoted_command(given) == shown
