"""The symbols that CTC gives, learnt from transcripts: from a table's cell to their numbers and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.data.tables.cells import cell_excerpt, cell_text
from mmbert.tasks.speech.ctc_search import BLANK, frames_needed
from mmbert.tasks.speech.transcripts import SYMBOL_UNITS, SymbolUnit, TranscriptForm, parts_words


class Alphabet:
    """C characters, or words, numbered from 1; 0 is the blank.

    Args:
        symbols: in the order of their numbers.
        form: of the transcripts.
    """

    def __init__(self, symbols: Sequence[str], form: TranscriptForm) -> None:
        self.symbols, self.form = list(symbols), form
        self._numbers = {symbol: number for number, symbol in enumerate(self.symbols, BLANK + 1)}

    def numbers(self, cell: Any) -> list[int]:
        """A cell -> its symbols' numbers.

        Raises:
            DataError: it is no text, nothing is left of it, or it has a symbol that the train split has not.
        """
        check_transcript(cell)
        text = cell_text(cell)
        symbols = self.form.symbols(self.form.written(text))
        if not symbols:
            raise DataError(f"nothing is left of the transcript '{cell_excerpt(text)}' ({self.form.note()})")
        strange = next((symbol for symbol in symbols if symbol not in self._numbers), None)
        if strange is not None:
            raise DataError(
                f"the transcript '{cell_excerpt(text)}' has the {self.form.unit} '{strange}', which no transcript of "
                "the train split has, so that it can never be recognised"
            )
        return [self._numbers[symbol] for symbol in symbols]

    def numbers_said_in(self, cell: Any, times: Any, reads: str) -> list[int]:
        """The same of a sound.

        Args:
            cell: the transcript.
            times: (T, 2) seconds of the sound's tokens.
            reads: the encoder's name, for the message.

        Raises:
            DataError: as ``numbers``; or the sound has too few tokens for the transcript.
        """
        numbers = self.numbers(cell)
        needed = frames_needed(numbers)
        if len(times) < needed:
            step = float(times[-1][1] - times[-1][0]) if len(times) else 0.0
            raise DataError(
                f"the transcript '{cell_excerpt(cell_text(cell))}' needs {needed} tokens of sound, one for each of "
                f"{len(numbers)} {self.form.unit}s and for a pause between two that are the same, but the sound has "
                f"{len(times)} of {step * 1000:.0f} ms: is it the right one, or cut off (max_seconds)? An encoder with "
                f"more tokens a second helps: encoders.{reads}.hop_seconds, encoders.{reads}.time_strides"
            )
        return numbers

    def named(self, numbers: Iterable[int]) -> list[str]:
        """Numbers -> symbols."""
        return [self.symbols[number - 1] for number in numbers]

    def text(self, numbers: Iterable[int]) -> str:
        """Numbers -> a transcript."""
        return self.form.joined(self.named(numbers))


def check_transcript(cell: Any) -> None:
    """Refuses lists and structures.

    Raises:
        DataError: the cell is one.
    """
    if isinstance(cell, (list, dict)):
        raise DataError(f"'{cell_excerpt(cell)}' is no text")


def learnt_alphabet(
    cells: Iterable[Any], column: str, unit: SymbolUnit, lower_case: bool, punctuation: bool, spaces: bool | None
) -> dict[str, Any]:
    """``symbols`` and ``spaces``, from the train split's transcripts.

    Raises:
        DataError: no cell holds a letter.
    """
    texts = [cell_text(cell) for cell in cells if cell is not None and not isinstance(cell, (list, dict))]
    parted = parts_words(texts) if spaces is None else spaces
    form = TranscriptForm(unit, lower_case, punctuation, parted)
    symbols = {symbol for text in texts for symbol in form.symbols(form.written(text))}
    if not symbols:
        raise DataError(f"Column '{column}' has no transcript in the train split.")
    return {"symbols": sorted(symbols), "spaces": parted}


def check_symbols(column: str, symbols: Sequence[str], unit: str) -> None:
    """Refuses symbols that are none.

    Raises:
        ConfigError: names the option.
    """
    if unit not in SYMBOL_UNITS:
        raise ConfigError(f"unit={unit} on column '{column}' is unknown. {nearest(unit, SYMBOL_UNITS)}")
    if not symbols or len(set(symbols)) < len(symbols) or "" in symbols:
        raise ConfigError(f"symbols of column '{column}' must be different {unit}s, at least one.")
    if unit == "character" and (long := next((symbol for symbol in symbols if len(symbol) > 1), None)):
        raise ConfigError(f"symbols of column '{column}' names '{long}', no single character; or set unit=word.")
