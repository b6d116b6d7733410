"""Tables of robustness from curves and subsets of two groups."""

from mmbert.reporting.outputs.robustness_tables import area_table, curve_table, subset_table, text_tables
from mmbert.reporting.statistics.robustness import Area, Curve, RobustnessResults, Subset

ALONE = Curve("missing", "text", "mean", {0: {0.0: 0.75, 0.5: 0.5}})
BASE = Curve("missing", "text", "concat", {0: {0.0: 0.5, 1.0: 0.25}, 1: {0.0: 0.75}})


def test_subsets_have_their_samples_in_the_head_where_they_differ():
    subsets = [Subset("text", "mean", {0: 0.5}, 1_000), Subset("audio", "mean", {0: 0.25}, 9)]
    found = RobustnessResults(subsets=[*subsets, Subset("text", "concat", {0: 0.75}, 1_000)])
    table = subset_table(found, "f1")
    assert table.head == ["group", "text (1,000)", "audio (9)"]
    assert table.rows == [["mean", "0.5000", "0.2500"], ["concat", "0.7500", "–"]]
    assert "so many" in table.note
    same = subset_table(RobustnessResults(subsets=subsets[:1]), "f1")
    assert same.head == ["group", "text"] and "so many" not in same.note


def test_levels_that_a_curve_lacks_stay_empty():
    table = curve_table([BASE, ALONE], "missing", "f1")
    assert table.head == ["mechanism", "group", "0", "0.5", "1"] and table.long
    assert table.rows[1] == ["text", "mean", "0.7500", "0.5000", "–"]
    assert table.rows[0][2].startswith("0.6250 ± 0.1768"), "0.5 and 0.75: 0.125 · √2"
    assert not curve_table([ALONE], "trained", "f1").long
    assert curve_table([ALONE], "noise", "f1").head[0] == "modalities"


def test_the_baseline_has_no_effective_robustness():
    found = RobustnessResults(areas=[Area(BASE, {0: 0.5}), Area(ALONE, {0: 0.25}, {0: 0.125})], baseline="concat")
    table = area_table(found, "f1")
    assert table.rows[0] == ["text missing", "concat", "1", "0.5000", "–", "baseline", "–"]
    assert table.rows[1] == ["text missing", "mean", "1", "0.2500", "–", "+0.1250", "–"]
    assert table.head[5] == "effective, against concat"
    assert area_table(RobustnessResults(), "f1").head[5] == "effective, no baseline"


def test_only_tables_with_rows_are_shown():
    assert text_tables(RobustnessResults(), "f1") == []
    titles = [table.title for table in text_tables(RobustnessResults(curves=[ALONE], trained=[BASE]), "f1")]
    assert [title.partition(",")[0] for title in titles] == [
        "Missing modalities in training",
        "Missing modalities at test",
    ]
