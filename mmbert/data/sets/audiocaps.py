"""audiocaps: ten-second clips of AudioSet with captions of what is heard."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmbert.core.errors import DataError
from mmbert.data.sets.base import DataCard, PreparedData, TableRow

AUDIOCAPS_COLUMNS = ("audiocap_id", "youtube_id", "start_time", "caption")
SOUND_ENDINGS = (".wav", ".flac", ".mp3")


class AudioCaps(PreparedData):
    """AudioCaps with its own splits; a row is a clip.

    Train has one caption a clip, val and test five. Clips that have left YouTube are in nobody's copy: they are left
    out and counted, and figures of different copies differ for it.

    Columns: ``audio``, ``caption`` (the first), ``captions`` (all, as a JSON list), ``clip``, ``id``.

    Args:
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    card = DataCard(
        name="audiocaps",
        version=1,
        licence="MIT (captions); YouTube's terms (sounds)",
        homepage="https://github.com/cdjkim/audiocaps",
        holds=("**/train.csv", "**/val.csv", "**/test.csv"),
        fetch="Take train.csv, val.csv and test.csv of https://github.com/cdjkim/audiocaps, and the sounds, in folders "
        "train, val and test, called by audiocap_id, youtube_id or youtube_id_start_time.",
        citation="Kim et al. 2019, AudioCaps: Generating Captions for Audios in The Wild, NAACL",
        metric="CIDEr, SPICE and their mean, SPIDEr",
        figure="TopDown-AlignedAtt with the nearest neighbour's caption: CIDEr 0.593, SPIDEr 0.369 (Kim et al. 2019)",
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """The clips of train, val and test, in the order of the files."""
        for split in ("train", "val", "test"):
            path = next(iter(sorted(raw.glob(f"**/{split}.csv"))))
            captions: dict[tuple[str, str], list[str]] = defaultdict(list)
            numbers: dict[tuple[str, str], list[str]] = defaultdict(list)
            with path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                absent = [name for name in AUDIOCAPS_COLUMNS if name not in (reader.fieldnames or ())]
                if absent:
                    raise DataError(f"{path} lacks the column {absent[0]}.")
                for cells in reader:
                    clip = cells["youtube_id"], cells["start_time"]
                    captions[clip].append(" ".join(cells["caption"].split()))
                    numbers[clip].append(cells["audiocap_id"])
            lacking = 0
            for (youtube, start), texts in captions.items():
                sound = sound_of(raw, split, [*numbers[youtube, start], f"{youtube}_{start}", youtube])
                if sound is None:
                    lacking += 1
                    continue
                yield {
                    "id": numbers[youtube, start][0],
                    "split": split,
                    "audio": sound,
                    "caption": texts[0],
                    "captions": json.dumps(texts, ensure_ascii=False),
                    "clip": f"{youtube}_{start}",
                }
            if lacking:
                self.note(f"{split}: {lacking} of {len(captions)} clips are not there and are left out")


def sound_of(raw: Path, split: str, names: list[str]) -> Path | None:
    """The file of a clip under one of its names; None if it is not there."""
    places = (raw / split, raw / "audio" / split, raw / "audio", raw / "wav", raw)
    files = (folder / f"{name}{ending}" for name in names for folder in places for ending in SOUND_ENDINGS)
    return next((path for path in files if path.is_file()), None)
