"""fsdd, the Free Spoken Digit Dataset: 3,000 recordings of ten English digits by six speakers, 8 kHz.

Its own split takes the first five recordings of each speaker and digit for test, so every speaker is known; the default
here keeps two speakers for test and one for validation, which is the honest figure for a new voice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from mmbert.core.errors import DataError
from mmbert.data.sets.base import DataCard, PreparedData, TableRow

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPEAKERS_OF = {"test": ("lucas", "theo"), "val": ("nicolas",)}
OWN_TEST_BELOW, OWN_VAL_BELOW = 5, 10
RECORDING = re.compile(r"([0-9])_(\w+)_(\d+)")


class FreeSpokenDigits(PreparedData):
    """The Free Spoken Digit Dataset.

    Columns: ``audio``, ``digit`` (0 to 9), ``transcript`` (the digit in words), ``speaker``, ``index``, ``id``.

    Args:
        split_by: ``speaker`` = test is lucas and theo, validation nicolas; ``index`` = the set's own test (recordings 0
            to 4 of each speaker and digit), and 5 to 9 for validation.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    card = DataCard(
        name="fsdd",
        version=1,
        licence="CC BY-SA 4.0",
        homepage="https://github.com/Jakobovski/free-spoken-digit-dataset",
        holds=("recordings/*_*_*.wav",),
        archives=("fsdd*.tar.gz|free-spoken-digit-dataset*.zip|free-spoken-digit-dataset*.tar.gz",),
        fetch="Download the repository https://github.com/Jakobovski/free-spoken-digit-dataset as a .zip or .tar.gz.",
        citation="Jackson et al. 2018, Free Spoken Digit Dataset v1.0.8, doi:10.5281/zenodo.1342401",
    )

    def __init__(self, split_by: Literal["speaker", "index"] = "speaker", **options: Any) -> None:
        self.split_by = split_by
        super().__init__(built_with={"split_by": split_by}, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """A row for each recording, in the order of digit, speaker and index."""
        found = []
        for path in (raw / "recordings").glob("*.wav"):
            match = RECORDING.fullmatch(path.stem)
            if match is None:
                raise DataError(f"{path}: a recording is called DIGIT_SPEAKER_INDEX.wav, such as 7_theo_3.wav.")
            found.append((int(match[1]), match[2], int(match[3]), path))
        for digit, speaker, index, path in sorted(found):
            yield {
                "id": path.stem,
                "split": self.split_of(speaker, index),
                "audio": path,
                "digit": digit,
                "transcript": DIGIT_WORDS[digit],
                "speaker": speaker,
                "index": index,
            }

    def split_of(self, speaker: str, index: int) -> str:
        """The split of a recording."""
        if self.split_by == "speaker":
            return next((split for split, names in SPEAKERS_OF.items() if speaker in names), "train")
        return "test" if index < OWN_TEST_BELOW else "val" if index < OWN_VAL_BELOW else "train"
