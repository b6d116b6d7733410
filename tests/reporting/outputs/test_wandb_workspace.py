"""What a study's page groups and watches; ``tests/cli/test_study_workspace.py`` builds the page."""

import pytest

from mmbert.reporting.outputs.wandb_workspace import StudyPage, column_name


@pytest.mark.parametrize(
    ("metric", "watched"),
    [("test/x/f1", "val/x/f1"), ("test_missing/x/f1", "val/x/f1"), ("val/x/f1", "val/x/f1")],
)
def test_the_counterpart_on_validation_is_watched(metric, watched):
    assert StudyPage("s", metric, [], "p").watched == watched


def test_runs_are_grouped_by_all_axes_but_the_seed():
    assert StudyPage("s", "m", ["fusion", "seed", "fusion.out_dim"], "p").keys == ["labels.fusion", "fusion.out_dim"]
    assert StudyPage("s", "m", ["seed"], "p").keys == ["labels.fusion"]


def test_a_column_has_wandbs_envelope():
    assert column_name("seed") == "config:seed.value"
    assert column_name("fusion.out_dim") == "config:fusion.value.out_dim"
