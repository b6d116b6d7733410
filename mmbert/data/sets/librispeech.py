"""librispeech: read English speech with transcripts; test is clean or other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmbert.core.errors import DataError
from mmbert.data.sets.base import DataCard, PreparedData, TableRow


class LibriSpeech(PreparedData):
    """LibriSpeech: parts of training, the clean development part, and both test parts.

    Columns: ``audio``, ``transcript`` (capitals and apostrophes, no other signs), ``speaker``, ``chapter``, ``part``,
    ``id``; the splits are ``train``, ``val``, ``test`` (clean) and ``test_other``.

    Args:
        train: parts to learn from; those that are not there are an error.
        val: the part that chooses.
        **options: those of ``PreparedData`` and ``MultimodalData``. ``copy_files`` is False unless it is said: the
            recordings are large.
    """

    card = DataCard(
        name="librispeech",
        version=1,
        licence="CC BY 4.0",
        homepage="https://www.openslr.org/12",
        holds=("dev-clean/*/*/*.trans.txt", "test-clean/*/*/*.trans.txt"),
        fetch="Download train-clean-100, dev-clean, test-clean and test-other from https://www.openslr.org/12, "
        "unpack them "
        "into one folder, and name the folder LibriSpeech.",
        citation="Panayotov et al. 2015, LibriSpeech: an ASR corpus based on public domain audio books, ICASSP",
        metric="word error rate on test-clean and test-other",
        figure="wav2vec 2.0 base, fine-tuned on train-clean-100, without a language model: 6.1 and 13.3 (Baevski et "
        "al. "
        "2020, arXiv:2006.11477)",
        most_gib=200.0,
    )

    def __init__(
        self,
        train: Sequence[str] = ("train-clean-100",),
        val: str = "dev-clean",
        copy_files: bool = False,
        **options: Any,
    ) -> None:
        self.parts = [*((part, "train") for part in train), (val, "val"), ("test-clean", "test")]
        self.parts += [("test-other", "test_other")]
        super().__init__(copy_files=copy_files, built_with={"train": list(train), "val": val}, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The utterances by part, speaker and chapter."""
        for part, split in self.parts:
            folder = raw / part
            if not folder.is_dir():
                if split == "test_other":
                    self.note("test-other is not there: only test-clean is measured")
                    continue
                raise DataError(f"{raw} has no folder {part}. Set data.train or data.val, or download it.")
            for path in sorted(folder.glob("*/*/*.trans.txt")):
                for line, text in enumerate(path.read_text("utf-8").splitlines(), start=1):
                    name, _, transcript = text.partition(" ")
                    if not transcript.strip():
                        raise DataError(f"{path}, line {line}: '{text}' is no utterance with its transcript.")
                    yield {
                        "id": name,
                        "split": split,
                        "audio": path.parent / f"{name}.flac",
                        "transcript": transcript.strip(),
                        "speaker": path.parts[-3],
                        "chapter": path.parts[-2],
                        "part": part,
                    }
