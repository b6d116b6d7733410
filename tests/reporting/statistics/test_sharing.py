"""What tasks gain by sharing, checked by hand, and as the report shows it."""

import json
import math

import pandas as pd
import pytest
from scipy import stats

from mmbert.reporting.collect import collect
from mmbert.reporting.outputs.markdown import markdown_page
from mmbert.reporting.outputs.page.build import html_page
from mmbert.reporting.outputs.sharing_tables import sharing_tables
from mmbert.reporting.report import make_report
from mmbert.reporting.statistics.sharing import sharing_gains

ALONE = {"mood": {0: 0.50, 1: 0.60, 2: 0.55}, "price": {0: 2.0, 1: 4.0, 2: 3.0}}
TOGETHER = {"mood": {0: 0.60, 1: 0.66, 2: 0.60}, "price": {0: 2.2, 1: 4.2, 2: 3.3}}


def run(tasks, seed, balance="fixed", **metrics):
    values = {f"test/{name.replace('_', '/', 1)}": value for name, value in metrics.items()}
    return {"tasks": tasks, "seed": seed, "balance": balance} | values


def runs(more=()):
    rows = [run("mood", seed, mood_accuracy=value, mood_loss=1.0) for seed, value in ALONE["mood"].items()]
    rows += [run("price", seed, price_mae=value, price_r2=0.1) for seed, value in ALONE["price"].items()]
    rows += [
        run("mood+price", s, "upgrad", mood_accuracy=TOGETHER["mood"][s], price_mae=TOGETHER["price"][s], price_r2=0.2)
        for s in range(3)
    ]
    return pd.DataFrame([*rows, *more])


def gains(table, metric="test/mood/accuracy", by=("tasks", "balance")):
    members = {str(key): part for key, part in table.groupby(list(by))}
    return sharing_gains(members, by, metric)


def test_differences_and_tests_by_hand():
    (found,) = gains(runs())
    mood, price = found.tasks
    assert (mood.metric, price.metric) == ("test/mood/accuracy", "test/price/mae")
    # mood: +0.10, +0.06, +0.05
    assert mood.difference == pytest.approx(0.07)
    before, after = list(ALONE["mood"].values()), list(TOGETHER["mood"].values())
    expected = stats.ttest_rel(after, before)
    assert mood.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert (mood.low, mood.high) == (pytest.approx(low), pytest.approx(high))
    p = sorted([mood.p, price.p])
    assert sorted([mood.p_holm, price.p_holm]) == pytest.approx([2 * p[0], max(2 * p[0], p[1])])


def test_the_overall_gain_by_hand():
    (found,) = gains(runs())
    # seed 0: (+0.10/0.50 - 0.2/2.0) / 2 = (20 % - 10 %) / 2;  1: (10 % - 5 %) / 2;  2: (9.0909 % - 10 %) / 2
    assert found.overall == pytest.approx({0: 5.0, 1: 2.5, 2: 100 * (0.05 / 0.55 - 0.3 / 3.0) / 2})
    (table,) = sharing_tables([found])
    assert [row[0] for row in table.rows] == ["mood", "price", "all"]
    assert table.rows[0][3:6] == ["0.5500 ± 0.0500", "0.6200 ± 0.0346", "+0.0700"]
    assert table.rows[1][1] == "mae, less is better" and table.rows[2][5].startswith("+2.35 ± ")


def test_the_reports_metric_is_the_tasks_if_it_is_its():
    (found,) = gains(runs(), "test/price/r2")
    assert [one.metric for one in found.tasks] == ["test/mood/accuracy", "test/price/r2"]
    assert found.tasks[1].relative(0) == pytest.approx(1.0)  # from 0.1 to 0.2


def test_what_chose_the_checkpoints_of_the_task_alone_is_compared():
    table = runs().assign(monitor="val/mean_loss")
    table.loc[table["tasks"] == "price", "monitor"] = "val/price/r2"
    (found,) = gains(table)
    assert [one.metric for one in found.tasks] == ["test/mood/accuracy", "test/price/r2"]
    table.loc[(table["tasks"] == "price") & (table["seed"] == 0), "monitor"] = "val/price/mae"  # which of the two?
    assert gains(table)[0].tasks[1].metric == "test/price/mae"


def test_cut_answers_are_no_score():
    alone = [run("where", seed, where_cut_answers=0.0, where_loss=1.0, where_f1=0.5) for seed in range(3)]
    both = [run("where+mood", seed, where_cut_answers=0.0, where_loss=1.0, where_f1=0.6) for seed in range(3)]
    (found,) = gains(pd.DataFrame([*alone, *both]), "test/mean_loss")
    assert [one.metric for one in found.tasks] == ["test/where/f1"]


def test_runs_of_another_fusion_are_nothing_to_compare_with():
    table = runs().assign(fusion="concat")
    by = ("tasks", "fusion", "balance")
    assert len(gains(table, by=by)[0].tasks) == 2  # a balance means nothing for one task
    table.loc[table["tasks"] == "mood", "fusion"] = "mean"
    assert [one.task for one in gains(table, by=by)[0].tasks] == ["price"]


def test_what_cannot_be_compared_is_left_out():
    table = runs()
    assert gains(table[table["tasks"] != "mood+price"]) == []
    (found,) = gains(table[table["tasks"] != "price"])
    assert [one.task for one in found.tasks] == ["mood"]
    assert gains(table[(table["seed"] == 0) | (table["tasks"] == "none")])[0].tasks[0].p != 0  # one pair: no test
    assert math.isnan(gains(table[table["seed"] == 0])[0].tasks[0].p)
    again = run("mood", 0, mood_accuracy=0.9)
    (found,) = gains(runs([again]))
    assert [one.task for one in found.tasks] == ["price"]  # two runs of one seed: which?
    zero = runs()
    zero.loc[zero["tasks"] == "mood", "test/mood/accuracy"] = 0.0
    (found,) = gains(zero)
    assert all(map(math.isnan, found.overall.values())) and sharing_tables([found])[0].rows[-1][5] == "–"
    assert sharing_gains({}, ("tasks",), "test/mood/accuracy") == []


def test_single_runs_that_share_the_other_keys_come_first():
    like = [run("mood", seed, "upgrad", mood_accuracy=0.1) for seed in range(3)]
    (found,) = gains(runs(like))
    assert dict(found.tasks[0].alone) == {0: 0.1, 1: 0.1, 2: 0.1}


def test_runs_of_other_inputs_are_never_compared():
    alone = [{**run("mood", s, mood_accuracy=0.5 + s / 9), "modalities": "text+audio"} for s in range(3)]
    both = [
        {**run("mood+price", s, mood_accuracy=0.3, price_mae=1.0), "modalities": kind}
        for s in range(3)
        for kind in ("text", "text+audio")
    ]
    found = gains(pd.DataFrame([*alone, *both]), by=("tasks", "modalities"))
    assert [one.group for one in found] == ["('mood+price', 'text+audio')"]


def test_a_report_shows_it(tmp_path):
    for row in runs().to_dict("records"):
        folder = tmp_path / f"{row['tasks']}-{row['seed']}"
        folder.mkdir()
        config = {
            "seed": row["seed"],
            "tasks": {name: {"column": name} for name in row["tasks"].split("+")},
            "fusion": {"a": 1},
        }
        values = {key: value for key, value in row.items() if "/" in key and value == value}
        facts = {"seed": row["seed"], "wall_seconds": 6.0, "checkpoint": {"path": "best.ckpt", "monitor": "val/loss"}}
        (folder / "config.yaml").write_text(json.dumps(config))
        (folder / "environment.json").write_text(json.dumps({"started": "2026-11-24", "python": "3.11"}))
        (folder / "metrics.json").write_text(json.dumps({**facts, **values}))
    report = make_report(collect([tmp_path]), "test/mood/accuracy", ("tasks",))
    page, html = markdown_page(report), html_page(report)
    assert "## Gain by sharing: mood+price" in page
    assert "| mood | accuracy | 3 | 0.5500 ± 0.0500 | 0.6200 ± 0.0346 | +0.0700 |" in page
    assert "Gain by sharing" in html and "Δm, %" in html
