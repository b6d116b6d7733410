"""Schemes are guessed from tags; words that share a token are joined to one tag and taken apart again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbert.core.errors import ConfigError
from mmbert.tasks.spans.entity_counts import strict_entities
from mmbert.tasks.spans.tag_schemes import (
    LETTERS,
    check_scheme,
    group_tag,
    guess_scheme,
    seqeval_tags,
    ungrouped_tags,
)

ROWS = {
    "IOB2": ["B-P I-P O B-L", "B-P B-P"],
    "IOB1": ["I-P I-P O I-L", "I-P B-P I-P"],
    "IOE2": ["I-P E-P O E-L"],
    "IOE1": ["I-P I-P O I-L", "I-P E-P I-P"],
    "IOBES": ["B-P I-P E-P S-L O"],
    "BMES": ["B-P M-P E-P S-L O", "B-人 E-人"],
    "BILOU": ["B-P I-P L-P U-L O"],
    "none": ["NOUN VERB", "DET O"],
}


@pytest.mark.parametrize("scheme", ROWS)
def test_the_scheme_is_guessed_from_the_tags(scheme):
    assert guess_scheme([row.split() for row in ROWS[scheme]]) == scheme


def test_one_entity_that_is_written_wrongly_does_not_change_the_guess():
    assert guess_scheme([["B-P", "I-P"], ["O", "B-P"], ["O", "I-P"]]) == "IOB2"
    assert guess_scheme([["O", "O"]]) == "none" and guess_scheme([]) == "none"
    assert guess_scheme([["B", "I", "O"]]) == "IOB2"


def test_tags_of_another_scheme_are_refused():
    check_scheme("IOBES", ["O", "B-P", "S-P"], "tags")
    with pytest.raises(ConfigError, match="'E-P' on column 'tags' is none of the scheme IOB2, whose letters are B I O"):
        check_scheme("IOB2", ["O", "B-P", "E-P"], "tags")


@pytest.mark.parametrize(
    ("scheme", "one", "words"),
    [
        ("IOB2", "B-P", "B-P I-P I-P"),
        ("IOB2", "I-P", "I-P I-P I-P"),
        ("IOB2", "O", "O O O"),
        ("IOE2", "E-P", "I-P I-P E-P"),
        ("IOBES", "S-P", "B-P I-P E-P"),
        ("IOBES", "B-P", "B-P I-P I-P"),
        ("IOBES", "E-P", "I-P I-P E-P"),
        ("BMES", "S-P", "B-P M-P E-P"),
        ("BMES", "I-P".replace("I", "M"), "M-P M-P M-P"),
        ("BILOU", "U-P", "B-P I-P L-P"),
        ("none", "NOUN", "NOUN NOUN NOUN"),
    ],
)
def test_words_that_share_a_token_have_one_tag(scheme, one, words):
    assert ungrouped_tags(one, 3, scheme) == words.split() and ungrouped_tags(one, 1, scheme) == [one]
    if scheme not in ("IOE2",):
        assert group_tag(words.split(), scheme) == one
    assert group_tag([one], scheme) == one


@given(size=st.integers(1, 6), scheme=st.sampled_from(["IOB2", "IOBES", "BMES", "BILOU"]))
def test_an_entity_within_one_token_stays_an_entity(size, scheme):
    whole = {"IOB2": "B-X", "IOBES": "S-X", "BMES": "S-X", "BILOU": "U-X"}[scheme]
    tags = ungrouped_tags(whole, size, scheme)
    assert strict_entities(tags, scheme) == [("X", 0, size - 1)]
    assert group_tag(tags, scheme) == whole and {tag[0] for tag in tags} <= set(LETTERS[scheme])


def test_seqeval_reads_bmes_as_iobes():
    assert seqeval_tags(["B-P", "M-P", "E-P", "O"], "BMES") == ["B-P", "I-P", "E-P", "O"]
