"""Where the encoders that come with mmbert cut long inputs: texts by tokens, sounds by seconds, features by vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.core.errors import DataError
from mmbert.data.modalities.audio import MODALITY as AUDIO
from mmbert.data.modalities.base import bytes_and_name
from mmbert.data.modalities.feature_files import sequence_lengths
from mmbert.data.modalities.length_limit import LengthLimit
from mmbert.data.modalities.text import MODALITY as TEXT
from mmbert.data.modalities.text_pair import TextPair
from mmbert.encoders.processors.long_texts import MOST_CHARACTERS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def seconds_limit(max_seconds: float) -> LengthLimit:
    """Of sounds; their lengths are those of their headers, to the millisecond."""

    def measure(cells: Sequence[Any], folder: Path) -> list[float]:
        return [round(AUDIO.length(cell, folder), 3) for cell in cells]

    return LengthLimit("max_seconds", max_seconds, "seconds", measure)


def tokens_limit(tokenizer: PreTrainedTokenizerBase, max_tokens: int, ceiling: float) -> LengthLimit:
    """Of texts, special tokens included.

    Args:
        tokenizer: of transformers.
        max_tokens: longer texts are cut.
        ceiling: positions of the network.
    """

    def measure(cells: Sequence[Any], folder: Path) -> list[float]:
        return token_counts([text_of(cell, folder) for cell in cells], tokenizer)

    return LengthLimit("max_tokens", max_tokens, "tokens", measure, ceiling)


def vectors_limit(max_tokens: int, key: str | None) -> LengthLimit:
    """Of features in files, by their headers, or in lists.

    Args:
        max_tokens: longer sequences are cut.
        key: the array's name in files of several.
    """

    def measure(cells: Sequence[Any], folder: Path) -> list[float]:
        return [float(vectors(cell, folder, key)) for cell in cells]

    return LengthLimit("max_tokens", max_tokens, "length", measure)


def token_counts(texts: Sequence[str | TextPair], tokenizer: PreTrainedTokenizerBase) -> list[float]:
    """Tokens of each text, or of both texts of a pair, special ones included.

    Of texts of more than ``MOST_CHARACTERS`` the beginning is counted and taken for all of it.
    """
    alone = [text.text if isinstance(text, TextPair) else text for text in texts]
    begun = [text[:MOST_CHARACTERS] for text in alone]
    ids = tokenizer(begun, verbose=False)["input_ids"] if begun else []
    shares = [len(text) / max(1, len(start)) for text, start in zip(alone, begun, strict=True)]
    counts = [float(round(len(found) * max(1.0, share))) for found, share in zip(ids, shares, strict=True)]
    added = tokenizer.num_special_tokens_to_add(pair=True) - tokenizer.num_special_tokens_to_add()
    for place, pair in enumerate(texts):
        if isinstance(pair, TextPair):
            before = tokenizer(pair.before[:MOST_CHARACTERS], add_special_tokens=False, verbose=False)
            counts[place] += len(before["input_ids"]) + added
    return counts


def text_of(cell: Any, folder: Path) -> str | TextPair:
    """The text of a cell; none where it cannot be read."""
    try:
        return TEXT.read(cell, folder)
    except DataError:
        return ""


def vectors(cell: Any, folder: Path, key: str | None) -> int:
    """Vectors in a cell; 0 where it cannot be read."""
    content, name = bytes_and_name(cell)
    if name is None:
        return len(cell) if isinstance(cell, list) and cell and isinstance(cell[0], list) else 1
    try:
        lengths = sequence_lengths(folder / name, content)
    except DataError:
        return 0
    return lengths.get(key, 0) if key is not None else next(iter(lengths.values()), 0)
