"""Targets of questions as tensors: made of answers and tokens, collated, and read back as labels.

Of B questions:
    state              (B,) int64          1 with an answer, 0 without, UNLABELLED
    first, last        (B,) int64          tokens of the first reference answer that the tokens hold, UNLABELLED if none
    extents            (B, L, 2) float64   where tokens begin and end, -1 where one is special or there is none
    text               (B, T) int64        the code points of the text, -1 beyond its end
    references         (B, R, A) int64     those of the reference answers
    spans              (B, R, 2) float64   where these begin and end, -1 beyond the last
    flags              (B, 3) bool         cut off, found several times, written as plain text
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mmbert.core.types import UNLABELLED, Tensors
from mmbert.tasks.spans.answer_cells import AnswerPlaces, check_within_sound
from mmbert.tasks.spans.best_spans import covering_tokens, token_extents
from mmbert.tasks.spans.units import with_marks


def question_target(places: AnswerPlaces, alignment: Mapping[str, Any], seconds: bool) -> Tensors:
    """The targets of one question, by name.

    Args:
        places: where its reference answers lie.
        alignment: of what holds them; see ``Task.encode``.
        seconds: whether that is a sound, else a text.

    Raises:
        DataError: an answer ends after its sound.
    """
    text = None if seconds else alignment["text"]
    extents = token_extents(alignment, seconds)
    reach = float(extents[:, 1].max(initial=0))
    if text is None:
        check_within_sound(places.spans, alignment)
    else:
        reach = with_marks(text, int(reach))
    tokens = [covering_tokens(extents, begin, end, reach) for begin, end in places.spans]
    first, last = next((pair for pair in tokens if pair is not None), (UNLABELLED, UNLABELLED))
    references = [] if text is None else [code_points(text[int(begin) : int(end)]) for begin, end in places.spans]
    answered = bool(places.spans)
    return {
        "state": torch.tensor(int(answered)),
        "first": torch.tensor(first),
        "last": torch.tensor(last),
        "extents": torch.from_numpy(extents),
        "text": code_points("" if text is None else text),
        "references": pad_sequence(references or [torch.full((1,), -1)], True, -1),
        "spans": torch.tensor(places.spans or [(-1.0, -1.0)], dtype=torch.float64),
        "flags": torch.tensor([answered and first == UNLABELLED, places.several, places.plain]),
    }


def collated_targets(targets: Sequence[Tensors | None]) -> Tensors:
    """Targets of single questions (None = unlabelled) -> those of a batch."""
    nothing = {
        "state": torch.tensor(UNLABELLED),
        "first": torch.tensor(UNLABELLED),
        "last": torch.tensor(UNLABELLED),
        "extents": torch.full((1, 2), -1.0, dtype=torch.float64),
        "text": torch.full((1,), -1),
        "references": torch.full((1, 1), -1),
        "spans": torch.full((1, 2), -1.0, dtype=torch.float64),
        "flags": torch.zeros(3, dtype=torch.bool),
    }
    rows = [nothing if target is None else target for target in targets]
    widest = max(row["references"].shape[1] for row in rows)
    padded = [nn.functional.pad(row["references"], (0, widest - row["references"].shape[1]), value=-1) for row in rows]
    found = {name: torch.stack([row[name] for row in rows]) for name in ("state", "first", "last", "flags")}
    found |= {name: pad_sequence([row[name] for row in rows], True, -1) for name in ("extents", "text", "spans")}
    return found | {"references": pad_sequence(padded, True, -1)}


def label_of_target(targets: Tensors, row: int, two_columns: bool, seconds: bool) -> Any:
    """The answer's text where that says all; else SQuAD's object; an empty list where there is none.

    Of a sound ``[begin, end]``; None if it is unlabelled.
    """
    state = int(targets["state"][row])
    if state != 1:
        return None if state == UNLABELLED else []
    spans = [(begin, end) for begin, end in targets["spans"][row].tolist() if end > begin]
    if seconds:
        return list(spans[0])
    texts = reference_texts(targets, row)
    if targets["flags"][row, 2]:
        return texts[0] if len(texts) == 1 else texts
    return texts[0] if two_columns else {"text": texts, "answer_start": [int(begin) for begin, _ in spans]}


def reference_texts(targets: Tensors, row: int) -> list[str]:
    """The reference answers of one question, in their own words."""
    return [text for text in map(spelt_text, targets["references"][row].tolist()) if text]


def code_points(text: str) -> Tensor:
    """(T,) int64."""
    return torch.tensor([ord(character) for character in text], dtype=torch.int64)


def spelt_text(points: Sequence[int]) -> str:
    """The text that code points spell, up to the first -1."""
    return "".join(map(chr, points[: list(points).index(-1)] if -1 in points else points))
