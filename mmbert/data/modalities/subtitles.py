"""Subtitles: what is said in a part of a recording, from SubRip (.srt) and WebVTT (.vtt) files."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

from mmbert.core.errors import DataError
from mmbert.core.regular_files import refuse_special
from mmbert.data.modalities.base import TimeSpan
from mmbert.data.tables.times import seconds_of

SUBTITLE_ENDINGS = (".srt", ".vtt")
#: ``00:00:01,000 --> 00:00:02.500``, with or without hours; WebVTT has settings behind it.
TIMING = re.compile(r"\s*((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})\s*-->\s*((?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3})(?:\s.*)?")
#: ``<i>``, ``<v Anna>`` and SubRip's ``{\\an8}``.
MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
BLANK_LINES = re.compile(r"\n[ \t]*\n")


@dataclass(frozen=True)
class Cue:
    """A line of subtitles.

    Attributes:
        start: seconds.
        end: seconds.
        text: without markup, lines joined by blanks.
    """

    start: float
    end: float
    text: str


def is_subtitle_name(name: str) -> bool:
    """Whether a file's ending is that of subtitles."""
    return name.lower().endswith(SUBTITLE_ENDINGS)


def read_subtitles(path: str | Path) -> list[Cue]:
    """All cues of a file, in its order.

    Raises:
        DataError: there is no such file, it is no text in UTF-8, holds no cue, or the times of one run back.
    """
    try:
        refuse_special(path)
        content = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: the subtitles cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: the subtitles are no text in UTF-8: save them anew as UTF-8") from error
    cues = []
    for block in BLANK_LINES.split(content.replace("\r\n", "\n").replace("\r", "\n")):
        cue = cue_of(block.strip("\n").split("\n"), path)
        if cue is not None and cue.text:
            cues.append(cue)
    if not cues:
        raise DataError(f"{path}: no subtitles are in it: lines such as 00:00:01,000 --> 00:00:02,500 are looked for")
    return cues


def cue_of(lines: list[str], path: str | Path) -> Cue | None:
    """The cue in the lines between two blank ones; None for headers, notes and styles."""
    for place, line in enumerate(lines[:2]):  # a number or a name may come before
        if found := TIMING.fullmatch(line):
            start, end = seconds_of(found[1]), seconds_of(found[2])
            assert start is not None and end is not None
            if end < start:
                raise DataError(f"{path}: '{line.strip()}' ends before it begins")
            text = " ".join(html.unescape(MARKUP.sub("", each)).strip() for each in lines[place + 1 :])
            return Cue(start, end, " ".join(text.split()))
    return None


def text_between(path: str | Path, part: TimeSpan) -> str:
    """What is said in a part of a recording: the cues whose middle lies in it, so that parts share none.

    Raises:
        DataError: see ``read_subtitles``; or nothing is said there.
    """
    cues = [cue.text for cue in read_subtitles(path) if lies_in((cue.start + cue.end) / 2, part)]
    if not cues:
        end = "its end" if part.end is None else f"{part.end:g} s"
        raise DataError(
            f"{path}: no subtitles from {part.start:g} s to {end}. Leave the cell empty: a missing modality is ordinary"
        )
    return " ".join(cues)


def lies_in(moment: float, part: TimeSpan) -> bool:
    """Whether a moment lies in a part, its beginning included and its end not."""
    return part.start <= moment and (part.end is None or moment < part.end)
