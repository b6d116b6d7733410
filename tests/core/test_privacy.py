"""What a run's privacy lets be written: texts, values, messages and errors."""

import pytest
from omegaconf import OmegaConf

from mmbert.core.privacy import WITHHELD, MaskPatterns, Privacy, mask_patterns

TEXT = "anna@example.com 13812345678"


def test_by_itself_everything_is_written():
    for privacy in (Privacy(), Privacy.of(None), Privacy.of({}), Privacy.of({"samples": None, "mask": None})):
        error = ValueError(TEXT)
        assert not privacy.hides and privacy.quote([TEXT]) == [TEXT] and privacy.message(TEXT) == TEXT
        assert privacy.error(error) is error


def test_patterns_of_a_config_are_applied_in_one_order():
    privacy = Privacy.of(OmegaConf.create({"samples": True, "mask": ["phone", "email", {"who": "anna"}]}))
    assert list(privacy.patterns) == ["who", "email", "phone"]  # own ones first
    assert privacy.masked("anna " + TEXT.replace("anna", "bob")) == "[who] [email] [phone]"


def test_values_are_masked_at_any_depth():
    privacy = Privacy(mask=["email"])
    value = {"a@b.org": [TEXT, 3, None], "x": ("y", {"z": TEXT})}
    masked = TEXT.replace("anna@example.com", "[email]")
    assert privacy.quote(value) == {"a@b.org": [masked, 3, None], "x": ["y", {"z": masked}]}
    assert Privacy(samples=False).quote(value) is None


def test_an_error_keeps_its_name_and_loses_its_words():
    try:
        raise KeyError(TEXT)
    except KeyError as error:
        private = Privacy(samples=False)
        shown = private.error(error)
        assert (type(shown).__name__, str(shown)) == ("KeyError", WITHHELD)
        assert "test_privacy.py" in private.traceback_of(error) and "13812345678" not in private.traceback_of(error)
        masking = Privacy(mask=["email"])
        assert "anna" not in str(masking.error(error)) + masking.traceback_of(error)
        assert "[email] 13812345678" in masking.traceback_of(error)


def test_of_several_runs_the_strictest_counts():
    one, two = Privacy(mask=["email", {"x": "a"}]), Privacy(False, ["phone", "email", {"x": "b"}, {"y": "a"}])
    both = Privacy.strictest([one, two, one])
    assert not both.samples and list(both.patterns) == ["x", "x_2", "y", "email", "phone"]
    assert Privacy.strictest([]).hides is False


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["emial"], "there is no pattern 'emial'. Did you mean 'email'?"),
        ([3], "3 is neither a pattern's name nor {name: regex}"),
        ([{}], "neither a pattern's name"),
        ([{"email": "a"}], "the name 'email' of an own pattern is taken"),
        ([{"x": "a"}, {"x": "b"}], "the name 'x' of an own pattern is taken"),
        ([{"a b": "a"}], "the name 'a b' of an own pattern is no plain word"),
        ([{"x": 3}], "the regular expression of 'x' is no text"),
        ([{"x": "("}], "cannot be read"),
        ("email", "a list of patterns (email, url"),
    ],
)
def test_a_wrong_entry_is_named(entries, message):
    assert message in MaskPatterns().complaint(entries)


def test_right_entries_have_no_complaint():
    for entries in (None, [], ["email"], ["ip", {"x": "a", "y": "b"}], "${other}"):
        assert MaskPatterns().complaint(entries) is None
    assert MaskPatterns().accepts(["email"]) and not MaskPatterns().accepts(["x"])
    assert list(mask_patterns(["ip", {"x": "a", "y": "b"}])) == ["x", "y", "ip"]
