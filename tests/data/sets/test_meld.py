"""MELD with clips: what ffmpeg gives becomes sound and picture; missing and damaged clips leave the text alone."""

import io
import os
import stat
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.sets.meld import Meld, with_true_length
from prepared_sets import built

HEAD = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"

#: Stands in for ffmpeg: a clip holds its length in samples; a WAV to a pipe lacks its sizes, as ffmpeg's does.
FFMPEG = """#!{python}
import io, sys
from pathlib import Path
arguments = sys.argv[1:]
clip = Path(arguments[arguments.index("-i") + 1]).read_text()
if not clip.isdigit():
    sys.exit(1)
if "wav" in arguments:
    size = (0xFFFFFFFF).to_bytes(4, "little")
    head = b"RIFF" + size + b"WAVEfmt " + bytes([16, 0, 0, 0, 1, 0, 1, 0]) + (16000).to_bytes(4, "little")
    head += (32000).to_bytes(4, "little") + bytes([2, 0, 16, 0]) + b"data" + size
    sys.stdout.buffer.write(head + bytes(2 * int(clip)))
else:
    from PIL import Image
    second = float(arguments[arguments.index("-ss") + 1])
    content = io.BytesIO()
    Image.new("L", (2, 2), round(second * 100)).save(content, "PNG")
    sys.stdout.buffer.write(content.getvalue())
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    raw = tmp_path / "raw"
    for split, part in (
        ("train_splits", "train"),
        ("dev_splits_complete", "dev"),
        ("output_repeated_splits_test", "test"),
    ):
        (raw / split).mkdir(parents=True)
        rows = [f'1,Hi,Ann,joy,positive,0,{n},1,1,"00:00:01,0","00:00:02,0"' for n in range(2)]
        (raw / f"{part}_sent_emo.csv").write_text(HEAD + "\n".join(rows) + "\n")
        (raw / split / "dia0_utt0.mp4").write_text("32000")
    (raw / "train_splits" / "dia0_utt1.mp4").write_text("damaged")
    (raw / "output_repeated_splits_test" / "final_videos_testdia0_utt1.mp4").write_text("8000")
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(FFMPEG.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return raw


def test_clips_give_sound_and_the_picture_in_the_middle(folder, tmp_path):
    data, rows = built(Meld, folder, tmp_path / "home")
    assert [(row["split"], bool(row["audio"]), bool(row["image"])) for row in rows] == [
        ("train", True, True),
        ("train", False, False),
        ("val", True, True),
        ("val", False, False),
        ("test", True, True),
        ("test", False, False),
    ]
    sound, rate = soundfile.read(data.path.parent / rows[0]["audio"])
    assert len(sound) == 32000 and rate == 16000
    assert (
        Image.open(data.path.parent / rows[0]["image"]).getpixel((0, 0)) == 100
    )  # of two seconds the first ends there
    assert any("3 clips are missing or damaged: train/dia0_utt1, val/dia0_utt1" in note for note in data.notes)
    assert rows[0]["emotion"] == "joy"


def test_without_ffmpeg_it_is_said_how_to_get_it(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="apt install ffmpeg"):
        built(Meld, folder, tmp_path / "home")


def test_a_wav_file_with_sizes_is_left_as_it_is():
    content = io.BytesIO()
    soundfile.write(content, np.zeros(100), 16000, subtype="PCM_16", format="WAV")
    assert with_true_length(content.getvalue()) == content.getvalue()
    assert with_true_length(b"none") == b"none"
