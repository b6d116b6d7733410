"""Tux Paint's stamps: languages are columns, drawings are rendered, and nothing that repeats is in two splits."""

import json
from collections import defaultdict

import pandas as pd
import pytest
from PIL import Image

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.sets import stamps
from mmbert.data.sets.grouping import caption_key
from mmbert.data.sets.stamps import Stamps, captions_of, rendered, without_entities
from raw_packages import debian_package, picture, real_sources, sound

ROOT = "usr/share/tuxpaint/stamps"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="20"><rect width="10" height="10" fill="red"/></svg>'
ENTITIES = b"""<?xml version="1.0"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x.dtd" [
  <!ENTITY ns_svg "http://www.w3.org/2000/svg">
]>
<svg xmlns="&ns_svg;" width="10" height="20"><rect width="10" height="10" fill="red"/></svg>"""


def package(path, **changed):
    """Forty-two stamps of two topics with the odd places of the real ones."""
    files = {}
    for number in range(40):
        name = f"animals/birds/bird{number}"
        files[f"{name}.png"] = picture(number)
        finnish = number // 2 if number < 10 else number  # the same caption twice
        lines = [f"Bird {number}.", f"fr.utf8=L'oiseau {number}.", f"fi.utf8=Lintu {finnish}.", "sv.utf8=", ""]
        files[f"{name}.txt"] = "\n".join(lines).encode()
        files[f"{name}_desc_fr.ogg"] = sound(number, "ogg")
        files[f"{name}.dat"] = b"noflip\n"
    files["animals/birds/bird3.ogg"] = sound(103, "ogg")
    files["animals/birds/bird4.wav"] = files["animals/birds/bird5.wav"] = sound(104)  # the same noise twice
    files["animals/birds/bird6.png"] = files["animals/birds/bird7.png"]  # the same picture twice
    files["animals/birds/bird8_desc.ogg"] = sound(108, "ogg")  # spoken English
    files["animals/birds/bird8_mirror.png"] = picture(99)
    files["space/cartoon/rocket.svg"] = files["space/cartoon/rocket2.svg"] = SVG
    files["space/cartoon/rocket.png"] = picture(50)
    files["space/cartoon/rocket.txt"] = b"A rocket.\r\nca@valencia.utf8=Un coet.\npt_BR.utf8=Um foguete.\n"
    files["space/cartoon/rocket2.txt"] = b"a rocket"
    files["space/cartoon/uncaptioned.png"] = picture(60)
    files |= changed
    return debian_package(path, {f"{ROOT}/{name}": content for name, content in files.items() if content is not None})


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBERT_HOME", str(tmp_path / "home"))
    return package(tmp_path / "tuxpaint-stamps-default_1_all.deb")


def table_of(data):
    return pd.read_csv(data.path, keep_default_na=False).set_index("id")


def test_a_row_is_a_picture_with_all_its_languages(source):
    data = Stamps(source=source)
    table = table_of(data)
    assert len(table) == 43 and data.notes == ["1 pictures without a caption are left out"]
    row = table.loc["animals/birds/bird8.png"]
    assert (row["caption_en"], row["caption_fr"], row["caption_fi"]) == ("Bird 8.", "L'oiseau 8.", "Lintu 4.")
    assert row["speech_fr"].endswith("bird8_desc_fr.ogg") and row["speech_en"].endswith("bird8_desc.ogg")
    assert (row["topic"], row["kind"], row["stamp"]) == ("animals", "animals/birds", "animals/birds/bird8")
    assert table["sound"]["animals/birds/bird3.png"].endswith("bird3.ogg")
    assert table["caption_ca@valencia"]["space/cartoon/rocket.svg"] == "Un coet."
    assert table["caption_pt_BR"]["space/cartoon/rocket.png"] == "Um foguete."
    assert "caption_sv" not in table.columns  # an empty caption is none
    assert (table["speech_fr"] != "").sum() == 40  # gaps stay gaps
    named = [cell for column in ("image", "sound", "speech_fr", "speech_en") for cell in table[column] if cell]
    assert all((data.path.parent / cell).is_file() for cell in named)


def test_a_drawing_is_a_picture_of_its_own_beside_the_bitmap(source):
    data = Stamps(source=source)
    table = table_of(data)
    drawing = table.loc["space/cartoon/rocket.svg"]
    assert drawing["drawn"] and not table["drawn"]["space/cartoon/rocket.png"]
    assert drawing["stamp"] == table["stamp"]["space/cartoon/rocket.png"]
    with Image.open(data.path.parent / drawing["image"]) as image:
        assert (image.format, image.size) == ("PNG", (256, 512))
        assert image.getpixel((128, 100))[:3] == (255, 0, 0) and image.getpixel((128, 400))[3] == 0


def test_without_the_renderer_drawings_are_left_out_and_said(source, monkeypatch):
    whole = Stamps(source=source).path

    def none(*_):
        raise DataError("no cairo")

    monkeypatch.setattr(stamps, "draw_svg", none)
    data = Stamps(source=source)
    assert len(table_of(data)) == 41 and data.path != whole
    assert "2 drawings (SVG) are left out: pip install 'mmbert[svg]'" in data.notes[-1]


def test_a_drawing_that_cannot_be_rendered_is_left_out_and_said(tmp_path, source):
    other = package(tmp_path / "b.deb", **{"space/cartoon/rocket2.svg": b"<svg>"})
    data = Stamps(source=other)
    assert "space/cartoon/rocket2.svg" not in table_of(data).index
    assert "1 drawings (SVG) that cannot be rendered are left out" in data.notes


def repeated(table, folder):
    """Splits by caption, by picture and sound file, and by stamp."""
    splits = defaultdict(set)
    for _, row in table.iterrows():
        for column in table.columns:
            if row[column] and column.startswith("caption_"):
                splits["caption", caption_key(row[column])].add(row["split"])
            elif row[column] and (column.startswith("speech_") or column in ("image", "sound")):
                splits["file", (folder / row[column]).read_bytes()].add(row["split"])
        splits["stamp", row["stamp"]].add(row["split"])
    return splits


def test_no_caption_picture_or_sound_is_in_two_splits(source):
    for seed in range(3):
        data = Stamps(source=source, split_seed=seed)
        table = table_of(data)
        assert all(len(found) == 1 for found in repeated(table, data.path.parent).values())
        same = [
            ("bird4", "bird5"),
            ("bird6", "bird7"),
            ("bird0", "bird1"),
            ("bird8", "bird9"),
        ]  # noise, picture, Finnish
        for one, other in same:
            assert table["repeats"][f"animals/birds/{one}.png"] == table["repeats"][f"animals/birds/{other}.png"]


def test_the_check_of_splits_sees_a_caption_in_two(source):
    data = Stamps(source=source)
    table = table_of(data)
    table.loc["space/cartoon/rocket2.svg", "split"] = "elsewhere"
    assert sum(len(found) > 1 for found in repeated(table, data.path.parent).values()) >= 1


def test_languages_choose_columns_of_the_same_table(source):
    finnish = Stamps(source=source, caption="fi", speech=None)
    assert finnish.path == Stamps(source=source).path
    assert finnish.column_of("text") == "caption_fi" and finnish.column_of("audio") == "audio"
    assert Stamps(source=source, columns={"audio": "sound"}).column_of("audio") == "sound"
    assert Stamps(source=source).column_of("audio") == "speech_fr"
    with pytest.raises(ConfigError, match=r"data.caption=fin: no stamp has it. Did you mean 'fi'\? Choices: .*fr"):
        Stamps(source=source, caption="fin")
    with pytest.raises(ConfigError, match=r"data.speech=de: no stamp has it. .*Choices: fr, en"):
        Stamps(source=source, speech="de")


def test_small_kinds_are_one_class_of_the_common_kinds(source, monkeypatch):
    monkeypatch.setattr(stamps, "LEAST_OF_A_KIND", 4)
    table = table_of(Stamps(source=source))
    train = table[table["split"] == "train"]
    assert {kind: (train["kind_common"] == kind).sum() >= 4 for kind in set(table["kind_common"]) - {"other"}} == {
        "animals/birds": True
    }
    assert set(table[table["topic"] == "space"]["kind_common"]) == {"other"}


def test_a_line_that_is_no_caption_is_named(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("A calculator.  6x7=42\nfr.utf8=Une calculatrice. 6x7=42\n", "utf-8")
    assert captions_of(path) == {"en": "A calculator.  6x7=42", "fr": "Une calculatrice. 6x7=42"}
    path.write_text("A frog.\nUne grenouille.\n", "utf-8")
    with pytest.raises(DataError, match=r"a.txt, line 2: 'LANGUAGE.utf8=CAPTION' is wanted, not 'Une grenouille.'"):
        captions_of(path)


def test_abbreviations_of_plain_text_are_written_out_and_no_others(tmp_path):
    (tmp_path / "a.svg").write_bytes(ENTITIES)
    (tmp_path / "b.svg").write_bytes(SVG)
    assert rendered(tmp_path / "a.svg") == rendered(tmp_path / "b.svg") is not None
    assert without_entities(SVG) == SVG
    growing = ENTITIES.replace(b"]>", b'<!ENTITY many "&ns_svg;&ns_svg;">]>')
    assert without_entities(growing) == growing
    (tmp_path / "a.svg").write_bytes(growing)
    assert rendered(tmp_path / "a.svg") is None


@pytest.mark.slow
def test_the_real_package_has_the_counts_that_the_docs_state(tmp_path):
    source = real_sources("tuxpaint-stamps-default_*.deb")
    data = Stamps(source=next(source.glob("tuxpaint-stamps-default_*.deb")), folder=tmp_path)
    table = table_of(data)
    counts = json.loads((data.path.parent / "card.json").read_text())["counts"]
    assert len(table) == 1033 and table["topic"].nunique() == 16 and table["kind"].nunique() == 125
    assert counts["filled"]["caption_en"] == 1033
    assert sum(column.startswith("caption_") for column in table.columns) == 78
    assert all(len(found) == 1 for found in repeated(table, data.path.parent).values())
