"""The rows of a table of gains, by hand."""

import math

from mmbert.reporting.outputs.sharing_tables import sharing_tables
from mmbert.reporting.statistics.sharing import SharingGain, TaskGain


def gain(**options):
    given = {"difference": 0.5, "low": 0.25, "high": 0.75, "p": 0.01, "p_holm": 0.02}
    return TaskGain("price", "test/price/mae", {0: 2.0, 1: 4.0}, {0: 2.5, 1: 4.5}, **(given | options))


def test_rows_say_means_differences_and_whether_less_is_better():
    (table,) = sharing_tables([SharingGain("a+b", [gain()], {0: -25.0, 1: -12.5})])
    assert table.title == "Gain by sharing: a+b"
    assert table.rows == [
        [
            "price",
            "mae, less is better",
            "2",
            "3.0000 ± 1.4142",
            "3.5000 ± 1.4142",
            "+0.5000",
            "+0.2500 … +0.7500",
            "0.02",
        ],
        # t(0.975, 1) = 12.706: 12.706 · 8.839 / √2 = 79.41
        ["all", "Δm, %", "2", "", "", "-18.75 ± 8.84", "-98.16 … +60.66", ""],
    ]


def test_one_seed_has_no_spread_and_no_test():
    nothing = dict.fromkeys(("low", "high", "p", "p_holm"), math.nan)
    one = TaskGain("price", "test/price/r2", {0: 2.0}, {0: 2.5}, **{"difference": 0.5, **nothing})
    (table,) = sharing_tables([SharingGain("a+b", [one], {0: math.nan})])
    assert table.rows == [
        ["price", "r2", "1", "2.0000", "2.5000", "+0.5000", "–", "–"],
        ["all", "Δm, %", "1", "", "", "–", "–", ""],
    ]
    assert sharing_tables([]) == []
