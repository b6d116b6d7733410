"""Cells with the answer to a question: a stretch of a text, or of a sound."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmbert.core.errors import DataError
from mmbert.data.labels import finite_number
from mmbert.data.tables.cells import cell_excerpt
from mmbert.data.tables.written_lists import written_list
from mmbert.tasks.spans.units import cuts_character

ANSWER_FORMS = '{"text": ["in Rome"], "answer_start": [12]}, or the answer as it stands in the text'


@dataclass(frozen=True)
class AnswerPlaces:
    """Where the reference answers of one question lie.

    Attributes:
        spans: beginning and end of each, in characters or seconds; none = there is no answer.
        several: whether the place of an answer given as plain text was chosen among several.
        plain: whether it is given as plain text.
    """

    spans: tuple[tuple[float, float], ...]
    several: bool = False
    plain: bool = False


@dataclass(frozen=True)
class ReferenceAnswers:
    """The reference answers of one question.

    Attributes:
        texts: in their own words; none = there is no answer.
        starts: where each begins, in characters; None = at its first occurrence.
    """

    texts: tuple[str, ...]
    starts: tuple[int | None, ...]


def answers_of_cell(cell: Any) -> ReferenceAnswers:
    """The answers that a cell names: SQuAD's object, one text, or a list of texts; an empty list says there is none.

    Raises:
        DataError: it is none of these.
    """
    found = cell
    if isinstance(cell, str) and cell.strip().startswith("{"):
        try:
            found = json.loads(cell)
        except ValueError:
            raise DataError(
                f"'{cell_excerpt(cell)}' looks like an object but is no JSON; write {ANSWER_FORMS}"
            ) from None
    elif isinstance(cell, str) and cell.strip().startswith("["):
        listed = written_list(cell)
        found = cell if listed is None else listed
    if isinstance(found, Mapping):
        return answers_of_object(found, cell)
    if isinstance(found, (list, tuple)):
        if not all(isinstance(text, str) and text for text in found):
            raise DataError(f"'{cell_excerpt(cell)}' is no list of answers; write {ANSWER_FORMS}")
        return ReferenceAnswers(tuple(found), (None,) * len(found))
    if isinstance(found, (int, float)):
        found = str(int(found)) if float(found).is_integer() else str(found)
    if not isinstance(found, str):
        raise DataError(f"'{cell_excerpt(cell)}' is no answer; write {ANSWER_FORMS}")
    return ReferenceAnswers((found.strip(),), (None,))


def answers_of_object(found: Mapping[str, Any], cell: Any) -> ReferenceAnswers:
    """The answers of SQuAD's ``{"text": [...], "answer_start": [...]}``.

    Raises:
        DataError: a key is missing, or texts and places are not as many.
    """
    texts, starts = found.get("text"), found.get("answer_start")
    texts, starts = ([one] if isinstance(one, (str, int)) else one for one in (texts, starts))
    if not isinstance(texts, (list, tuple)) or not isinstance(starts, (list, tuple)) or len(texts) != len(starts):
        raise DataError(f"'{cell_excerpt(cell)}' has not as many texts as places; write {ANSWER_FORMS}")
    if not all(isinstance(text, str) and text for text in texts):
        raise DataError(f"'{cell_excerpt(cell)}' has an answer that is no text")
    if not all(isinstance(start, int) and not isinstance(start, bool) for start in starts):
        raise DataError(f"'{cell_excerpt(cell)}' has a place that is no whole number")
    return ReferenceAnswers(tuple(texts), tuple(starts))


def located_answers(answers: ReferenceAnswers, text: str) -> list[tuple[int, int]]:
    """Where the answers stand in a text, in characters.

    Raises:
        DataError: one stands outside the text, is not there, or cuts a character.
    """
    return [located(answer, start, text) for answer, start in zip(answers.texts, answers.starts, strict=True)]


def located(answer: str, start: int | None, text: str) -> tuple[int, int]:
    """Where one answer stands; without a place, at its first occurrence that cuts no character."""
    if start is None:
        place = text.find(answer)
        while place >= 0 and cuts(text, place, place + len(answer)):
            place = text.find(answer, place + 1)
        if place < 0:
            raise DataError(f"the answer '{cell_excerpt(answer)}' does not stand in the text '{cell_excerpt(text)}'")
        return place, place + len(answer)
    checked_extent(text, start, start + len(answer))
    if text[start : start + len(answer)] != answer:
        there = text.find(answer)
        hint = f"; it stands at {there}" if there >= 0 else ""
        raise DataError(
            f"the answer '{cell_excerpt(answer)}' is said to begin at character {start}, where the text has "
            f"'{cell_excerpt(text[start : start + len(answer)])}'{hint}"
        )
    return start, start + len(answer)


def cuts(text: str, begin: int, end: int) -> bool:
    """Whether a stretch begins or ends within a character."""
    return cuts_character(text, begin) or cuts_character(text, end)


def checked_extent(text: str, begin: int, end: int) -> tuple[int, int]:
    """A stretch of a text.

    Raises:
        DataError: it is reversed or empty, lies outside the text, or cuts a character.
    """
    if end <= begin:
        raise DataError(f"the answer ends at character {end}, where it has not begun ({begin}); the end is one past it")
    if begin < 0 or end > len(text):
        raise DataError(f"the answer lies at characters {begin} to {end}, the text has {len(text)}")
    if cuts(text, begin, end):
        raise DataError(
            f"the answer at characters {begin} to {end} cuts a letter from its accent in "
            f"'{text[max(0, begin - 3) : end + 3]}'"
        )
    return begin, end


def check_within_sound(spans: Sequence[tuple[float, float]], alignment: Mapping[str, Any]) -> None:
    """Refuses an answer that ends after its sound; of a sound that the encoder cuts, the end is not known.

    Args:
        spans: where the answers begin and end, in seconds.
        alignment: of the sound, see ``Task.encode``; without ``max_seconds`` the encoder may have cut it.

    Raises:
        DataError: one does.
    """
    times = np.asarray(alignment["times"])
    if not len(times) or "max_seconds" not in alignment:
        return
    end, step = float(times[-1, 1]), float(times[-1, 1] - times[-1, 0])
    whole = end + 2 * step < float(alignment["max_seconds"])  # the last token's time may end before the sound or after
    for begin, last in spans if whole else ():
        if last > end + 2 * step:
            raise DataError(f"the answer lies from {begin:g} to {last:g} seconds, the sound ends at about {end:.2f}")


def extent_of_cells(start: Any, end: Any, whole: bool) -> tuple[float, float] | None:
    """The two cells that say where an answer begins and ends; None = -1 and -1, there is none.

    Args:
        start: the first cell.
        end: the second.
        whole: whether they are characters, else seconds.

    Raises:
        DataError: one is no such number, or the answer ends before it begins.
    """
    found = [finite_number(cell) for cell in (start, end)]
    if None in found or whole and not all(float(number or 0).is_integer() for number in found):
        kind = "whole numbers, characters of the text" if whole else "numbers, seconds"
        raise DataError(
            f"the answer is to lie from '{start}' to '{end}': {kind} are needed, or -1 and -1 for no answer"
        )
    begin, last = (float(number or 0) for number in found)
    if begin == last == -1:
        return None
    if begin < 0 or last <= begin:
        raise DataError(f"the answer lies from {begin:g} to {last:g}: it must begin at 0 or later and end after that")
    return begin, last


def answer_places(
    cells: Mapping[str, Any], columns: Sequence[str], text: str | None, whole: bool, no_answer: bool
) -> AnswerPlaces:
    """Where the answers that a question's cells name lie.

    Args:
        cells: by column.
        columns: one with the answers, or two with beginning and end.
        text: which the answers are held against; None = it is not at hand, or they lie in a sound.
        whole: whether places are characters, else seconds.
        no_answer: whether there may be none.

    Raises:
        DataError: the answer is none, does not stand in the text, lies outside it, or cuts a character.
    """
    if len(columns) == 2:
        extent = extent_of_cells(cells[columns[0]], cells[columns[1]], whole)
        if extent is not None and text is not None:
            checked_extent(text, int(extent[0]), int(extent[1]))
        found = AnswerPlaces(() if extent is None else (extent,))
    else:
        assert text is not None
        answers = answers_of_cell(cells[columns[0]])
        spans = tuple((float(begin), float(end)) for begin, end in located_answers(answers, text))
        plain = bool(spans) and answers.starts[0] is None
        found = AnswerPlaces(spans, plain and text.count(answers.texts[0]) > 1, plain)
    if not found.spans and not no_answer:
        raise DataError("there is no answer, but every question of the train split has one (no_answer=false)")
    return found
