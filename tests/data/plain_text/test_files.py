"""Files, folders, patterns and lists; what is no UTF-8 is named with file and line."""

import gzip

import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.plain_text.files import text_files, text_lines


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("b.txt", "a.md", "deep/c.TXT", "no.csv"):
        (tmp_path / name).write_text(f"of {name}\n")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"packed\r\nlines"))
    return tmp_path


def test_a_folder_a_pattern_a_file_and_a_list_of_them(folder):
    names = ["a.md", "b.txt", "d.txt.gz", "deep/c.TXT"]
    assert [str(path.relative_to(folder)) for path in text_files(folder)] == names
    assert text_files(str(folder / "*.txt")) == [folder / "b.txt"]
    assert text_files(folder / "no.csv") == [folder / "no.csv"]  # whoever names a file means it
    assert text_files([str(folder / "b.txt"), str(folder)]) == [folder / name for name in ("b.txt", "a.md", *names[2:])]


def test_what_is_not_there_is_named(folder):
    with pytest.raises(DataError, match=r"c.txt: there is no such file or folder. Did you mean 'b.txt'"):
        text_files(folder / "c.txt")
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty has no text file \(.txt, .md"):
        text_files(folder / "empty")
    for nothing in ("", [], "."):
        with pytest.raises(ConfigError, match="data.path is empty"):
            text_files(nothing)


def test_lines_lose_their_ends_and_the_mark_of_utf8(folder):
    path = folder / "b.txt"
    path.write_bytes("\ufeffeins\r\n\nzwei\u2028drei\n日本".encode())
    assert list(text_lines(path)) == [(1, "eins"), (2, ""), (3, "zwei\u2028drei"), (4, "日本")]
    assert list(text_lines(folder / "d.txt.gz")) == [(1, "packed"), (2, "lines")]


def test_other_encodings_are_an_error_with_file_and_line(folder):
    path = folder / "b.txt"
    path.write_bytes("gut\nschön\n".encode("latin1"))
    with pytest.raises(DataError, match=r"b.txt, line 2: the text is not UTF-8 \(byte 0xF6 at place 4 of the line\)"):
        list(text_lines(path))
    path.write_bytes("eins\n".encode("utf-16"))
    with pytest.raises(DataError, match=r"b.txt, line 1: the text is not UTF-8"):
        list(text_lines(path))
    (folder / "d.txt.gz").write_bytes(gzip.compress(b"packed\n" * 50)[:-9])
    with pytest.raises(DataError, match=r"d.txt.gz, after line \d+: the file cannot be read"):
        list(text_lines(folder / "d.txt.gz"))
