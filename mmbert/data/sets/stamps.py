"""stamps: Tux Paint's stamps, pictures with captions in 78 languages, spoken in 13, and with noises of their own.

Debian's package ``tuxpaint-stamps-default``. A row is a picture; 83 stamps are there twice, as a bitmap and as a
drawing (SVG), and share caption and sounds. All languages are columns of one table, and its splits hold for all of
them: no caption, picture or sound, in whatever language, is in two splits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import UnidentifiedImageError

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.data.modalities.picture_extras import svg_content
from mmbert.data.modalities.svg_process import draw_svg
from mmbert.data.sets.base import DataCard, NewFile, PreparedData, TableRow
from mmbert.data.sets.grouping import bytes_key, caption_key, draw_grouped, duplicate_groups

CAPTION, SPEECH = "caption_", "speech_"
#: A line of a caption file after the first, which is English: ``fr.utf8=Une grenouille.``
TRANSLATION = re.compile(r"([A-Za-z_]+(?:@[a-z]+)?)\.utf8=(.*)")
SPOKEN = re.compile(r"(?P<stamp>.+)_desc(?:_(?P<language>[A-Za-z]{2}(?:_[A-Za-z]{2})?))?")
#: Tux Paint shows these in place of a mirrored picture; they are the same stamp.
MIRRORED = "_mirror"
#: ``<!ENTITY name "value">`` in the head of an SVG, and that head.
ENTITY = re.compile(rb"""<!ENTITY\s+(\w+)\s+["']([^"']{0,200})["']\s*>""")
DOCTYPE = re.compile(rb"<!DOCTYPE[^\[>]*\[[^\]]*\]\s*>")
SMALLEST_DRAWING = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
#: Kinds of fewer pictures in train are called "other" in ``kind_common``.
LEAST_OF_A_KIND = 8
#: Kinds of fewer pictures are not balanced each for itself over the splits.
LEAST_OF_A_STRATUM = 10
OTHER_KIND = "other"


class Stamps(PreparedData):
    """Tux Paint's stamps.

    Columns: ``image``; ``caption_LANGUAGE`` (``caption_en``, ``caption_fr``, ...); ``speech_LANGUAGE`` (the caption
    spoken); ``sound`` (a noise of its own, such as a dog's bark); ``topic`` (16), ``kind`` (its folder),
    ``kind_common`` (kinds with few rows in train are "other"); ``stamp`` (the same for both pictures of
    a stamp), ``repeats`` (the same for all rows that share a caption or a file), ``drawn`` (whether it was an SVG),
    ``id``, ``split``.

    Args:
        caption: language of the text encoder's column; None = ``columns`` says it.
        speech: language of the audio encoder's column; None = ``columns`` says it.
        columns: the table's column for each encoder, and for ``split``; it wins over ``caption`` and ``speech``.
        split_seed: of the draw of validation (10 %) and test (20 %), stratified by topic.
        **options: those of ``PreparedData`` and ``MultimodalData``.
    """

    card = DataCard(
        name="stamps",
        version=1,
        licence="GPL-2.0-or-later",
        homepage="https://packages.debian.org/tuxpaint-stamps-default",
        holds=("animals/*/*.png", "animals/*/*.txt"),
        packages=("tuxpaint-stamps-default",),
        citation="Tux Paint stamps, Bill Kendrick and contributors, 2002-2022",
        most_gib=4.0,
    )

    def __init__(
        self,
        caption: str | None = "en",
        speech: str | None = "fr",
        columns: Mapping[str, str | None] | None = None,
        split_seed: int = 0,
        **options: Any,
    ) -> None:
        self.split_seed = split_seed
        chosen = {"text": caption and CAPTION + caption, "audio": speech and SPEECH + speech}
        used = {name: column for name, column in chosen.items() if column} | dict(columns or {})
        super().__init__(built_with={"split_seed": split_seed, "svg": can_draw()}, columns=used, **options)
        for option, language, beginning in (("caption", caption, CAPTION), ("speech", speech, SPEECH)):
            known = [name.removeprefix(beginning) for name in self.column_names if name.startswith(beginning)]
            if language is not None and language not in known:
                raise ConfigError(f"data.{option}={language}: no stamp has it. {nearest(language, known)}")

    def read_rows(self, raw: Path) -> Iterator[TableRow]:
        """A row for each picture, in the order of their paths."""
        pictures = sorted(path for ending in ("png", "svg") for path in raw.rglob(f"*.{ending}"))
        pictures = self.captioned([path for path in pictures if not path.stem.endswith(MIRRORED)])
        drawings = {path: rendered(path) for path in pictures if path.suffix == ".svg"} if can_draw() else {}
        pictures = self.shown(pictures, drawings)
        captions = [captions_of(path.with_suffix(".txt")) for path in pictures]
        sounds = sounds_by_stamp(raw)
        heard = [sounds.get(path.with_suffix(""), {}) for path in pictures]
        groups = duplicate_groups(repeated_keys(*facts) for facts in zip(pictures, captions, heard, strict=True))
        topics = [path.relative_to(raw).parts[0] for path in pictures]
        kinds = [path.parent.relative_to(raw).as_posix() for path in pictures]
        splits = draw_grouped(groups, strata_of_kinds(topics, kinds), {"test": 0.2, "val": 0.1}, self.split_seed)
        trained = [kind for kind, split in zip(kinds, splits, strict=True) if split == "train"]
        common = {kind for kind in set(kinds) if trained.count(kind) >= LEAST_OF_A_KIND}
        for i, path in enumerate(pictures):
            name = path.relative_to(raw)
            yield {
                "id": name.as_posix(),
                "split": splits[i],
                "image": NewFile(f"{name}.png", content) if (content := drawings.get(path)) else path,
                "sound": heard[i].get("sound"),
                "topic": topics[i],
                "kind": kinds[i],
                "kind_common": kinds[i] if kinds[i] in common else OTHER_KIND,
                "stamp": name.with_suffix("").as_posix(),
                "repeats": int(groups[i]),
                "drawn": str(path in drawings).lower(),
                **{CAPTION + language: captions[i][language] for language in sorted(captions[i])},
                **{name: heard[i][name] for name in sorted(heard[i]) if name.startswith(SPEECH)},
            }

    def captioned(self, pictures: list[Path]) -> list[Path]:
        """The pictures that have a caption file; of the others there is a note."""
        kept = [path for path in pictures if path.with_suffix(".txt").is_file()]
        if len(kept) < len(pictures):
            self.note(f"{len(pictures) - len(kept)} pictures without a caption are left out")
        return kept

    def shown(self, pictures: list[Path], drawings: Mapping[Path, bytes | None]) -> list[Path]:
        """The pictures that are PNG or were rendered; of the others there is a note."""
        kept = [path for path in pictures if path.suffix != ".svg" or drawings.get(path)]
        if not drawings and len(kept) < len(pictures):
            lost = f"{len(pictures) - len(kept)} drawings (SVG) are left out"
            self.note(f"{lost}: pip install 'mmbert[svg]' and the system's library cairo render them")
        elif len(kept) < len(pictures):
            self.note(f"{len(pictures) - len(kept)} drawings (SVG) that cannot be rendered are left out")
        return kept


def strata_of_kinds(topics: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """What each split has its share of: kinds, and of each topic the rows of its small kinds together."""
    return [
        kind if kinds.count(kind) >= LEAST_OF_A_STRATUM else f"{topic}, small kinds"
        for topic, kind in zip(topics, kinds, strict=True)
    ]


def captions_of(path: Path) -> dict[str, str]:
    """The captions in a file by language: the first line is English, the others say which language they are.

    Raises:
        DataError: a line is neither.
    """
    first, *lines = path.read_text("utf-8-sig").splitlines()
    found = {"en": first.strip()}
    for number, line in enumerate(lines, start=2):
        match = TRANSLATION.fullmatch(line.strip())
        if match is None and line.strip():
            raise DataError(f"{path}, line {number}: 'LANGUAGE.utf8=CAPTION' is wanted, not '{line}'.")
        if match is not None and match[2].strip():
            found[match[1]] = match[2].strip()
    return {language: caption for language, caption in found.items() if caption}


def sounds_by_stamp(raw: Path) -> dict[Path, dict[str, Path]]:
    """The sound files of each stamp (its path without ending) by column."""
    found: dict[Path, dict[str, Path]] = {}
    for path in sorted(path for ending in ("ogg", "wav") for path in raw.rglob(f"*.{ending}")):
        match = SPOKEN.fullmatch(path.stem)
        if match is None:
            found.setdefault(path.with_suffix(""), {}).setdefault("sound", path)
        else:
            column = SPEECH + (match["language"] or "en")
            found.setdefault(path.with_name(match["stamp"]), {}).setdefault(column, path)
    return found


def repeated_keys(picture: Path, captions: Mapping[str, str], sounds: Mapping[str, Path]) -> list[Any]:
    """What must not be in two splits: the stamp, its captions in every language, its files."""
    files = (bytes_key(path) for path in (picture, *sounds.values()))
    return [picture.with_suffix(""), *map(caption_key, captions.values()), *files]


def can_draw() -> bool:
    """Whether drawings (SVG) can be rendered: the extra ``svg`` is there, and the system's library cairo."""
    try:
        draw_svg(SMALLEST_DRAWING)
    except DataError:
        return False
    return True


def rendered(path: Path) -> bytes | None:
    """A drawing as a PNG; None if it cannot be rendered."""
    try:
        return draw_svg(without_entities(svg_content(path)))
    except (DataError, UnidentifiedImageError):
        return None


def without_entities(svg: bytes) -> bytes:
    """An SVG with its own abbreviations written out, which Adobe Illustrator makes and the renderer refuses.

    Of abbreviations alone that hold plain text: one that holds another could grow without bounds, and stays.
    """
    values = {match[1]: match[2] for match in ENTITY.finditer(svg) if b"&" not in match[2] and b"<" not in match[2]}
    if len(values) < svg.count(b"<!ENTITY"):
        return svg
    plain = DOCTYPE.sub(b"", svg) if values else svg
    for name, value in values.items():
        plain = plain.replace(b"&" + name + b";", value)
    return plain
