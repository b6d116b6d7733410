"""``out=`` of every command that writes a folder: a mistake is told before anything is computed."""

import errno
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import pytest

from mmbert.cli.out_folder import out_folder
from mmbert.core.errors import ConfigError


def test_a_folder_that_is_there_or_can_be_made_is_taken(tmp_path):
    assert out_folder({}) is None
    assert out_folder({"out": str(tmp_path)}) == tmp_path
    assert out_folder({"out": str(tmp_path / "a" / "b")}) == tmp_path / "a" / "b"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "out=: a folder is wanted"),
        ("DIR/file", "file is no folder: name another, out=FOLDER"),
        ("DIR/file/in", "is inside DIR/file, which is no folder"),
        ("DIR/broken", "broken is no folder"),
    ],
)
def test_what_is_no_folder_is_refused(given, message, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError) as refused:
        out_folder({"out": given.replace("DIR", str(tmp_path))})
    assert message.replace("DIR", str(tmp_path)) in str(refused.value)


def test_a_folder_that_must_not_be_written_to_is_refused(tmp_path, monkeypatch):
    refused = tmp_path / "refused"
    refused.mkdir()
    made = tempfile.TemporaryFile

    def temporary_file(dir):
        if Path(dir) == refused:
            raise PermissionError(errno.EACCES, "Permission denied")
        return made(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary_file)
    with pytest.raises(
        ConfigError, match=r"refused cannot be written \(Permission denied\): name another folder, out="
    ):
        out_folder({"out": str(refused)})
    with pytest.raises(ConfigError, match=rf"inner cannot be written \({refused}: Permission denied\)"):
        out_folder({"out": str(refused / "inner")})


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no file system that nobody writes to")
def test_a_file_system_that_refuses_whatever_the_rights_say_is_told():
    with pytest.raises(ConfigError, match=r"out=/proc/mine cannot be written \(/proc: "):
        out_folder({"out": "/proc/mine"})


@pytest.mark.parametrize("command", ["explain", "evaluate", "attack", "compress", "export"])
def test_every_command_refuses_a_file_with_one_line(command, finished_run, tmp_path, monkeypatch, capsys):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for more in ([], ["parts=true"]) if command == "explain" else ([],):
        words = [f"model={finished_run}", f"out={mine}", *more]
        monkeypatch.setattr(sys, "argv", [f"mmbert-{command}", *words])
        with pytest.raises(SystemExit) as ended:
            import_module(f"mmbert.cli.{command}").main()
        (line,) = capsys.readouterr().err.splitlines()
        assert ended.value.code == 2 and line == f"mmbert-{command}: out={mine} is no folder: name another, out=FOLDER."
        assert mine.read_text() == "mine"
