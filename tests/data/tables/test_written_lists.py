"""Lists in text cells: JSON, Python, NumPy; and what only looks like one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbert.data.tables.written_lists import written_list

NAME = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(NAME, max_size=5))
def test_what_python_and_json_write_comes_back(names):
    assert written_list(repr(names)) == names
    assert written_list(json.dumps(names)) == names
    if len(names) > 1:
        assert written_list(repr(tuple(names))) == names


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("['joy' 'fear']", ["joy", "fear"]),
        ("['joy'\n 'fear']", ["joy", "fear"]),
        ("[1. 0. -2.5e3]", ["1", "0", "-2.5e3"]),
        ("[1, 2.5]", [1, 2.5]),
        ("[007, 1e3]", ["007", "1e3"]),
        ("['a', None, nan]", ["a", None, None]),
        ("{'joy'}", ["joy"]),
        ("('joy',)", ["joy"]),
        (r"['it\'s', 'a\\b', 'c\d']", ["it's", r"a\b", r"c\d"]),
        (" [ 'a' , ] ", ["a"]),
    ],
)
def test_other_writings(text, found):
    assert written_list(text) == found


@pytest.mark.parametrize(
    "text",
    [
        *("[sic]", "[joy, fear]", "['a'", "['a';'b']", "['a'x]", "[1abc]", "[['a', 'b']", "[__import__('os')]"),
        *("(1, 2)", "('a')", "('a' 'b')", "{'a': 1}", "{1, 2}", "{}", "plain", "a|b", "[", ""),
        *("[np.str_('a'), np.str_('b')]", "[nano]"),
    ],
)
def test_what_is_no_list(text):
    assert written_list(text) is None


def test_deep_brackets_are_no_list_and_cost_nothing():
    assert written_list("[" * 100_000 + "]" * 100_000) is None
    assert written_list("['" + "\\" * 50_001 + "']") is None
