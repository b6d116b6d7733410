"""Values that Hydra's grammar refuses are quoted, and mean what was typed; all others are left as they are."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.cli.options.quoting import closing_quote, quoted_words, split_elements


def read(word):
    """What Hydra makes of a word: its value, of a sweep the list of values."""
    (override,) = OverridesParser.create().parse_overrides(quoted_words([word]))
    if not override.is_sweep_override():
        return override.value()
    return [value.text if isinstance(value, QuotedString) else value for value in override.sweep_iterator()]


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("文本", "文本"),
        ("été", "été"),
        ("Frage Nr. 1 (Übung)", "Frage Nr. 1 (Übung)"),
        ("Text (English)", "Text (English)"),
        ("l'été", "l'été"),
        ('l\'été "haut"', 'l\'été "haut"'),
        ("größe\\", "größe\\"),
        ("C#", "C#"),
        ("Q&A", "Q&A"),
        ("${seed}é", "${seed}é"),
        ("Добрый день", "Добрый день"),
        ("daten/größe 1.csv", "daten/größe 1.csv"),
        ("[文,本, 3]", ["文", "本", 3]),
        ("[[été,a],b]", [["été", "a"], "b"]),
        ("{a: été, b: [文]}", {"a": "été", "b": ["文"]}),
        ("été,hiver", ["été", "hiver"]),
        ("été, 3 ,b", ["été", 3, "b"]),
        ("choice(été,hiver)", ["été", "hiver"]),
        ("'a, b',été", ["a, b", "été"]),
        ("it's,that's", ["it's", "that's"]),
    ],
)
def test_what_hydra_refuses_is_quoted_and_means_what_was_typed(value, meant):
    assert read(f"a={value}") == meant


@pytest.mark.parametrize(
    "word",
    [
        *("fusion=concat", "optimizer.lr=1e-3,1e-4", "a='文本'", 'a="é"', "a=x y", "a=", "a=${b}", "a=[1,2]", "~a"),
        *("-m", "--config-dir", "--été=x", "a=range(1,5)", "a=C:\\x", "a='x=y'", "a=\\,x", "data.path=/tmp/a,b"),
        # mistakes stay mistakes
        *("a=intervall(é,2)", "a=é=y", "a=[é", "tasks.été.column=x", "été", "a='é"),
    ],
)
def test_what_hydra_reads_and_what_quotes_would_not_mend_is_left_as_it_is(word):
    assert quoted_words([word]) == [word]


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='=[]{}(),$"\\'), min_size=1))
def test_any_text_of_letters_and_signs_comes_back(text):
    bare = text.strip(" \t")
    if not bare or bare[0] == "'":
        return
    found = read(f"a={text}")
    assert found == bare or not isinstance(found, str)  # numbers, true and null are read as such


def test_elements_are_parted_outside_of_brackets_and_quotes():
    assert split_elements("a,[b,c],'d,e',f(1,2),{g: 1, h: 2}") == ["a", "[b,c]", "'d,e'", "f(1,2)", "{g: 1, h: 2}"]
    assert split_elements("") == [""] and split_elements("a,") == ["a", ""]
    assert closing_quote("'a\\'b' c", 0) == 5 and closing_quote("'a", 0) == 2


@pytest.mark.parametrize(
    "key", ["data.columns.text", "+data.columns.scan", "tasks.x.column", "data.split.group", "data.missing.column"]
)
def test_a_column_may_be_called_like_a_number_or_a_truth_value(key):
    for name in ("123", "1.50", "1e3", "1_000", "true", "False", "nan"):
        assert read(f"{key}={name}") == name
        assert read(f"{key}='{name}'") == name
    assert read(f"{key}=1,true,b") == ["1", "true", "b"]
    assert read(f"{key}=null") is None
    assert read("data.batch_size=123") == 123
