"""Subtitles: both formats, what is said in a part of a recording, and files that hold none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbert.core.errors import DataError
from mmbert.data.modalities.base import WHOLE_INPUT, TimeSpan
from mmbert.data.modalities.subtitles import Cue, is_subtitle_name, read_subtitles, text_between
from mmbert.data.modalities.text import MODALITY as TEXT

SRT = (
    "\ufeff1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Good</i> morning.\r\n\r\n"
    "2\r\n00:00:03,000 --> 00:00:05,000 X1:10\r\n{\\an8}Where were you?\r\n- At home.\r\n\r\n\r\n"
    "3\r\n00:00:06,000 --> 00:00:06,500\r\n \r\n"
)
VTT = (
    "WEBVTT - a title\n\nNOTE nothing here\nat all\n\nSTYLE\n::cue { color: red }\n\n"
    "first\n00:01.000 --> 00:02.500 align:start\n"
    "<v Anna>Good morning.\n\n1:00:03.000 --> 1:00:05.000\nTom &amp; Anna"
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.srt").write_bytes(SRT.encode())
    (tmp_path / "a.vtt").write_text(VTT)
    return tmp_path


def test_both_formats(folder):
    assert read_subtitles(folder / "a.srt") == [
        Cue(1.0, 2.5, "Good morning."),
        Cue(3.0, 5.0, "Where were you? - At home."),
    ]
    assert read_subtitles(folder / "a.vtt") == [Cue(1.0, 2.5, "Good morning."), Cue(3603.0, 3605.0, "Tom & Anna")]
    assert is_subtitle_name("B.SRT") and not is_subtitle_name("b.txt")


@given(cuts=st.lists(st.floats(0.01, 8), min_size=1, max_size=5, unique=True).map(sorted))
def test_parts_that_follow_on_one_another_share_no_line_and_lose_none(cuts, tmp_path_factory):
    path = tmp_path_factory.mktemp("s") / "a.srt"
    path.write_bytes(SRT.encode())
    edges = [0.0, *cuts]
    said = []
    for start, end in zip(edges, [*cuts, None], strict=True):
        try:
            said.append(text_between(path, TimeSpan(start, end)))
        except DataError as error:
            assert "no subtitles from" in str(error)
    assert " ".join(said) == "Good morning. Where were you? - At home."


def test_a_part_of_a_cell_is_what_is_said_in_it(folder):
    part = {"path": "a.srt", "start": 2.9, "end": 9.0}
    assert TEXT.read(part, folder) == "Where were you? - At home."
    assert TEXT.content(part, folder) == b"Where were you? - At home."
    assert TEXT.length(part, folder) == len("Where were you? - At home.")
    assert TEXT.inspect(part, folder, {}).quantities["words"] == 6
    assert TEXT.read({"path": "a.srt", "start": None, "end": None}, folder).startswith("Good morning. Where")
    assert TEXT.read("a.srt", folder) == "a.srt"  # without times a text like any other


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no subtitles", "no subtitles are in it"),
        ("1\n00:00:01,000 --> 00:00:02,000\nGr\u00fc\u00dfe".encode("latin-1"), "no text in UTF-8: save them anew"),
        (b"1\n00:00:03,000 --> 00:00:02,000\nback", "'00:00:03,000 --> 00:00:02,000' ends before it begins"),
    ],
)
def test_what_cannot_be_used(tmp_path, content, message):
    (tmp_path / "a.srt").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.srt: .*{message}"):
        text_between(tmp_path / "a.srt", WHOLE_INPUT)
    with pytest.raises(DataError, match=r"b\.srt: the subtitles cannot be read \(No such file"):
        read_subtitles(tmp_path / "b.srt")
