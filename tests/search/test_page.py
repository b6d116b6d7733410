"""The page of a search: all matches in one file, nothing from elsewhere, and no cell is markup."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.text import TextEncoder
from mmbert.search.index import Match
from mmbert.search.items import Item, items_in
from mmbert.search.page import search_page

EVIL = 'a <script>alert("x")</script> & "dog"'


@pytest.fixture(scope="module")
def encoders():
    image = ImageEncoder("tiny", pretrained=False)
    return {"text": TextEncoder("tiny"), "image": image, "audio": MelspecCNN(8, [2], [2], num_mels=4)}


@pytest.fixture
def place(tmp_path):
    Image.fromarray(np.full((300, 400, 3), (200, 30, 30), np.uint8)).save(tmp_path / "red.png")
    soundfile.write(tmp_path / "bark.wav", np.zeros(1600), 16000)
    (tmp_path / "note.txt").write_text(EVIL)
    row = f'"{EVIL.replace(chr(34), chr(34) * 2)}",red.png,bark.wav'
    (tmp_path / "t.csv").write_text(f"caption,image,audio\n{row}\n")
    return tmp_path


def embedded(page, kind):
    return [base64.b64decode(one) for one in re.findall(rf'src="data:{kind};base64,([^"]+)"', page)]


def test_a_folder_is_shown_with_pictures_players_texts_and_scores(place, encoders):
    scores = {"red.png": 0.912, "bark.wav": 0.5, "note.txt": -0.25}
    items = [one for one in items_in(place, encoders, {}) if one.name in scores]
    matches = [Match(one, scores[one.name]) for one in sorted(items, key=lambda one: -scores[one.name])]
    page = search_page(("text", EVIL), matches, place, encoders, {}, "3 of 3 items")
    assert [float(score) for score in re.findall(r"<b>(-?[0-9.]+)</b>", page)] == [0.912, 0.5, -0.25]
    assert re.findall(r"width:([0-9.]+)%", page) == ["91.2", "50.0", "0.0"]
    (picture,) = embedded(page, "image/jpeg")
    shown = Image.open(io.BytesIO(picture))
    assert shown.size == (192, 144) and abs(np.asarray(shown).astype(int) - (200, 30, 30)).max() < 6
    (sound,) = embedded(page, "audio/wav")
    assert soundfile.info(io.BytesIO(sound)).frames == 1600
    assert "<script" not in page and page.count("&lt;script&gt;") == 3  # title, query and note
    assert not re.search(r"(src|href)=\"(?!data:)", page)


def test_a_row_of_a_table_is_shown_with_its_other_cells(place, encoders):
    matches = [Match(Item("image", "red.png", "", 0), 0.7)]
    page = search_page(
        ("audio", str(place / "bark.wav")), matches, place / "t.csv", encoders, {"text": "caption"}, "exact"
    )
    assert page.count("<li>") == 1 and "red.png, row 1" in page and "&lt;script&gt;" in page
    assert len(embedded(page, "audio/wav")) == 2 and len(embedded(page, "image/jpeg")) == 1


def test_what_has_gone_meanwhile_is_said_on_its_card(place, encoders):
    matches = [Match(Item("image", "gone.png", ""), 0.7), Match(Item("text", "gone<i>.txt", ""), 0.6)]
    page = search_page(("text", "x"), matches, place, encoders, {}, "")
    assert page.count("<li>") == 2 and "gone.png" in page and "gone&lt;i&gt;.txt is no text" in page
    assert "<i>" not in page
