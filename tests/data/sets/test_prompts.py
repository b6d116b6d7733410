"""Asterisk's prompts: words without remarks, French by file name, no words in two splits."""

import gzip

import pandas as pd
import pytest

from mmbert.core.errors import DataError
from mmbert.data.sets.prompts import Prompts, said_words, transcripts, without_remarks
from raw_packages import debian_package, real_sources, sound

LINES = """; Core Asterisk Sounds in English

activated: Activated.
beep: [this is a simple beep tone]
conf-placed: You will now be placed...
conf-now: you will now be placed
letters/at: at [@]
silence/1: (1 second of silence)
vm-leave:  Press 5 to leave a message
demo-instruct: dial 500.
gone: Not recorded.
"""
NAMES = ["activated", "beep", "conf-placed", "conf-now", "letters/at", "silence/1", "vm-leave", "demo-instruct"]
SOUNDS, DOC = "usr/share/asterisk/sounds", "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"


def packages(folder, lines=LINES, names=NAMES):
    wav = {name: sound(number) for number, name in enumerate(names)}
    contents = {
        "en": {DOC: gzip.compress(lines.encode())},
        "en-wav": {f"{SOUNDS}/en_US_f_Allison/{name}.wav": content for name, content in wav.items()},
        "fr-wav": {
            f"{SOUNDS}/fr_CA_f_June/{name}.wav": content[::-1] for name, content in wav.items() if name != "vm-leave"
        },
    }
    for part, files in contents.items():
        debian_package(folder / f"asterisk-core-sounds-{part}_1.6.1-1_all.deb", files)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBERT_HOME", str(tmp_path / "home"))


def table_of(data):
    return pd.read_csv(data.path, keep_default_na=False).set_index("id")


def test_words_are_those_that_are_said(tmp_path):
    data = Prompts(source=packages(tmp_path))
    table = table_of(data)
    assert sorted(table.index) == ["activated", "conf-now", "conf-placed", "demo-instruct", "letters/at", "vm-leave"]
    assert table["text"]["letters/at"] == "at"
    assert table["transcript"]["vm-leave"] == "press five to leave a message"
    assert (table["text"]["demo-instruct"], table["transcript"]["demo-instruct"]) == ("dial 500.", "")
    assert data.notes == [
        "2 beeps, tones and silences are left out; data.with_sounds=true keeps them",
        "1 prompts have no French recording",
    ]


def test_the_french_recording_has_the_same_name(tmp_path):
    data = Prompts(source=packages(tmp_path))
    table = table_of(data)
    assert table["audio_fr"]["vm-leave"] == ""
    for name in ("activated", "letters/at"):
        english, french = (data.path.parent / table[column][name] for column in ("audio", "audio_fr"))
        assert french.read_bytes() == english.read_bytes()[::-1]
        assert "fr_CA" in str(french) and "en_US" in str(english)


def test_the_same_words_are_in_one_split_however_they_are_written(tmp_path):
    table = table_of(Prompts(source=packages(tmp_path)))
    assert table["repeats"]["conf-placed"] == table["repeats"]["conf-now"]
    for seed in range(3):
        splits = table_of(Prompts(source=tmp_path, split_seed=seed))["split"]
        assert splits["conf-placed"] == splits["conf-now"]


def test_beeps_come_with_an_option_without_words(tmp_path):
    table = table_of(Prompts(source=packages(tmp_path), with_sounds=True))
    assert len(table) == 8
    assert list(table["text"][["beep", "silence/1"]]) == ["", ""] == list(table["transcript"][["beep", "silence/1"]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Please enter *, or re-record it.", "please enter star or re record it"),
        ("press # to exit", "press pound to exit"),
        ("I'm sorry...", "i'm sorry"),
        ("visit www.asterisk.org.", "visit www dot asterisk dot org"),
        ("3D audio enabled", "three d audio enabled"),
        ("dial 28.8 now", ""),
        ("H.323", ""),
        ("M I S D N", "m i s d n"),
    ],
)
def test_words_are_spelled_as_they_are_spoken(text, words):
    assert said_words(text) == words


def test_remarks_are_no_words():
    assert without_remarks("[sound of monkeys screaming]") == without_remarks("<beep ascending>") == ""
    assert without_remarks('IAX (note: does not say "2")') == "IAX"
    assert without_remarks("space [ ]") == "space"


def test_a_line_that_is_no_transcript_is_named(tmp_path):
    with pytest.raises(DataError, match=r"core-sounds-en.txt.gz, line 4: 'NAME: WORDS' is wanted, not 'nonsense'"):
        Prompts(source=packages(tmp_path, LINES.replace("beep: [this is a simple beep tone]", "nonsense")))


def test_without_the_transcripts_the_package_that_lacks_is_named(tmp_path):
    packages(tmp_path)
    (tmp_path / "asterisk-core-sounds-en_1.6.1-1_all.deb").unlink()
    with pytest.raises(DataError, match=r"asterisk-core-sounds-en_\*.deb.*apt-get download asterisk-core-sounds-en "):
        Prompts(source=tmp_path)


@pytest.mark.slow
def test_the_real_packages_have_551_prompts_and_no_words_in_two_splits(tmp_path):
    source = real_sources("asterisk-core-sounds-en_*.deb", "asterisk-core-sounds-*-wav_*.deb")
    table = table_of(Prompts(source=sorted(source.glob("asterisk-core-sounds-*.deb")), folder=tmp_path))
    assert len(table) == 551 and (table["audio_fr"] != "").sum() == 542
    assert (
        table.groupby(table["transcript"].where(table["transcript"] != "", table["text"]))["split"].nunique() == 1
    ).all()
    assert set("".join(table["transcript"])) <= set("abcdefghijklmnopqrstuvwxyz' ")
    assert not table["text"].str.contains(r"[\[\]<>()]").any()


def test_a_table_of_transcripts_may_be_unpacked(tmp_path):
    path = tmp_path / DOC.removesuffix(".gz")
    path.parent.mkdir(parents=True)
    path.write_text(LINES)
    assert len(transcripts(tmp_path / "usr")) == 9
