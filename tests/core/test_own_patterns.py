"""A user's own regular expressions: refused early where they are wrong, ended where they take too long."""

import re

import pytest

from mmbert.core.errors import ConfigError
from mmbert.core.own_patterns import MOST_SECONDS, OwnPattern


def test_an_own_expression_is_replaced():
    assert (
        OwnPattern("badge", r"MB-\d{6}\b").replaced("MB-123456, mb-123456 MB-1234567", "#") == "#, mb-123456 MB-1234567"
    )
    assert OwnPattern("name", "张三|Anna").replaced("张三和Anna", "#") == "#和#"


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        ("(", "the regular expression of 'x', (, cannot be read: missing )"),
        ("a{99999999999}", "cannot be read"),
        ("a*", "is found in an empty text too"),
        ("a|", "is found in an empty text too"),
        ("(a+)+", "repeats a repetition, which may take forever: give one of the two a bound, such as {1,20}"),
        (r"(?:\w|b*)*!", "repeats a repetition"),
        (r"(?P<y>(x|(?=a+))*)b", "repeats a repetition"),
    ],
)
def test_a_wrong_expression_is_refused(regex, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        OwnPattern("x", regex)


@pytest.mark.parametrize(
    ("regex", "found"),
    [
        (r"\w+@\w+", "ann@home"),
        ("(ab){1,9}c+", "ababcc"),
        ("(?i:x)+y*z", "xXyz"),
        ("(a+|b)c", "aac"),
        (r"(\d{1,3}\.){3}\d+", "10.0.0.12"),
    ],
)
def test_harmless_repetitions_are_allowed(regex, found):
    assert OwnPattern("x", regex).replaced(f"- {found} -", "#") == "- # -"


def test_a_search_that_takes_too_long_masks_the_whole_text():
    """The library's own end of a search is stood in for: no slow expression is needed to see what follows."""

    class Slow:
        def sub(self, replacement, text, timeout):
            assert timeout == MOST_SECONDS
            raise TimeoutError

    pattern = OwnPattern("x", "b!")
    assert pattern.replaced("aab!", "#") == "aa#"
    pattern.compiled = Slow()
    assert pattern.replaced("aab!", "#") == "#"
