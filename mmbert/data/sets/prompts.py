"""prompts: the prompts of the telephone system Asterisk, a voice in English, one in French, and what is said.

One English voice (Allison Smith) and one Canadian French voice (June Wallack), 8 kHz, with English transcripts. The
French recording of a prompt has the same file name; there are no French transcripts.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmbert.core.errors import DataError
from mmbert.data.sets.base import DataCard, PreparedData, TableRow
from mmbert.data.sets.fsdd import DIGIT_WORDS
from mmbert.data.sets.grouping import bytes_key, caption_key, draw_grouped, duplicate_groups

SOUND_FOLDER = "share/asterisk/sounds"
ENGLISH_VOICE, FRENCH_VOICE = "en_US_f_Allison", "fr_CA_f_June"
TRANSCRIPTS = "share/doc/asterisk-core-sounds-en/core-sounds-en.txt"
TRANSCRIPT_LINE = re.compile(r"([^:\s]+):\s*(.*)")
#: What describes a sound, or remarks on it: ``[ascending tones]``, ``<beep>``, ``(1 second of silence)``, ``at [@]``.
REMARK = re.compile(r"\[[^\]]*\]|<[^>]*>|\([^)]*\)")
#: Signs that are read out; what stands between two letters of an address is "dot".
SPOKEN_SIGNS = {"*": " star ", "#": " pound ", **{str(n): f" {word} " for n, word in enumerate(DIGIT_WORDS)}}
#: Areas of the telephone system with fewer prompts are called "other".
LEAST_OF_AN_AREA = 10


class Prompts(PreparedData):
    """Asterisk's prompts.

    Columns: ``text`` (the transcript without remarks), ``transcript`` (what is said, in small letters a to z,
    apostrophes and spaces; empty where numbers above nine are said), ``audio`` (English), ``audio_fr`` (French),
    ``area`` (the part of the telephone system), ``repeats`` (same number = same words), ``id``, ``split``.

    Args:
        split_seed: of the draw of validation (10 %) and test (20 %), in which no words are in two splits.
        with_sounds: also beeps, tones and silences, whose text is empty and whose area is "sound".
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    card = DataCard(
        name="prompts",
        version=1,
        licence="CC BY-SA 3.0",
        homepage="https://packages.debian.org/asterisk-core-sounds-en-wav",
        holds=(f"{TRANSCRIPTS}*", f"{SOUND_FOLDER}/{ENGLISH_VOICE}/*.wav"),
        packages=("asterisk-core-sounds-en", "asterisk-core-sounds-en-wav", "asterisk-core-sounds-fr-wav"),
        citation="Asterisk core sounds: Allison Smith 2003-2010, June Wallack 2006-2008",
        most_gib=1.0,
    )

    def __init__(self, split_seed: int = 0, with_sounds: bool = False, **options: Any) -> None:
        self.split_seed, self.with_sounds = split_seed, with_sounds
        super().__init__(built_with={"split_seed": split_seed, "with_sounds": with_sounds}, **options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """A row for each English prompt, in the order of their names."""
        words = transcripts(raw)
        english = raw / SOUND_FOLDER / ENGLISH_VOICE
        names = sorted(path.relative_to(english).with_suffix("").as_posix() for path in english.rglob("*.wav"))
        if unknown := [name for name in names if name not in words]:
            self.note(f"{len(unknown)} prompts without a transcript are left out: {', '.join(unknown[:5])}")
        names = [name for name in names if name in words]
        wordless = [name for name in names if not without_remarks(words[name])]
        if wordless and not self.with_sounds:
            self.note(f"{len(wordless)} beeps, tones and silences are left out; data.with_sounds=true keeps them")
            names = [name for name in names if name not in wordless]
        texts = [without_remarks(words[name]) for name in names]
        french = [path if (path := french_of(raw, name)).is_file() else None for name in names]
        if alone := sum(path is None for path in french):
            self.note(f"{alone} prompts have no French recording")
        keys = [
            [
                caption_key(said_words(text) or text or name),
                *(bytes_key(path) for path in (english / f"{name}.wav", other) if path),
            ]
            for name, text, other in zip(names, texts, french, strict=True)
        ]
        groups, areas = duplicate_groups(keys), areas_of(names, set(wordless))
        splits = draw_grouped(groups, areas, {"test": 0.2, "val": 0.1}, self.split_seed)
        for name, text, other, area, group, split in zip(names, texts, french, areas, groups, splits, strict=True):
            yield {
                "id": name,
                "split": split,
                "text": text,
                "transcript": said_words(text),
                "audio": english / f"{name}.wav",
                "audio_fr": other,
                "area": area,
                "repeats": int(group),
            }


def transcripts(raw: Path) -> dict[str, str]:
    """The package's transcript of each prompt by its name.

    Raises:
        DataError: a line is no transcript.
    """
    path = next(raw.glob(f"{TRANSCRIPTS}*"))
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    found = {}
    for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith(";"):
            continue
        match = TRANSCRIPT_LINE.fullmatch(line)
        if match is None:
            raise DataError(f"{path}, line {number}: 'NAME: WORDS' is wanted, not '{line}'.")
        found[match[1]] = match[2].strip()
    return found


def without_remarks(transcript: str) -> str:
    """What is said, without descriptions of sounds; empty where it is nothing else."""
    words = " ".join(REMARK.sub(" ", transcript).split())
    return words if re.search(r"\w", words) else ""


def said_words(text: str) -> str:
    """The words as they are spoken: a to z, apostrophes and spaces; empty where they cannot be known.

    Single digits, ``*`` and ``#`` are read out. How larger numbers ("500", "H.323") are read, no transcript says.
    """
    if re.search(r"\d[\d.]*\d", text):
        return ""
    spoken = re.sub(r"(?<=\w)\.(?=\w)", " dot ", text.lower())
    spoken = "".join(SPOKEN_SIGNS.get(letter, letter) for letter in spoken)
    return " ".join(re.sub(r"[^a-z' ]", " ", spoken).split())


def french_of(raw: Path, name: str) -> Path:
    """The file of the French recording of a prompt."""
    return raw / SOUND_FOLDER / FRENCH_VOICE / f"{name}.wav"


def areas_of(names: list[str], wordless: set[str]) -> list[str]:
    """The part of the telephone system that each prompt belongs to: its folder, or its name's first part.

    Areas of fewer than ``LEAST_OF_AN_AREA`` prompts are one, ``other``; beeps and silences are ``sound``.
    """
    own = [name.split("/")[0] if "/" in name else name.split("-")[0] for name in names]
    own = ["sound" if name in wordless else area for name, area in zip(names, own, strict=True)]
    return [area if own.count(area) >= LEAST_OF_AN_AREA else "other" for area in own]
