"""The demo set as files: an ordinary manifest whose every cell is what its parts say, the same for the same options."""

import contextlib
import csv
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.home import home
from mmbert.data import talking_digits
from mmbert.data.digits import build as builder
from mmbert.data.digits import sentences, speech
from mmbert.data.digits.build import LACKS, build_talking_digits
from mmbert.data.digits.options import TalkingDigitsOptions
from mmbert.data.digits.pictures import PictureDifficulty
from mmbert.data.digits.speech import SoundDifficulty
from mmbert.data.talking_digits import TalkingDigits, folder_name

SIZES = {"train": 48, "val": 16, "test": 17, "test_missing": 12}
TINY = TalkingDigitsOptions(**SIZES, train_voices=3, test_voices=2)  # what the fixture ``digits`` is built with


@pytest.fixture(scope="module")
def rows(digits):
    with digits.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files_of(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_splits_have_their_sizes_and_every_file_belongs_to_a_row(digits, rows):
    assert Counter(row["split"] for row in rows) == SIZES
    assert len({row["id"] for row in rows}) == len(rows)
    named = {row[column] for row in rows for column in ("image", "audio")} - {""}
    assert set(files_of(digits.parent)) == named | {"manifest.csv", "card.json"}


def test_labels_follow_from_the_two_numbers(rows):
    for row in rows:
        s, h = int(row["seen"]), int(row["heard"])
        low, high = sorted((s, h))
        answer = {
            "add": s + h,
            "subtract": s - h,
            "subtract_from": h - s,
            "larger": high,
            "smaller": low,
            "distance": high - low,
        }[row["operation"]]
        assert 0 <= low <= high <= 12
        assert row["answer"] == str(answer)
        assert float(row["value"]) == answer
        names = set(row["properties"].split("|"))
        assert names <= {"even", "odd", "prime", "square", "above_nine", "negative"}
        assert ("odd" in names) == bool(answer & 1)
        assert ("negative" in names) == (answer < 0)
        assert ("above_nine" in names) == (answer > 9)
        assert row["statement"].removesuffix(" apart").endswith(sentences.number_in_words(answer))


def test_the_sentence_is_one_of_its_wording_and_its_marks_fit(rows):
    for row in rows:
        if not row["text"]:
            continue
        operation, index = row["wording"].split("/")
        assert operation == row["operation"]
        assert (int(index) >= 100) <= row["split"].startswith("test")
        marks = json.loads(row["tags"])
        assert len(marks["words"]) == len(marks["tags"])
        assert "".join(marks["words"]) == row["text"].replace(" ", "")
        if row["repeated"]:
            said = row["text"][int(row["span_start"]) : int(row["span_end"])]
            assert said == sentences.number_in_words(int(row[row["repeated"]]))
        else:
            assert row["span_start"] == row["span_end"] == ""
            assert "B-NUM" not in marks["tags"]


def test_rows_of_test_missing_lack_one_or_two_modalities_in_equal_shares(digits, rows):
    lacks = Counter()
    for row in rows:
        gone = tuple(name for name in ("text", "image", "audio") if not row[name])
        if row["split"] == "test_missing":
            lacks[gone] += 1
            assert (digits.parent / "images" / f"{row['id']}.png").exists() == ("image" not in gone)
            assert (digits.parent / "audio" / f"{row['id']}.wav").exists() == ("audio" not in gone)
            about = {"text": ("tags", "span_start", "wording", "repeated"), "audio": ("voice", "snr_db")}
            assert not any(row[column] for name in gone for column in about.get(name, ()))
        else:
            assert gone == ()
    assert set(lacks) == set(LACKS)
    assert set(lacks.values()) == {SIZES["test_missing"] // 6}
    assert {1, 2} == {len(gone) for gone in lacks}  # never all three


def test_unseen_voices_are_heard_in_the_test_splits_alone(rows):
    fresh = {voice.name for voice in speech.voices(2, True, 0)}
    heard = {"train": set(), "test": set()}
    for row in rows:
        if row["voice"]:
            heard["test" if row["split"].startswith("test") else "train"].add(row["voice"])
    assert not heard["train"] & fresh
    assert heard["test"] & fresh
    assert heard["test"] - fresh  # and known voices are heard there too


def test_the_declared_share_of_test_rows_is_unseen(monkeypatch, tmp_path):
    """In many rows, without writing them."""
    voices = {f"{who}-{n}": np.ones(800, np.float32) for who in range(5) for n in range(13)}
    names = ["a", "b", "c", "new", "newer"]
    scans = builder.pictures.scans_by_split(builder.SHARES, 0)
    monkeypatch.setattr(builder, "material", lambda folder, options: (scans, voices, names))
    monkeypatch.setattr(Image.Image, "save", lambda *_: None)
    monkeypatch.setattr(Path, "write_bytes", lambda *_: 0)
    made = builder.write_rows(tmp_path, TINY, "test", range(600))
    new_voice = [row["voice"].startswith("new") for row in made]
    new_wording = [int(row["wording"].split("/")[1]) >= 100 for row in made]
    for unseen in (new_voice, new_wording):
        assert np.mean(unseen) == pytest.approx(TINY.unseen_share, abs=0.08)
    # the two are drawn apart, so that their effects can be told apart
    assert abs(np.corrcoef(new_voice, new_wording)[0, 1]) < 0.15
    assert not any(row["voice"].startswith("new") for row in builder.write_rows(tmp_path, TINY, "val", range(100)))
    assert np.mean([row["repeated"] != "" for row in made]) == pytest.approx(TINY.repeat_share, abs=0.06)
    counts = Counter((row["seen"], row["heard"]) for row in made)
    assert len(counts) > 150  # of 169 pairs: every number goes with every other


def test_pictures_and_sounds_are_of_the_stated_format(digits, rows):
    for row in rows:
        if row["image"]:
            with Image.open(digits.parent / row["image"]) as picture:
                assert (picture.size, picture.mode) == ((56, 40), "L")
                assert np.ptp(np.asarray(picture)) > 40  # something is to be seen
        if row["audio"]:
            facts = soundfile.info(digits.parent / row["audio"])
            assert (facts.samplerate, facts.channels, facts.subtype) == (16000, 1, "PCM_16")
            assert 0.2 < facts.duration < 1.6
            sound, _ = soundfile.read(digits.parent / row["audio"])
            assert 0.25 < np.abs(sound).max() < 0.96
            assert np.sqrt(np.mean(sound**2)) > 0.01
            assert SoundDifficulty().snr_low_db <= float(row["snr_db"]) <= SoundDifficulty().snr_high_db


def test_the_card_says_what_it_is_and_from_where(digits):
    card = json.loads((digits.parent / "card.json").read_text())
    assert card["fingerprint"] == TINY.fingerprint()
    assert card["options"]["picture"] == vars(PictureDifficulty())
    assert card["options"]["seed"] == 0
    assert "CC BY 4.0" in card["sources"]["image"]
    assert "GPL-3.0" in card["sources"]["audio"]
    assert {"espeakng-loader", "scikit-learn"} <= set(card["made_with"])


def test_the_same_options_give_the_same_bytes(digits, tmp_path, monkeypatch):
    """In another folder, by one process where the first set was made by all cores."""
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    again = build_talking_digits(tmp_path / "again", TINY)
    assert files_of(again.parent) == files_of(digits.parent)


def test_scripts_without_a_guard_and_without_a_file_can_build(tmp_path):
    """Each process that builds would otherwise run the script again."""
    script = (
        "print('running')\n"
        "from pathlib import Path\n"
        "from mmbert.data.digits.build import build_talking_digits\n"
        "from mmbert.data.digits.options import TalkingDigitsOptions\n"
        f"folder = Path({str(tmp_path / 'set')!r})\n"
        "print(build_talking_digits(folder, TalkingDigitsOptions(1, 2, 1, 1, 6, train_voices=1, test_voices=1)))\n"
        "import sys; print(sys.modules['__main__'].__file__)\n"
    )
    ran = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["running", str(tmp_path / "set" / "manifest.csv"), "<stdin>"]
    assert ran.stderr.count("\n") == 1  # one plain line, for it is no terminal
    assert "building the demo set talking_digits" in ran.stderr


def test_a_build_that_dies_leaves_nothing_that_looks_whole(tmp_path, monkeypatch):
    folder = tmp_path / "set"

    def dies(scratch, options):
        (scratch / "manifest.csv").write_text("id,split\n")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(builder, "write_all", dies)
        with pytest.raises(KeyboardInterrupt):
            build_talking_digits(folder, TINY)
    assert list(tmp_path.iterdir()) == []
    # killed without a word, its scratch folder stays; it is never taken for the set
    left = tmp_path / ".set-abc"
    left.mkdir()
    (left / "manifest.csv").write_text("id,split\n")
    called = []
    with monkeypatch.context() as patch:
        patch.setattr(builder, "write_all", lambda scratch, options: called.append((scratch / "manifest.csv").touch()))
        assert build_talking_digits(folder, TINY) == folder / "manifest.csv"
        assert len(called) == 1
        assert build_talking_digits(folder, TINY) == folder / "manifest.csv"
        assert len(called) == 1  # a whole one is not built again


def test_two_at_once_agree_on_the_quicker_one(tmp_path, monkeypatch):
    folder, building = tmp_path / "set", threading.Barrier(2)

    def first(scratch, options):
        with contextlib.suppress(threading.BrokenBarrierError):
            building.wait(0.2)  # the other one does not get here
        (scratch / "manifest.csv").write_text(str(threading.get_ident()))

    monkeypatch.setattr(builder, "write_all", first)
    with ThreadPoolExecutor(2) as pool:
        tables = list(pool.map(lambda _: build_talking_digits(folder, TINY).read_text(), range(2)))
    assert tables[0] == tables[1] and building.broken
    assert list(tmp_path.iterdir()) == [folder]


def test_what_is_in_the_way_is_named(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    with pytest.raises(
        DataError, match=r"photos is there but has no manifest.csv. Delete it, or name .* data.folder=DIR"
    ):
        build_talking_digits(tmp_path / "photos", TINY)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written to .*file/set \(.+\).*about 200 MB.*MMBERT_HOME"):
        build_talking_digits(tmp_path / "file" / "set", TINY)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": 0}, "data.sizes.train=0: it must be at least 1"),
        ({"unseen_share": 1.5}, "data.unseen_share=1.5: it must be from 0 to 1"),
        ({"picture": PictureDifficulty(occlusion=-0.1)}, "data.picture.occlusion=-0.1: it must be from 0 to 1"),
        ({"picture": PictureDifficulty(noise=float("nan"))}, "data.picture.noise=nan: it must be at least 0"),
        ({"sound": SoundDifficulty(snr_low_db=25.0)}, "data.sound.snr_low_db=25.0 lies above data.sound.snr_high_db"),
    ],
)
def test_options_out_of_range_are_refused_by_name(changed, message):
    with pytest.raises(ConfigError, match=message):
        TalkingDigitsOptions(**changed)


def test_every_option_has_a_folder_of_its_own():
    base = TalkingDigitsOptions()
    names = {folder_name(base)}
    for changed in (
        {"seed": 1},
        {"train": 5999},
        {"test_voices": 19},
        {"repeat_share": 0.3},
        {"picture": PictureDifficulty(noise=0.2)},
        {"sound": SoundDifficulty(snr_low_db=-9.0)},
    ):
        names.add(folder_name(TalkingDigitsOptions(**changed)))
    assert len(names) == 7
    assert folder_name(TalkingDigitsOptions()) == folder_name(base)
    assert all(name.startswith("talking_digits-v1-") for name in names)


def test_where_it_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MMBERT_HOME", str(tmp_path / "ours"))
    assert home() == tmp_path / "ours"
    assert home(tmp_path / "named") == tmp_path / "named"
    assert home("~/named") == tmp_path / "named"
    monkeypatch.delenv("MMBERT_HOME")
    assert home() == tmp_path / ".cache" / "mmbert"


def test_the_datamodule_builds_it_on_first_use_and_reads_it(tmp_path, monkeypatch, digits):
    seen = []

    def instead(folder, options):
        seen.append((folder, options))
        return digits

    monkeypatch.setattr(talking_digits, "build_talking_digits", instead)
    data = TalkingDigits(tmp_path, 4, {"train": 48}, {"noise": 0.2}, {"snr_low_db": -1.0}, batch_size=7)
    expected = TalkingDigitsOptions(4, 48, picture=PictureDifficulty(noise=0.2), sound=SoundDifficulty(snr_low_db=-1.0))
    assert seen == [(tmp_path / folder_name(expected), expected)]
    assert data.path == digits
    assert data.batch_size == 7
    assert sum(cell is None for cell in data.cells("image", "test")) == 0


def test_its_yaml_is_its_defaults():
    from hydra import compose, initialize_config_module

    with initialize_config_module("mmbert.conf", version_base="1.3"):
        config = compose("train", overrides=["data=talking_digits"]).data
    options = TalkingDigitsOptions()
    assert config.build_seed == options.seed
    assert dict(config.sizes) == options.sizes
    assert dict(config.picture) == vars(options.picture)
    assert dict(config.sound) == vars(options.sound)
    assert (config.repeat_share, config.unseen_share) == (options.repeat_share, options.unseen_share)


def test_the_command_says_where_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(talking_digits, "build_talking_digits", lambda folder, options: folder / f"seed {options.seed}")
    talking_digits.main(["--folder", str(tmp_path), "--seed", "3"])
    assert capsys.readouterr().out.strip() == str(tmp_path / folder_name(TalkingDigitsOptions(3)) / "seed 3")
