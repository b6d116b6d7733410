"""A set is a card and rows: found, unpacked, written once as an ordinary manifest, and used."""

import json
import os
import stat
from pathlib import Path

import pandas as pd
import pytest

from mmbert.core.errors import DataError
from mmbert.data.sets import sources
from mmbert.data.sets.base import DataCard, NewFile, PreparedData
from mmbert.data.sets.sources import sources_fingerprint
from mmbert.data.sets.table_files import SET_CARD
from raw_packages import debian_package, tar_bytes

COVERS = ("sources", "table_files")
RAW = {f"words-main/list/{i}.txt": f"word {i}".encode() for i in range(6)}


class Words(PreparedData):
    """Six words, each in a file."""

    card = DataCard("words", 3, "MIT", "https://example.org/words", ("list/*.txt",), ("words*.tar.gz|words-*.zip",))

    def __init__(self, upper=False, **options):
        self.upper = upper
        super().__init__(built_with={"upper": upper}, **options)

    def read_rows(self, raw):
        self.note("one word is short")
        for number, path in enumerate(sorted((raw / "list").glob("*.txt"))):
            text = path.read_text()
            row = {"text": text.upper() if self.upper else text, "kept": path, "same": path, "number": number}
            row |= {"split": ("train", "train", "val", "test")[number % 4]}
            yield row | ({"made": NewFile(f"made/{number}.bin", b"new")} if number % 2 else {"empty": None})


class Packaged(Words):
    """The same from Debian packages."""

    card = DataCard("packaged", 1, "MIT", "https://example.org", ("list/*.txt",), packages=("words-a", "words-b"))


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "words-1.tar.gz"
    path.write_bytes(tar_bytes(RAW))
    return path


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    monkeypatch.setenv("MMBERT_HOME", str(folder))
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))  # so that no test asks apt
    return folder


def unpacked_raw(folder):
    for name, content in RAW.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_the_table_is_what_rows_yields(archive, home):
    data = Words(source=archive)
    assert data.path.parent.parent == home
    table = pd.read_csv(data.path, keep_default_na=False)
    assert list(table.columns) == ["text", "kept", "same", "number", "split", "empty", "made"]
    assert list(table["text"]) == [f"word {i}" for i in range(6)]
    assert list(table["made"]) == ["", "files/made/1.bin", "", "files/made/3.bin", "", "files/made/5.bin"]
    for cell, same in zip(table["kept"], table["same"], strict=True):
        assert cell == same and (data.path.parent / cell).read_text().startswith("word")
    files = {path.relative_to(data.path.parent).as_posix() for path in data.path.parent.rglob("*") if path.is_file()}
    assert files == {*table["kept"], *table["made"], "manifest.csv", "card.json"} - {""}
    assert {split: len(data.table.column("text", rows)) for split, rows in data.rows.items()} == {
        "train": 4,
        "val": 1,
        "test": 1,
    }


def test_the_card_says_what_it_is_from_where_and_how_much(archive, home):
    card = json.loads((Words(source=archive).path.parent / SET_CARD).read_text())
    assert (card["name"], card["version"], card["licence"]) == ("words", 3, "MIT")
    assert card["options"] == {"upper": False}
    assert card["made_from"] == [{"name": "words-1.tar.gz", "bytes": archive.stat().st_size}]
    assert card["counts"]["splits"] == {"train": 4, "val": 1, "test": 1}
    assert card["counts"]["filled"] == {
        "text": 6,
        "kept": 6,
        "same": 6,
        "number": 6,
        "split": 6,
        "empty": 0,
        "made": 3,
    }


def test_what_was_left_out_is_said_at_every_start(archive, home, capsys):
    assert Words(source=archive).notes == ["one word is short"]
    assert "building the data set words from words-1.tar.gz (once; licence: MIT)" in capsys.readouterr().err
    assert Words(source=archive).notes == ["one word is short"]
    assert capsys.readouterr().err == ""


def test_options_sources_and_recipes_have_folders_of_their_own(archive, home, tmp_path):
    one = Words(source=archive)
    assert Words(source=archive).path == one.path
    assert Words(source=archive, upper=True).path != one.path
    other = tmp_path / "words-2.tar.gz"
    other.write_bytes(tar_bytes({**RAW, "words-main/list/0.txt": b"wird 0"}))
    assert Words(source=other).path != one.path
    assert [path.name[:9] for path in sorted(home.iterdir())] == ["words-v3-"] * 3


@pytest.mark.parametrize("copies", [True, False])
def test_a_folder_is_a_source_wherever_the_set_lies_in_it(home, tmp_path, copies):
    raw = unpacked_raw(tmp_path / "raw")
    for place in (raw, raw / "words-main"):
        data = Words(source=place, copy_files=copies)
        cells = pd.read_csv(data.path)["kept"]
        assert [(data.path.parent / cell).read_text() for cell in cells] == [f"word {i}" for i in range(6)]
        assert all(Path(cell).is_absolute() for cell in cells) == (not copies)
    assert len(list(raw.rglob("*.txt"))) == 6  # nothing was moved away


def test_it_is_found_in_the_home_as_archive_and_as_folder(archive, home):
    (home / "sources").mkdir(parents=True)
    archive.rename(home / "sources" / "words-9.tar.gz")
    first = Words().path
    (home / "sources" / "words-9.tar.gz").unlink()
    unpacked_raw(home / "sources" / "words")
    assert Words().path != first


def test_a_set_that_was_built_needs_its_source_no_more(archive, home):
    (home / "sources").mkdir(parents=True)
    source = home / "sources" / archive.name
    archive.rename(source)
    built = Words().path
    source.unlink()
    assert Words().path == built
    with pytest.raises(DataError, match="no data set words"):
        Words(upper=True)


def test_without_a_source_one_error_says_everything(home):
    with pytest.raises(DataError) as error:
        Words()
    for part in ("words*.tar.gz or words-*.zip", f"{home}/sources", "https://example.org/words", "MIT", "data.source="):
        assert part in str(error.value)
    assert not home.exists() or list(home.iterdir()) == []


def test_several_packages_become_one_tree(home, tmp_path):
    halves = [dict(list(RAW.items())[:3]), dict(list(RAW.items())[3:])]
    packages = [debian_package(tmp_path / f"words-{n}_1_all.deb", half) for n, half in zip("ab", halves, strict=True)]
    table = pd.read_csv(Packaged(source=packages).path)
    assert len(table) == 6
    assert Packaged(source=tmp_path).path == Packaged(source=[str(path) for path in packages]).path  # their folder


def test_packages_are_fetched_by_apt_once(home, tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    for n, half in (("a", dict(list(RAW.items())[:3])), ("b", dict(list(RAW.items())[3:]))):
        debian_package(programs / f"words-{n}_1_all.deb", half)
    apt = programs / "apt-get"
    apt.write_text(
        '#!/bin/sh\n[ "$1" = download ] || exit 1\n'
        f'echo "$2" >> {tmp_path}/asked\n/bin/cp {programs}/"$2"_1_all.deb .\n'
    )
    apt.chmod(apt.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(programs))
    assert len(pd.read_csv(Packaged().path)) == 6
    assert Packaged(upper=True).path != Packaged().path
    assert (tmp_path / "asked").read_text().split() == ["words-a", "words-b"]
    assert sorted(path.name for path in (home / "sources").iterdir()) == ["words-a_1_all.deb", "words-b_1_all.deb"]


def test_what_apt_says_is_passed_on(home, tmp_path, monkeypatch):
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\necho 'E: Unable to locate package words-a' >&2\nexit 100\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        DataError, match=r"apt-get download words-a' failed \(E: Unable to locate package.*data.source="
    ):
        Packaged()
    assert [path for path in (home / "sources").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({}, "nothing does not exist"),
        ({"nothing/readme": b"x"}, r"nothing is a folder without the files of words: list/\*.txt"),
        ({"nothing": b"x"}, r"nothing is neither a folder nor an archive \(.tar"),
    ],
)
def test_a_wrong_source_is_one_error(home, tmp_path, made, message):
    for name, content in made.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        Words(source=tmp_path / "nothing")


def test_an_archive_of_something_else_is_one_error_and_leaves_nothing(home, tmp_path):
    other = tmp_path / "words.tar.gz"
    other.write_bytes(tar_bytes({"photos/cat.png": b"x"}))
    with pytest.raises(DataError, match=r"words.tar.gz: an archive without the files of words"):
        Words(source=other)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "error", [KeyError("Utterance"), ValueError("bad"), UnicodeDecodeError("utf-8", b"x", 0, 1, "no")]
)
def test_files_that_read_otherwise_are_one_error(archive, home, monkeypatch, error):
    def read_rows(self, raw):
        yield {"text": "a"}
        raise error

    monkeypatch.setattr(Words, "read_rows", read_rows)
    with pytest.raises(DataError, match=r"words cannot be made from .*words-1.tar.gz: these are not the files"):
        Words(source=archive)
    assert list(home.iterdir()) == []


def test_a_row_without_its_file_and_a_set_without_rows_are_refused(archive, home, monkeypatch):
    monkeypatch.setattr(Words, "read_rows", lambda self, raw: iter([{"image": raw / "gone.png"}]))
    with pytest.raises(DataError, match=r"names the file gone.png, which is not in"):
        Words(source=archive)
    monkeypatch.setattr(Words, "read_rows", lambda self, raw: iter(()))
    with pytest.raises(DataError, match="words has no row"):
        Words(source=archive)


def test_a_full_disk_is_one_error(archive, home, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmbert.data.sets.base.write_set", full)
    with pytest.raises(DataError, match=r"words cannot be made .*No space left on device.*data.folder=DIR"):
        Words(source=archive)


def test_fingerprints_change_with_what_is_in_the_sources(tmp_path):
    raw = unpacked_raw(tmp_path / "raw")
    first = sources_fingerprint([raw])
    assert sources_fingerprint([raw]) == first
    path = raw / "words-main" / "list" / "0.txt"
    path.write_bytes(b"wird 0")
    os.utime(path, ns=(1, 1))
    assert sources_fingerprint([raw]) != first
    archives = []
    for number, content in enumerate((RAW, RAW, {**RAW, "words-main/list/3.txt": b"wird 3"})):
        archives.append(tmp_path / f"{number}.tar")
        archives[-1].write_bytes(tar_bytes(content, ""))
    one, same, other = (sources_fingerprint([path]) for path in archives)
    assert one == same != other


def test_a_large_folder_is_not_searched_for_ever(tmp_path, monkeypatch):
    for number in range(30):
        (tmp_path / f"{number:02}" / "list").mkdir(parents=True)
    (tmp_path / "29" / "list" / "a.txt").touch()
    assert sources.set_folder(Words.card, tmp_path) == tmp_path / "29"
    monkeypatch.setattr(sources, "MOST_FOLDERS", 20)
    assert sources.set_folder(Words.card, tmp_path) is None
