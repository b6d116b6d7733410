"""Tables of a comparison as Markdown, and numbers as they are shown."""

import math

import pandas as pd

from mmbert.reporting.tables import markdown_table, number_text, results_table, summary_table


def test_shares_have_four_decimals_and_larger_numbers_four_digits():
    assert [number_text(value) for value in (0.123456, -9.5, 12.3456, 123456.0)] == [
        "0.1235",
        "-9.5000",
        "12.35",
        "1.235e+05",
    ]


def test_a_markdown_table_keeps_bars_inside_cells():
    assert markdown_table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | --- |\n| x\\|y | 1 |\n"


def test_a_summary_shows_spread_and_interval_only_where_there_are_several_runs():
    line = {"fusion": "concat", "n": 2, "mean": 0.5, "std": 0.1, "low": 0.4, "high": 0.6, "min": 0.45, "max": 0.55}
    one = {**line, "fusion": "mean", "n": 1, "std": math.nan, "low": math.nan, "high": math.nan}
    head, rows = summary_table(pd.DataFrame([line, one]), "acc")
    assert head == ["fusion", "n", "acc mean ± std", "95 % interval", "bootstrap", "min … max"]
    assert rows[0] == ["concat", "2", "0.5000 ± 0.1000", "0.4000 … 0.6000", "–", "0.4500 … 0.5500"]
    assert rows[1][2:5] == ["0.5000", "–", "–"]


def test_options_that_are_the_same_in_every_run_are_left_out_and_the_others_come_last():
    runs = pd.DataFrame(
        {
            "config.a": [1, 1],
            "config.b": [1, 2],
            "acc": [0.1, 0.2],
            "seed": [0, 1],
            "run": ["x", "y"],
            "status": ["ok", "ok"],
        }
    )
    assert list(results_table(runs).columns) == ["run", "status", "seed", "acc", "config.b"]
