"""A file that cannot be used is named, with why and with what to do about it."""

import contextlib
import importlib
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmbert.core.errors import DataError
from mmbert.data.modalities.audio import MODALITY as AUDIO
from mmbert.data.modalities.errors import REMEDY, unusable_file, why_unusable
from mmbert.data.modalities.feature_files import read_arrays
from mmbert.data.modalities.image import MODALITY as IMAGE
from mmbert.data.tables.table import Table

read_image, read_audio = IMAGE.read_file, AUDIO.read_file


@pytest.mark.parametrize("read", [read_image, read_audio])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "a.bin: there is no such file"),
        (b"", r"a.bin: the file is empty \(0 bytes\)"),
        (b"plain text, and nothing else", r"a.bin: this is no (picture|sound) that can be read \("),
        ("folder", "a.bin: this is a folder, not a file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_to_do(read, content, message, tmp_path):
    path = tmp_path / "a.bin"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message + r".*Replace the file, or leave its cell empty"):
        read(path)


@pytest.fixture
def stranger(tmp_path_factory):
    """A folder, and a context in which this process has the rights of nobody: root may read everything."""
    if os.geteuid() != 0:
        yield tmp_path_factory.mktemp("mine"), contextlib.nullcontext
        return

    @contextlib.contextmanager
    def nobody():
        os.seteuid(65_534)
        try:
            yield
        finally:
            os.seteuid(0)

    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        os.chmod(folder, 0o755)
        yield Path(folder), nobody


@pytest.mark.parametrize("closed", ["file", "folder"])
@pytest.mark.parametrize("read", [read_image, read_audio, read_arrays, Table])
def test_what_this_user_may_not_read_is_told_as_that(read, closed, stranger):
    folder, nobody = stranger
    inside = folder / "inside"
    inside.mkdir()
    names = {read_image: "a.png", read_audio: "a.wav", read_arrays: "a.npy", Table: "a.csv"}
    path = inside / names[read]
    path.write_bytes(b"content")
    importlib.import_module("mmbert.data.tables.arrow_cache")  # libraries may be closed to strangers too
    (path if closed == "file" else inside).chmod(0)
    try:
        with nobody(), pytest.raises(DataError, match=rf"{path}: this user may not read it \(permission denied\)"):
            read(path)
    finally:
        inside.chmod(0o700)


@pytest.mark.parametrize("read", [read_image, read_audio])
def test_a_refusal_by_the_system_is_told_whatever_the_file_s_mode_says(read, tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    monkeypatch.setattr(soundfile, "SoundFile", refuse)
    (tmp_path / "a.bin").write_bytes(b"content")
    with pytest.raises(DataError, match="a.bin: this user may not read it"):
        read(tmp_path / "a.bin")


def test_numbers_that_are_none(tmp_path):
    Image.fromarray(np.array([[0.0, np.nan]], np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(
        DataError, match="a.tiff: the picture cannot be used: it has pixels that are not finite.*Replace"
    ):
        read_image(tmp_path / "a.tiff")
    soundfile.write(tmp_path / "a.wav", np.array([[0.0, np.inf], [np.nan, 0.0]]), 8_000, subtype="FLOAT")
    with pytest.raises(DataError, match="a.wav: the sound cannot be used: it has samples that are not finite.*Replace"):
        read_audio(tmp_path / "a.wav")


def test_reasons_that_are_the_files_own(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"x")
    assert why_unusable(path, "sound", DataError("it is too loud")) == "the sound cannot be used: it is too loud"
    assert why_unusable(path, "sound", ValueError()) == "this is no sound that can be read (ValueError)"
    assert f"{unusable_file(path, 'sound', ValueError('odd'))}" == (
        f"{path}: this is no sound that can be read (odd). {REMEDY}"
    )
    with pytest.raises(MemoryError):
        unusable_file(path, "sound", MemoryError())
