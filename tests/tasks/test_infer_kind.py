"""Which kind of task is made of a column about which nothing is said, and which cells make the guess unsafe."""

import pytest

from mmbert.tasks.infer_kind import Guess, guess_task


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
        (["0", "1", "NA"], "classification"),  # what NA is, is asked elsewhere
        (["1.5", "cat", "dog", "cow"], "classification"),  # most are words
        (["10%", "half", "all", "none at all"], "classification"),
        (["1_000", "2_500"], "classification"),
        ([1.5, 2, None], "regression"),
        (["1.5", "2"], "regression"),
        (list(range(500)), "regression"),
        ([["a"], []], "multilabel"),
        (["even|prime", "odd"], "multilabel"),
        (["[]", '["even"]'], "multilabel"),
        ([None, "even", "[]"], "multilabel"),
        (["['joy', 'fear']", "['joy']"], "multilabel"),  # as pandas writes lists
        (["['joy' 'fear']"], "multilabel"),  # and arrays
        (["[sic]", "plain"], "classification"),  # brackets alone make no list
    ],
)
def test_kind_of_task_for_a_bare_column(cells, kind):
    assert guess_task(cells) == Guess(kind)
    assert guess_task(iter(cells)) == Guess(kind)


@pytest.mark.parametrize(
    ("cells", "kind", "odd"),
    [
        (["1.5", "2.5", "NA"], "regression", ("NA",)),
        (["1.5", "NA", None, "NA", "NA", "-"], "regression", ("NA", "-")),  # even where most are missing
        (["1.5", "2.5", "3.5", "broken"], "regression", ("broken",)),
        ([*map(str, range(500)), "n/a"], "regression", ("n/a",)),
        (["0,5", "1,0", "0,5"], "regression", ("0,5", "1,0")),
        (["10%", "20 %", "NA"], "regression", ("10%", "20 %")),
        (["1,234.50", "99.10"], "regression", ("1,234.50",)),
        (["5 €", "$7", "\u22123"], "regression", ("5 €", "$7", "\u22123")),
        (["[joy, fear]", "[joy]"], "multilabel", ("[joy, fear]",)),
        (["[np.str_('joy')]", "plain"], "multilabel", ("[np.str_('joy')]",)),
    ],
)
def test_cells_that_make_the_guess_unsafe_are_named(cells, kind, odd):
    guess = guess_task(cells)
    assert (guess.kind, guess.odd) == (kind, odd) and guess.seen
