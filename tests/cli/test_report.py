"""The words of mmbert-report and its table in the terminal; ``tests/reporting`` compares runs with it."""

from pathlib import Path

import pytest

from mmbert.cli import report


def test_what_may_be_typed():
    args = report.report_parser().parse_args(["a", "b", "--by", "fusion,data", "--out", "o", "--latex"])
    assert args.folders == [Path("a"), Path("b")] and args.out == Path("o")
    assert (args.by, args.metric, args.baseline, args.latex, args.wandb) == ("fusion,data", None, None, True, False)


@pytest.mark.parametrize("option", ["--wandb-project=p", "--wandb-entity=e"])
def test_where_wandb_logs_is_asked_for_with_wandb_alone(option, capsys):
    with pytest.raises(SystemExit) as leaving:
        report.main(["runs", option])
    assert leaving.value.code == 2
    assert capsys.readouterr().err == (
        "mmbert-report: --wandb-project and --wandb-entity say where --wandb logs: add --wandb.\n"
    )


def test_a_folder_without_runs_ends_with_code_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as leaving:
        report.main([str(tmp_path)])
    assert leaving.value.code == 2
    assert capsys.readouterr().err.startswith(f"mmbert-report: No run in {tmp_path}: ")


def test_a_long_name_is_not_cut_in_a_pipe_and_brackets_are_no_markup(capsys):
    name = "fusion=" + "x" * 120
    report.print_table(["group", "mean"], [[name, "0.5 [0.4, 0.6]"]], ["a [note]"], title="T")
    lines = capsys.readouterr().out.splitlines()
    assert any(name in line and "0.5 [0.4, 0.6]" in line for line in lines)
    assert lines[-1] == "  a [note]"
