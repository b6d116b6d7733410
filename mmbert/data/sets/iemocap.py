"""iemocap: 10,039 utterances of ten actors in five sessions, with transcript, speech and emotion."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from mmbert.core.errors import DataError
from mmbert.core.ranges import OneOf, Range
from mmbert.data.sets.base import DataCard, PreparedData, TableRow

SESSIONS = 5
#: [6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.5000, 2.5000]
EMOTION_LINE = re.compile(r"\[([\d.]+) - ([\d.]+)\]\t(\S+)\t(\w+)\t\[([\d.]+), ([\d.]+), ([\d.]+)\]")
#: Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.
SPOKEN_LINE = re.compile(r"(Ses\S+) \[[\d.]+-[\d.]+\]:? ?(.*)")
#: The usual four classes, in which excitement counts as happiness; the others have no label.
FOUR = {"ang": "anger", "hap": "happiness", "exc": "happiness", "sad": "sadness", "neu": "neutral"}
NO_AGREEMENT = ("xxx", "oth")


class Iemocap(PreparedData):
    """IEMOCAP, one session as test.

    Columns: ``text``, ``audio``, ``emotion`` (four classes: anger, happiness with excitement, sadness, neutral; empty
    for all others), ``category`` (as the annotators agreed; empty where they did not), ``valence``, ``activation`` and
    ``dominance`` (1 to 5), ``speaker``, ``session``, ``dialogue``, ``start`` and ``end`` in seconds, ``id``.

    Args:
        test_session: 1 to 5; the figures are means over the five.
        val_session: 1 to 5; None = the one before the test session.
        labelled: ``four`` leaves out every utterance without one of the four classes: 5,531 stay; ``all`` keeps them.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    card = DataCard(
        name="iemocap",
        version=1,
        licence="IEMOCAP's own terms: research, on request",
        homepage="https://sail.usc.edu/iemocap/",
        holds=("Session1/dialog/EmoEvaluation/*.txt", "Session1/sentences/wav/*/*.wav"),
        fetch="Ask for it at https://sail.usc.edu/iemocap/, unpack it, and name the folder IEMOCAP_full_release.",
        citation="Busso et al. 2008, IEMOCAP: interactive emotional dyadic motion capture database, LREC",
        metric="accuracy of four classes, mean over the five sessions",
        figure="wav2vec 2.0 base, frozen: 63.4 (Yang et al. 2021, SUPERB, arXiv:2105.01051)",
    )

    def __init__(
        self,
        test_session: Annotated[int, Range(1, SESSIONS)] = 5,
        val_session: Annotated[int | None, Range(1, SESSIONS)] = None,
        labelled: Annotated[str, OneOf("four", "all")] = "four",
        **options: Any,
    ) -> None:
        self.test_session = test_session
        self.val_session = val_session or (test_session - 2) % SESSIONS + 1
        self.labelled = labelled
        if self.val_session == test_session:
            raise DataError(f"Session {test_session} cannot be test and val at once: set data.val_session.")
        built_with = {"test_session": test_session, "val_session": self.val_session, "labelled": labelled}
        super().__init__(built_with=built_with, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The utterances by session and dialogue, in the order of time."""
        dropped = 0
        for session in range(1, SESSIONS + 1):
            folder = raw / f"Session{session}"
            split = {self.test_session: "test", self.val_session: "val"}.get(session, "train")
            for path in own_files(folder / "dialog" / "EmoEvaluation", ".txt"):
                texts = words_by_utterance(folder / "dialog" / "transcriptions" / path.name)
                for row in emotions_of(path, texts, folder):
                    if self.labelled == "four" and not row["emotion"]:
                        dropped += 1
                        continue
                    yield {**row, "session": session, "split": split}
        if dropped:
            self.note(
                f"{dropped:,} utterances without one of the four classes are left out (data.labelled=all keeps them)"
            )


def own_files(folder: Path, ending: str) -> list[Path]:
    """The files of a folder by name, without the ``._`` files that macOS has left in the archives."""
    return sorted(path for path in folder.glob(f"*{ending}") if not path.name.startswith("._"))


def words_by_utterance(path: Path) -> dict[str, str]:
    """The words of a dialogue by utterance; lines of another form are no utterance."""
    lines = path.read_text("utf-8", errors="replace").splitlines()
    return {match[1]: match[2].strip() for line in lines if (match := SPOKEN_LINE.match(line))}


def emotions_of(path: Path, texts: Mapping[str, str], folder: Path) -> Iterator[dict[str, Any]]:
    """The utterances of a dialogue's table of emotions, in the order of time."""
    found = [match for line in path.read_text("utf-8").splitlines() if (match := EMOTION_LINE.match(line))]
    if not found:
        raise DataError(f"{path} holds no utterance with its emotion.")
    for match in sorted(found, key=lambda one: float(one[1])):
        name, category = match[3], match[4]
        yield {
            "id": name,
            "text": texts.get(name),
            "audio": folder / "sentences" / "wav" / path.stem / f"{name}.wav",
            "emotion": FOUR.get(category),
            "category": None if category in NO_AGREEMENT else category,
            "valence": float(match[5]),
            "activation": float(match[6]),
            "dominance": float(match[7]),
            "speaker": f"{name[:5]}{name.rsplit('_', 1)[1][0]}",  # Ses01 and F or M, of who speaks
            "dialogue": path.stem,
            "start": float(match[1]),
            "end": float(match[2]),
        }
