"""Bad input, 3 of 4: pictures, sounds and features. The message names row, column, file and what to do."""

import csv
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmbert.store import content_keys

SAMPLES = 8


def noise(size):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8))


def corrupt_png(path):
    """Its header is whole, its pixels are none."""
    chunks = (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)), (b"IDAT", b"no zlib stream"), (b"IEND", b"")
    packed = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def truncated_png(path):
    noise(64).save(path)
    path.write_bytes(path.read_bytes()[:3_000])


def huge_png(path):
    """20,000 x 20,000 white or black pixels in 50 kB."""
    squeeze = zlib.compressobj(1)
    packed = b"".join(squeeze.compress(bytes(2_501)) for _ in range(20_000)) + squeeze.flush()
    chunks = (b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)), (b"IDAT", packed), (b"IEND", b"")
    parts = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def truncated_flac(path):
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 8_000), 8_000, format="FLAC")
    path.write_bytes(path.read_bytes()[:40])


def wav(*samples):
    return lambda path: soundfile.write(path, np.array(samples, np.float32), 8_000, subtype="FLOAT")


def array(shape, value=1.0):
    return lambda path: np.save(path, np.full(shape, value, np.float32))


def content(data):
    return lambda path: path.write_bytes(data)


def sensor(*rows):
    """A file of these rows."""
    return "\n".join(["time,x,y", *rows, ""]).encode()


def folder(path):
    path.mkdir()


#: Each modality's encoder, and a good file of it.
KINDS = {
    "image": (["text=none", "image=tiny"], "png", lambda path: noise(8).save(path)),
    "audio": (["text=none", "audio=tiny"], "wav", wav(*np.linspace(-0.5, 0.5, 4_000))),
    "wrist": (["text=none", "+series@encoders.wrist=patches"], "csv", content(sensor("0,1,2", "1,2,3"))),
    "face": (["text=none", "+features@encoders.face=sequence"], "npy", array((3, 4))),
}


@pytest.fixture
def with_file(here):
    """``with_file("image", make)``: a table of one modality, whose last row of train has the file that ``make`` makes.

    Returns:
        The words of a run on it.
    """

    def go(kind, make):
        words, ending, good = KINDS[kind]
        good(here / f"good.{ending}")
        make(here / f"bad.{ending}")
        names = [f"{'bad' if i == SAMPLES - 1 else 'good'}.{ending}" for i in range(SAMPLES)]
        rows = [(name, "ab"[i % 2], "train") for i, name in enumerate(names)]
        rows += [(f"good.{ending}", label, split) for split in ("val", "test") for label in "ab"]
        with (here / "my.csv").open("w", newline="") as file:
            csv.writer(file).writerows([(kind, "label", "split"), *rows])
        return words

    return go


REMEDY = "Replace the file, or leave its cell empty: a missing modality is ordinary."
FILES = [
    # pictures
    ("corrupt picture", "image", corrupt_png, "this is no picture that can be read (", REMEDY),
    ("truncated picture", "image", truncated_png, "this is no picture that can be read (", REMEDY),
    ("text as a picture", "image", content(b"<html>404</html>"), "this is no picture that can be read (", REMEDY),
    ("empty picture", "image", content(b""), "bad.png is empty (0 bytes)", "data.on_error=skip leaves such rows out"),
    ("20,000 x 20,000", "image", huge_png, "the picture has more than 178,956,970 pixels", "scale it down"),
    ("folder as a picture", "image", folder, "bad.png is no file", "Paths are relative to the table"),
    ("no picture", "image", lambda path: None, "there is no file", "Paths are relative to the table"),
    # sounds
    ("corrupt sound", "audio", content(b"RIFF\x00\x00\x00\x00WAVEjunk"), "this is no sound that can be read (", REMEDY),
    ("truncated sound", "audio", truncated_flac, "this is no sound that can be read (", REMEDY),
    ("empty wav", "audio", content(b""), "bad.wav is empty (0 bytes)", "data.on_error=skip leaves such rows out"),
    ("no samples", "audio", wav(), "the sound cannot be used: it has no samples: its length is zero", REMEDY),
    ("NaN samples", "audio", wav(0.1, np.nan), "it has samples that are not finite numbers", REMEDY),
    # series
    (
        "times run back",
        "wrist",
        content(sensor("0,1,2", "2,1,2", "1,1,2")),
        "its times run back, from 2 s in row 2",
        REMEDY,
    ),
    (
        "times repeat",
        "wrist",
        content(sensor("0,1,2", "0,1,2")),
        "its times repeat: 0 s in row 1, 0 s in row 2",
        REMEDY,
    ),
    ("words in a channel", "wrist", content(sensor("0,1,2", "1,oops,2")), "'oops' in row 2 of its column 'x'", REMEDY),
    ("another channel", "wrist", content(b"time,x,z\n0,1,2\n1,1,2\n"), "'y' is in one of them only", "channels=["),
    ("no channel", "wrist", content(b"time,who\n0,a\n1,b\n"), "no column of numbers beside the times 'time'", REMEDY),
    ("a cut row", "wrist", content(sensor("0,1,2", "1,1")), "a row has 2 cells where the first line names 3", REMEDY),
    ("one row", "wrist", content(sensor("0,1,2")), "it has one row only, where a series has two at least", REMEDY),
    ("no rows", "wrist", content(sensor()), "it has no rows", REMEDY),
    ("empty series", "wrist", content(b""), "the file is empty (0 bytes)", REMEDY),
    ("a picture as a series", "wrist", lambda path: noise(8).save(path, "png"), "it is neither CSV or TSV", REMEDY),
    # features
    ("NaN features", "face", array((3, 4), np.nan), "values that are not finite numbers, the first in its row 1", ""),
    ("wrong width", "face", array((3, 5)), "its vectors have 5 numbers where 4 are needed", "the same width"),
    ("no vectors", "face", array((0, 4)), "it is empty, its shape is (0, 4)", ""),
    ("corrupt features", "face", content(b"\x93NUMPY"), "this is no file of features that can be read (", REMEDY),
]


@pytest.mark.parametrize(("kind", "make", "message", "remedy"), [c[1:] for c in FILES], ids=[c[0] for c in FILES])
def test_a_file_that_cannot_be_used(stopped, with_file, kind, make, message, remedy):
    said = stopped(*with_file(kind, make))
    assert f"my.csv, row {SAMPLES} (line {SAMPLES + 1}), column '{kind}': " in said
    assert message in said and remedy in said


def test_such_a_file_ends_the_command_as_other_mistakes_do(refused, with_file):
    assert "column 'image': " in refused(*with_file("image", truncated_png))


def test_a_fault_met_in_a_loader_worker_reads_the_same(stopped, with_file):
    said = stopped(*with_file("audio", wav()), "data.num_workers=1")
    assert said.startswith("my.csv, row 8 (line 9), column 'audio': ") and "Traceback" not in said


def test_a_picture_of_one_pixel_is_used(passed, with_file):
    assert (passed(*with_file("image", lambda path: noise(1).save(path))) / "metrics.json").exists()


def test_a_sound_of_one_sample_is_used(passed, with_file):
    assert (passed(*with_file("audio", wav(0.5))) / "metrics.json").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_may_not_be_read(stopped, with_file, here, monkeypatch, kind):
    """As root, to whom no file is closed; ``tests/data/modalities/test_read.py`` has the files' own permissions."""
    words = with_file(kind, KINDS[kind][2])

    def unless_bad(function):
        def opened(path, *args, **options):
            if "bad." in str(path):
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *args, **options)

        return opened

    for owner, name in ((Image, "open"), (soundfile, "SoundFile"), (np, "load"), (Path, "open")):
        monkeypatch.setattr(owner, name, unless_bad(getattr(owner, name)))
    monkeypatch.setattr(content_keys, "open", unless_bad(open), raising=False)
    said = stopped(*words)
    assert f"column '{kind}': " in said and "this user may not read it (permission denied)" in said
