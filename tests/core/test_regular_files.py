"""Pipes, sockets and devices are recognised without being opened."""

import os
import socket

import pytest

from mmbert.core.errors import MmbertError
from mmbert.core.regular_files import SpecialFileError, refuse_special, refuse_special_inside
from time_limit import time_limit


def test_files_folders_and_what_is_not_there_pass(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "link").symlink_to("a")
    passing = (tmp_path, tmp_path / "a", tmp_path / "link", tmp_path / "nothing", tmp_path / "a" / "b", "a\x00b")
    assert [refuse_special(path) for path in passing] == [None] * len(passing)
    refuse_special_inside(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SpecialFileError):  # that makes the difference
        refuse_special_inside(tmp_path)


def test_a_pipe_a_socket_a_device_and_a_link_to_one_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    (tmp_path / "link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for path, what in (("pipe", "a named pipe"), ("link", "a named pipe"), ("socket", "a socket")):
            with pytest.raises(SpecialFileError) as caught:
                refuse_special(path)
            assert (caught.value.strerror, caught.value.filename) == (f"this is {what}, not a file", path)
    with pytest.raises(SpecialFileError, match="a device"):
        refuse_special("/dev/null")


def test_everything_in_a_folder_is_looked_at(tmp_path):
    (tmp_path / "inner").mkdir()
    os.mkfifo(tmp_path / "inner" / "config.json")
    with pytest.raises(SpecialFileError, match="config.json"):
        refuse_special_inside(tmp_path)


# every reader of files asks first; what is opened without asking waits for a writer for ever


def readers(path):
    """Who reads a file or a folder, by what is read."""
    from mmbert.data.datasets_library.parts import find_parts
    from mmbert.data.modalities.audio import MODALITY as AUDIO
    from mmbert.data.modalities.base import file_digest
    from mmbert.data.modalities.feature_files import read_arrays
    from mmbert.data.modalities.image import MODALITY as IMAGE
    from mmbert.data.modalities.series import MODALITY as SERIES
    from mmbert.data.tables.table import arrow_files
    from mmbert.encoders.pretrained.transformers import load_transformer
    from mmbert.encoders.pretrained.weights import read_weights
    from mmbert.model.saved_files import read_saved_config
    from mmbert.runs.files import read_json, read_yaml
    from mmbert.store.description import read_about

    folder = path.parent
    return {
        "a picture": lambda: IMAGE.read_file(path),
        "a sound": lambda: AUDIO.read_file(path),
        "features": lambda: read_arrays(path),
        "a series": lambda: SERIES.read_file(path),
        "a digest": lambda: file_digest(path),
        "a table": lambda: arrow_files(path),
        "weights": lambda: read_weights(path),
        "a config": lambda: read_yaml(path),
        "json": lambda: read_json(path),
        "a data set": lambda: find_parts(folder, None, None),
        "a text model": lambda: load_transformer("mine", str(folder), True, {}),
        "a saved model": lambda: read_saved_config(folder),
        "a store": lambda: read_about(folder),
    }


READ = {
    "a picture": ("x.png", "x.png: this is a named pipe, not a file"),
    "a sound": ("x.wav", "x.wav: this is a named pipe, not a file"),
    "features": ("x.npy", "x.npy: this is a named pipe, not a file"),
    "a series": ("x.csv", "x.csv: this is a named pipe, not a file"),
    "a digest": ("x.png", "this is a named pipe"),
    "a table": ("x.csv", "there is no such file"),
    "weights": ("x.pth", "does not exist"),
    "a config": ("config.yaml", "this is a named pipe"),
    "json": ("metrics.json", None),
    "a data set": ("x.csv", "this is a named pipe"),
    "a text model": ("config.json", "this is a named pipe"),
    "a saved model": ("config.json", "config.json is missing"),
    "a store": ("about.json", "this is a named pipe"),
}


@pytest.mark.parametrize("what", READ)
def test_no_reader_waits_for_a_pipe(what, tmp_path):
    name, message = READ[what]
    path = tmp_path / "folder" / name
    path.parent.mkdir()
    os.mkfifo(path)
    read = readers(path)[what]
    with time_limit(20):
        if message is None:
            assert read() is None
            return
        with pytest.raises((MmbertError, SpecialFileError), match=message):
            read()


def test_in_a_saved_model_every_file_is_one(tmp_path):
    from mmbert.model.saved_files import MODEL_CONFIG, MODEL_WEIGHTS, read_saved_config

    for name in (MODEL_CONFIG, MODEL_WEIGHTS):
        (tmp_path / name).write_text("{}")
    (tmp_path / "encoders" / "text").mkdir(parents=True)
    os.mkfifo(tmp_path / "encoders" / "text" / "tokenizer.json")
    with time_limit(20), pytest.raises(MmbertError, match="tokenizer.json: this is a named pipe, not a file"):
        read_saved_config(tmp_path)


def test_the_length_and_the_key_of_a_pipe_are_those_of_what_cannot_be_read(tmp_path):
    from mmbert.data.modalities.audio import MODALITY as AUDIO
    from mmbert.data.tables.file_memo import FileMemo
    from mmbert.store.content_keys import file_key

    os.mkfifo(tmp_path / "x.wav")
    with time_limit(20):
        assert AUDIO.length("x.wav", tmp_path) == 0
        assert FileMemo(tmp_path / "memo", file_key).keys([str(tmp_path / "x.wav")]).tolist() == [[0, 0]]


def test_going_on_with_a_run_opens_no_pipe(tmp_path):
    from mmbert.cli.resume import resume

    (tmp_path / "config.yaml").write_text("{}")
    os.mkfifo(tmp_path / "metrics.json")
    with time_limit(20), pytest.raises(MmbertError, match="metrics.json: this is a named pipe, not a file"):
        resume([f"resume={tmp_path}"])
