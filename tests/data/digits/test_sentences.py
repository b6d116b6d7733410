"""The demo set's sentences: what they ask, how often, in which words, and what is marked in them."""

import json
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.data.digits import sentences
from mmbert.data.digits.sentences import OPERATIONS, WORDINGS, write_sentence

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
NUMBER = st.integers(0, 12)


def many(operation, unseen_share=0.0, repeat_share=0.2, count=300, seen=7, heard=5):
    rng = np.random.default_rng(0)
    return [write_sentence(operation, seen, heard, rng, repeat_share, unseen_share) for _ in range(count)]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_has_wordings_enough_and_none_of_the_test_splits_is_known_before(operation):
    known, fresh = WORDINGS[operation]
    assert len(set(known)) >= 8
    assert len(set(fresh)) >= 3
    assert not set(known) & set(fresh)
    assert all(wording.count("{s}") == wording.count("{h}") == 1 for wording in known + fresh)


def test_there_are_six_operations_and_dozens_of_wordings():
    assert len(OPERATIONS) >= 6
    wordings = [wording for lists in WORDINGS.values() for wording in lists[0] + lists[1]]
    assert len(wordings) == len(set(wordings)) >= 60
    # some wordings of one subtraction are those of the other with the numbers changed about: there the order decides
    swap = {"{s}": "{h}", "{h}": "{s}"}
    turned = {re.sub("{[sh]}", lambda slot: swap[slot.group()], wording) for wording in WORDINGS["subtract"][0]}
    assert len(turned & set(WORDINGS["subtract_from"][0])) >= 2
    assert not set(WORDINGS["subtract"][0]) & set(WORDINGS["subtract_from"][0])


def test_phrases_of_the_test_splits_occur_in_no_known_wording():
    def mentions(sentence_list, phrases):
        return [s.text for s in sentence_list if any(phrase in s.text.lower() for phrase in phrases)]

    fresh = sentences.UNSEEN_SEEN + sentences.UNSEEN_HEARD
    known = sentences.SEEN + sentences.HEARD
    assert not mentions(many("add"), fresh)
    assert len(mentions(many("add"), known)) == 300
    assert not mentions(many("add", unseen_share=1.0), known)
    assert {s.wording for s in many("add")} == {f"add/{i}" for i in range(8)}
    assert {s.wording for s in many("add", unseen_share=1.0)} == {"add/100", "add/101", "add/102"}


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_the_share_of_sentences_that_repeat_a_number_is_the_declared_one(share):
    counts = Counter(s.repeated for s in many("larger", repeat_share=share, count=2000))
    told = counts["seen"] + counts["heard"]
    assert told / 2000 == pytest.approx(share, abs=4 * (0.25 / 2000) ** 0.5)
    if share:
        assert counts["seen"] / told == pytest.approx(0.5, abs=0.15)


@settings(deadline=None, max_examples=150)
@given(
    operation=st.sampled_from(OPERATIONS),
    seen=NUMBER,
    heard=NUMBER,
    seed=st.integers(0, 10**6),
    repeat=st.sampled_from([0.0, 1.0]),
    unseen=st.sampled_from([0.0, 1.0]),
)
def test_marks_point_at_the_right_words(operation, seen, heard, seed, repeat, unseen):
    sentence = write_sentence(operation, seen, heard, np.random.default_rng(seed), repeat, unseen)
    assert not re.search(r"\s[,.?]|,,|,[.?]|  |[{}]", sentence.text), sentence.text
    marks = json.loads(sentence.tags)
    words, tags = marks["words"], marks["tags"]
    assert len(words) == len(tags)
    assert "".join(words) == sentence.text.replace(" ", "")
    assert set(tags) <= {"O", "B-OP", "I-OP", "B-NUM"}
    inside = [at for at, tag in enumerate(tags) if tag == "I-OP"]
    assert all(at > 0 and tags[at - 1] in ("B-OP", "I-OP") for at in inside)
    assert "B-OP" in tags, sentence.text  # every wording says somewhere what to do
    numbers = [word for word, tag in zip(words, tags, strict=True) if tag == "B-NUM"]
    if repeat:
        number = {"seen": seen, "heard": heard}[sentence.repeated]
        assert sentence.text[sentence.start : sentence.end] == WORDS[number]
        assert numbers == [WORDS[number]]
        # the number is said right after the phrase it belongs to
        phrases = {"seen": sentences.SEEN + sentences.UNSEEN_SEEN, "heard": sentences.HEARD + sentences.UNSEEN_HEARD}
        assert sentence.text[: sentence.start].lower().endswith(tuple(f"{p}, " for p in phrases[sentence.repeated]))
    else:
        assert (sentence.repeated, sentence.start, sentence.end, numbers) == ("", -1, -1, [])


def test_tags_by_hand():
    """A wording with two operation words beside each other, and one repeated number."""
    phrases = {"s": "the written number, four,", "h": "the spoken number"}
    template = "How far apart are {s} and {h}?"
    text = template.format(**phrases)
    marks = json.loads(sentences.bio_tags(template, phrases, text, text.index("four")))
    assert " ".join(marks["words"]) == "How far apart are the written number , four , and the spoken number ?"
    assert " ".join(marks["tags"]) == "O B-OP I-OP O O O O O B-NUM O O O O O O"


@given(seen=NUMBER, heard=NUMBER)
def test_answers_and_statements_say_the_same_as_counting(seen, heard):
    s, h = WORDS[seen], WORDS[heard]
    steps = list(range(-30, 31))

    def walk(start, by):  # arithmetic of the test's own: steps on the number line
        return steps[steps.index(start) + by]

    apart = len(range(min(seen, heard), max(seen, heard)))
    expected = {
        "add": (walk(seen, heard), f"{s} plus {h} makes "),
        "subtract": (walk(seen, -heard), f"{s} minus {h} makes "),
        "subtract_from": (walk(heard, -seen), f"{h} minus {s} makes "),
        "larger": (sorted([seen, heard])[1], f"the larger of {s} and {h} is "),
        "smaller": (sorted([seen, heard])[0], f"the smaller of {s} and {h} is "),
        "distance": (apart, f"{s} and {h} are "),
    }
    for operation, (answer, opening) in expected.items():
        assert sentences.answer_to(operation, seen, heard) == answer
        statement = sentences.statement(operation, seen, heard)
        assert statement.startswith(opening)
        assert statement.removeprefix(opening).removesuffix(" apart") == sentences.number_in_words(answer)


def test_numbers_in_words():
    assert [sentences.number_in_words(n) for n in (-12, -1, 0, 12, 13, 19, 20, 21, 24)] == [
        "minus twelve", "minus one", "zero", "twelve", "thirteen", "nineteen", "twenty", "twenty-one", "twenty-four",
    ]  # fmt: skip
    assert len({sentences.number_in_words(n) for n in range(-12, 25)}) == 37


def test_properties_from_tables_written_by_hand():
    primes = {2, 3, 5, 7, 11, 13, 17, 19, 23}
    squares = {0, 1, 4, 9, 16}
    for number in range(-12, 25):
        found = set(sentences.properties_of(number))
        assert ("prime" in found) == (number in primes)
        assert ("square" in found) == (number in squares)
        assert ("negative" in found) == str(number).startswith("-")
        assert ("above_nine" in found) == (len(str(number)) == 2 and number > 0)
        assert len(found & {"even", "odd"}) == 1
        assert ("even" in found) == (str(number)[-1] in "02468")
