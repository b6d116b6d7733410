"""Sentences for talking_digits: each asks for an operation on the number seen and the number heard.

In a wording ``{s}`` stands for a phrase that names the number seen and ``{h}`` for one that names the number heard.
Which of the two is taken from which can be told only from the words. Wordings and phrases in the lists ``UNSEEN_…``
occur in the test splits alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
TENS = {13: "thirteen", 14: "fourteen", 15: "fifteen", 16: "sixteen", 17: "seventeen", 18: "eighteen", 19: "nineteen"}

#: operation -> (wordings, wordings of the test splits alone)
WORDINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "add": (
        (
            "What is {s} plus {h}?",
            "Add {s} and {h}.",
            "What do {s} and {h} make together?",
            "Give me the sum of {h} and {s}.",
            "How much is {h} plus {s}?",
            "Put {s} and {h} together.",
            "Count {h} on top of {s}.",
            "What is the total of {s} and {h}?",
        ),
        ("Add up {h} and {s}, please.", "Tell me what {s} and {h} come to in all.", "Sum {s} with {h}."),
    ),
    "subtract": (
        (
            "What is {s} minus {h}?",
            "Take {h} from {s}.",
            "What do you get when you take {h} from {s}?",
            "Subtract {h} from {s}.",
            "What is left of {s} without {h}?",
            "Start from {s} and go down by {h}.",
            "How much is {s} less {h}?",
            "Lower {s} by {h}.",
        ),
        ("Remove {h} from {s}.", "If you deduct {h} from {s}, what remains?", "Go back by {h} from {s}."),
    ),
    "subtract_from": (
        (
            "What is {h} minus {s}?",
            "Take {s} from {h}.",
            "What must be added to {s} to reach {h}?",
            "How much is missing from {s} to {h}?",
            "What do you need to climb from {s} to {h}?",
            "How many more does it take to get from {s} to {h}?",
            "Fill {s} up to {h}: how many are needed?",
            "What is still needed when {s} should become {h}?",
        ),
        (
            "How many must come to {s} so that it becomes {h}?",
            "What is lacking if you have {s} and need {h}?",
            "Say what to add to {s} to arrive at {h}.",
        ),
    ),
    "larger": (
        (
            "Which is larger, {s} or {h}?",
            "Give me the bigger one of {h} and {s}.",
            "What is the maximum of {s} and {h}?",
            "Name the greater of {s} and {h}.",
            "Of {h} and {s}, which one is higher?",
            "Say the larger one, {h} or {s}.",
            "Which one is more, {s} or {h}?",
            "Keep the highest of {h} and {s}.",
        ),
        (
            "Pick the top one of {s} and {h}.",
            "Tell me which exceeds the other, {h} or {s}.",
            "The biggest of {s} and {h}?",
        ),
    ),
    "smaller": (
        (
            "Which is smaller, {s} or {h}?",
            "Give me the lesser one of {h} and {s}.",
            "What is the minimum of {s} and {h}?",
            "Name the smaller of {s} and {h}.",
            "Of {h} and {s}, which one is lower?",
            "Say the smaller one, {h} or {s}.",
            "Which one is less, {s} or {h}?",
            "Keep the lowest of {h} and {s}.",
        ),
        (
            "Pick the bottom one of {s} and {h}.",
            "Tell me which is below the other, {h} or {s}.",
            "The smallest of {s} and {h}?",
        ),
    ),
    "distance": (
        (
            "How far apart are {s} and {h}?",
            "What is the distance between {h} and {s}?",
            "What is the gap between {s} and {h}?",
            "How many steps lie between {h} and {s}?",
            "By how much do {s} and {h} differ?",
            "Give me the absolute difference of {s} and {h}.",
            "How big is the difference between {h} and {s}?",
            "How many steps apart are {h} and {s}?",
        ),
        (
            "How far is it from {s} to {h}?",
            "Tell me how wide the gap from {h} to {s} is.",
            "How distant are {s} and {h}?",
        ),
    ),
}
SEEN = ("the written number", "the number shown", "the handwritten number", "the number you see", "the pictured number")
HEARD = ("the spoken number", "the number you hear", "the number said", "the number read out", "the voiced number")
UNSEEN_SEEN = ("the drawn number", "the number on paper")
UNSEEN_HEARD = ("the pronounced number", "the number on tape")
OPERATIONS = tuple(WORDINGS)


@dataclass(frozen=True)
class Sentence:
    """A sentence and what is known about its words.

    Attributes:
        text: as it is written.
        wording: which wording it is, ``OPERATION/INDEX``; indexes from 100 are those of the test splits alone.
        repeated: ``seen`` or ``heard`` if the sentence says that number in words, else empty.
        start: of that number word in ``text``, in characters; -1 if there is none.
        end: one past its last character; -1 if there is none.
        tags: JSON: ``words`` and, for each, a ``tags`` entry: B-OP / I-OP for the words that name the operation,
            B-NUM for a number in words, O for all others.
    """

    text: str
    wording: str
    repeated: str
    start: int
    end: int
    tags: str


def write_sentence(
    operation: str, seen: int, heard: int, rng: np.random.Generator, repeat_share: float, unseen_share: float
) -> Sentence:
    """A sentence that asks for ``operation``.

    Args:
        operation: a key of ``WORDINGS``.
        seen: the number in the picture.
        heard: the number in the sound.
        rng: decides wording and phrases.
        repeat_share: of sentences that say one of the two numbers in words.
        unseen_share: of sentences from the wordings and phrases of the test splits alone.
    """
    unseen = bool(rng.random() < unseen_share)
    wordings = WORDINGS[operation][unseen]
    index = int(rng.integers(len(wordings)))
    phrases = {
        "s": str(rng.choice(UNSEEN_SEEN if unseen else SEEN)),
        "h": str(rng.choice(UNSEEN_HEARD if unseen else HEARD)),
    }
    repeated = ""
    if rng.random() < repeat_share:
        repeated, slot, number = ("seen", "s", seen) if rng.random() < 0.5 else ("heard", "h", heard)
        phrases[slot] += f", {NUMBERS[number]},"
    template = wordings[index]
    text = re.sub(r",([?.,])", r"\1", template.format(**phrases))
    start = end = -1
    if repeated:
        word = NUMBERS[seen if repeated == "seen" else heard]
        found = re.search(rf", ({word})\b", text)
        assert found is not None
        start, end = found.span(1)
    return Sentence(
        text, f"{operation}/{index + 100 * unseen}", repeated, start, end, bio_tags(template, phrases, text, start)
    )


def bio_tags(template: str, phrases: dict[str, str], text: str, start: int) -> str:
    """BIO tags as JSON: OP for the wording's own words, small words excepted; NUM for the number in words."""
    own = {word.lower() for word in split_words(re.sub(r"{[sh]}", " ", template))} - SMALL_WORDS
    named = {word.lower() for phrase in phrases.values() for word in split_words(phrase)}
    words: list[str] = []
    tags: list[str] = []
    for found in re.finditer(WORD_PATTERN, text):
        words.append(found.group())
        low = found.group().lower()
        if found.start() == start:
            tags.append("B-NUM")
        elif low in own and low not in named and low.isalpha():
            tags.append("I-OP" if tags and tags[-1].endswith("-OP") else "B-OP")
        else:
            tags.append("O")
    return json.dumps({"words": words, "tags": tags})


WORD_PATTERN = r"\w+|[^\w\s]"
SMALL_WORDS = frozenset(
    ("a", "and", "are", "at", "by", "do", "does", "from", "give", "how", "i", "if", "in", "is", "it", "me", "much")
    + (
        "name",
        "of",
        "on",
        "one",
        "or",
        "please",
        "say",
        "tell",
        "that",
        "the",
        "to",
        "what",
        "when",
        "which",
        "with",
        "you",
    )
)


def split_words(text: str) -> list[str]:
    """Words and punctuation marks; each has one tag."""
    return re.findall(WORD_PATTERN, text)


def answer_to(operation: str, seen: int, heard: int) -> int:
    """The number that a sentence asks for."""
    return {
        "add": seen + heard,
        "subtract": seen - heard,
        "subtract_from": heard - seen,
        "larger": max(seen, heard),
        "smaller": min(seen, heard),
        "distance": abs(seen - heard),
    }[operation]


def statement(operation: str, seen: int, heard: int) -> str:
    """The answer as a sentence: "seven plus five makes twelve"."""
    s, h, a = NUMBERS[seen], NUMBERS[heard], number_in_words(answer_to(operation, seen, heard))
    return {
        "add": f"{s} plus {h} makes {a}",
        "subtract": f"{s} minus {h} makes {a}",
        "subtract_from": f"{h} minus {s} makes {a}",
        "larger": f"the larger of {s} and {h} is {a}",
        "smaller": f"the smaller of {s} and {h} is {a}",
        "distance": f"{s} and {h} are {a} apart",
    }[operation]


def number_in_words(number: int) -> str:
    """-24 to 24 in English."""
    if number < 0:
        return f"minus {number_in_words(-number)}"
    if number <= 12:
        return NUMBERS[number]
    if number < 20:
        return TENS[number]
    return "twenty" if number == 20 else f"twenty-{NUMBERS[number - 20]}"


def properties_of(number: int) -> list[str]:
    """What holds of an answer: even, odd, prime, square, above nine, negative."""
    magnitude = abs(number)
    found = ["even" if number % 2 == 0 else "odd"]
    if number > 1 and all(number % k for k in range(2, number)):
        found.append("prime")
    if number >= 0 and round(magnitude**0.5) ** 2 == magnitude:
        found.append("square")
    if number > 9:
        found.append("above_nine")
    if number < 0:
        found.append("negative")
    return found
