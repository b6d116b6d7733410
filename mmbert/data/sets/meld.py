"""meld: the utterances of MELD with their clips: transcript, voice, and the picture in the middle of the clip."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmbert.core.errors import DataError
from mmbert.data.sets.base import DataCard, NewFile, TableRow
from mmbert.data.sets.meld_text import MeldText

#: Folders of the clips in the published archives.
CLIP_FOLDERS = {
    "train": ("train_splits", "train"),
    "val": ("dev_splits_complete", "dev"),
    "test": ("output_repeated_splits_test", "test"),
}
CLIP_RATE_HZ = 16_000
CLIP_SECONDS = 120  # an utterance lasts a few seconds; a clip that takes ffmpeg longer than this is damaged


class Meld(MeldText):
    """MELD with its clips. ffmpeg takes sound and picture out of them once.

    Columns: those of ``meld_text``, ``audio`` (16 kHz, one channel) and ``image`` (the frame in the middle). Published
    clips that are missing or damaged (one in train, one in dev) leave both empty.

    Args:
        context: how many utterances before it are in the column ``context``.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    card = DataCard(
        name="meld",
        version=1,
        licence="GPL-3.0 (annotation); the series' own terms (clips)",
        homepage="https://github.com/declare-lab/MELD",
        holds=("train_sent_emo.csv", "dev_sent_emo.csv", "test_sent_emo.csv", "train*/*.mp4"),
        fetch="Download MELD.Raw.tar.gz, which https://github.com/declare-lab/MELD links, unpack the three archives "
        "in it, "
        "and put the three tables beside their folders. ffmpeg must be installed.",
        citation="Poria et al. 2019, MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations, "
        "arXiv:1810.02508",
        metric="weighted F1 of the emotion on test",
        figure="DialogueRNN: 57.0 from text, 60.3 from text and voice (Poria et al. 2019)",
    )

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The utterances with what ffmpeg finds in their clips."""
        if shutil.which("ffmpeg") is None:
            raise DataError(
                "MELD's clips are read by ffmpeg, which is not installed (Debian, Ubuntu: apt install ffmpeg)."
            )
        lacking = []
        for row in super().read_rows(raw):
            split, name = row["split"], f"dia{row['dialogue'].rsplit('-', 1)[1]}_utt{row['utterance']}"
            clip = next(
                (path for folder in CLIP_FOLDERS[split] if (path := raw / folder / f"{name}.mp4").is_file()), None
            )
            found: dict[str, Any] = {} if clip is None else sound_and_picture(clip, f"{split}/{name}")
            if not found:
                lacking.append(f"{split}/{name}")
            yield {**row, **found}
        if lacking:
            self.note(
                f"{len(lacking)} clips are missing or damaged: {', '.join(lacking[:5])}; their text alone is used"
            )


def sound_and_picture(clip: Path, name: str) -> dict[str, NewFile]:
    """The columns ``audio`` and ``image`` of a clip; empty if ffmpeg cannot read it."""
    common = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(clip)]
    sound = output_of([*common, "-vn", "-ac", "1", "-ar", str(CLIP_RATE_HZ), "-f", "wav", "-"])
    if not sound:
        return {}
    found = {"audio": NewFile(f"audio/{name}.wav", with_true_length(sound))}
    middle = (len(sound) - WAV_HEADER) / 2 / CLIP_RATE_HZ / 2  # two bytes a sample, half of the clip
    picture = output_of(
        ["ffmpeg", "-nostdin", "-v", "error", "-ss", f"{middle:.3f}", "-i", str(clip)]
        + ["-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-"]
    )
    return found | ({"image": NewFile(f"image/{name}.png", picture)} if picture else {})


WAV_HEADER = 44


def with_true_length(wav: bytes) -> bytes:
    """A WAV file that was written to a pipe, with its sizes in place: ffmpeg cannot go back to fill them in."""
    start = wav.find(b"data")
    if start < 0:
        return wav
    filled = bytearray(wav)
    filled[4:8] = (len(wav) - 8).to_bytes(4, "little")
    filled[start + 4 : start + 8] = (len(wav) - start - 8).to_bytes(4, "little")
    return bytes(filled)


def output_of(command: list[str]) -> bytes:
    """What a program writes; nothing if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=CLIP_SECONDS)
    except subprocess.TimeoutExpired:
        return b""
    return done.stdout if done.returncode == 0 else b""
