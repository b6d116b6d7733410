"""Which kind of task is made of a column about which nothing is said."""

import pytest

from mmbert.tasks.infer_kind import infer_kind


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["cat", "dog", None], "classification"),
        ([0, 1, 1, None], "classification"),
        ([0.0, 1.0, None], "classification"),  # integers that an empty cell turned into floats
        ([True, False], "classification"),
        (["3", "7"], "classification"),
        (list(range(1000)) * 20, "classification"),  # 1000 classes, 20 samples each
        ([None, None], "classification"),
        (["7", "seven"], "classification"),
        ([1.5, 2, None], "regression"),
        (["1.5", "2"], "regression"),
        (list(range(500)), "regression"),
        ([["a"], []], "multilabel"),
        (["even|prime", "odd"], "multilabel"),
        (["[]", '["even"]'], "multilabel"),
        ([None, "even", "[]"], "multilabel"),
        (["[sic]", "plain"], "classification"),  # brackets alone make no list
    ],
)
def test_kind_of_task_for_a_bare_column(cells, kind):
    assert infer_kind(cells) == kind
    assert infer_kind(iter(cells)) == kind
