"""Files are whole or not there: a failure or a kill leaves what was there before, and leftovers are cleared."""

import ast
import errno
import os
import signal
import stat
import threading
import time
from pathlib import Path

import pytest

import mmbert
from mmbert.core.whole_files import building, clear_leftovers, whole_file, whole_folder, write_whole_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "report.html"
    write_whole_text(path, "old")
    with pytest.raises(ValueError, match="halfway"), whole_file(path) as temporary:
        temporary.write_text("half of the n")
        raise ValueError("halfway")
    assert path.read_text() == "old" and names(tmp_path) == ["report.html"]


def test_a_kill_leaves_what_was_there_and_a_leftover_that_is_cleared(tmp_path):
    path = tmp_path / "report.html"
    write_whole_text(path, "old")
    child = os.fork()
    if not child:
        with whole_file(path) as temporary:
            temporary.write_text("half of the n")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert path.read_text() == "old" and len(names(tmp_path)) == 2
    clear_leftovers(tmp_path, ["other"])
    assert len(names(tmp_path)) == 2
    clear_leftovers(tmp_path, ["report.html"])
    assert names(tmp_path) == ["report.html"]


def test_libraries_do_not_decide_about_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "weights") as temporary:
            temporary.write_bytes(b"x")
            temporary.chmod(0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "weights").stat().st_mode) == 0o640


def test_an_error_names_the_file_that_was_meant(tmp_path):
    with pytest.raises(OSError) as caught, whole_file(tmp_path / "a.csv"):
        raise OSError(errno.ENOSPC, "No space left on device")  # as file.write raises it: without a name
    assert caught.value.filename == str(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError) as caught, whole_file(tmp_path / "a.csv") as temporary:
        temporary.unlink()
        temporary.open("rb")
    assert caught.value.filename == str(tmp_path / "a.csv")
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as caught:
        write_whole_text(tmp_path / "file" / "a.csv", "")
    assert caught.value.filename.startswith(str(tmp_path / "file"))


def test_names_may_be_as_long_as_the_file_system_lets_them(tmp_path):
    name = "文" * 80 + ".csv"  # 244 bytes of the 255 that there are
    write_whole_text(tmp_path / name, "a")
    assert names(tmp_path) == [name]


def test_links_are_replaced_and_pipes_written_to(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "metrics.json").symlink_to(tmp_path / "mine")
    write_whole_text(tmp_path / "metrics.json", "theirs")
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / "metrics.json").is_symlink()
    os.mkfifo(tmp_path / "pipe")
    end = os.open(tmp_path / "pipe", os.O_RDWR)
    write_whole_text(tmp_path / "pipe", "through")
    assert os.read(end, 100) == b"through"
    os.close(end)


def test_a_folder_is_replaced_when_the_new_one_is_whole(tmp_path):
    folder = tmp_path / "model"
    for content in ("first", "second"):
        with whole_folder(folder) as new:
            (new / "weights").write_text(content)
            assert not folder.exists() or (folder / "weights").read_text() == "first"
    assert (folder / "weights").read_text() == "second" and names(tmp_path) == ["model"]
    with pytest.raises(ValueError, match="halfway"), whole_folder(folder) as new:
        raise ValueError("halfway")
    assert (folder / "weights").read_text() == "second" and names(tmp_path) == ["model"]
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(tmp_path.stat().st_mode) | 0o055


def test_half_folders_of_kills_are_cleared_and_others_left(tmp_path):
    for name in (".model-abc_d3f9", ".model-v2-abc_d3f9", ".git", ".hydra"):
        (tmp_path / name).mkdir()
    (tmp_path / ".model-abc_d3f9" / "x").touch()
    (tmp_path / ".other.tmp").touch()
    clear_leftovers(tmp_path, ["model"])
    assert names(tmp_path) == [".git", ".hydra", ".model-v2-abc_d3f9", ".other.tmp"]
    clear_leftovers(tmp_path)
    assert names(tmp_path) == [".git", ".hydra", ".model-v2-abc_d3f9"]


def test_builders_wait_for_each_other_and_clear_what_a_kill_has_left(tmp_path):
    folder, times = tmp_path / "set", []

    def build():
        with building(folder):
            if not folder.exists():
                with whole_folder(folder) as new:
                    (new / "x").touch()
                    times.append(time.monotonic())
                    time.sleep(0.05)

    (tmp_path / ".set-abc_d3f9").mkdir()
    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 1 and names(tmp_path) == ["set"]


def test_builders_never_overlap_though_each_takes_its_lock_file_away(tmp_path):
    inside, most = [], []

    def build():
        for _ in range(20):
            with building(tmp_path / "set"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80 and max(most) == 1 and names(tmp_path) == []


WRITERS = {"write_text", "write_bytes", "touch", "savefig", "to_csv", "to_parquet", "to_json", "savez", "write_table"}
WRITERS |= {"save_file", "ParquetWriter", "copy", "copyfile", "copy2", "copytree", "dump", "safe_dump"}
#: Of modules whose ``save`` writes a file: ``torch.save``, ``np.save``, ``OmegaConf.save``, ``picture.save``.
SAVERS = {"torch", "np", "OmegaConf", "picture"}
#: Who writes a file as it grows, or inside a folder that is renamed when it is whole.
OTHERS = {
    "mmbert/core/permissions.py": "touches a file in a scratch folder",
    "mmbert/data/digits/build.py": "the demo set is built in a scratch folder",
    "mmbert/data/sets/base.py": "real data sets are built in a scratch folder",
    "mmbert/data/sets/table_files.py": "the same",
    "mmbert/data/plain_text/manifest.py": "the table of plain texts is built in a scratch folder",
    "mmbert/encoders/pretrained/frozen_file.py": "writes into the scratch folder of a model",
    "mmbert/training/predict.py": "answers come row by row, into a file called .partial",
    "mmbert/store/array_store.py": "segments only grow, each record with a checksum",
    "mmbert/store/locks.py": "a lock file is empty",
    "mmbert/store/description.py": "a line is added to the record of uses",
    "mmbert/deploy/compress/memory.py": "writes into a scratch folder",
    "mmbert/data/streaming/shard_writer.py": "writes into the whole_folder of packing.py",
    "mmbert/deploy/serving/values.py": "the same",
    "mmbert/reporting/outputs/page/overlays.py": "a sound in memory",
    "mmbert/runs/peak_memory.py": "no file, but a switch of the kernel",
}


def unsafe_writes(source):
    """Lines of calls that write a file, unless they stand in a ``with whole_file`` or ``whole_folder``."""
    tree = ast.parse(source)
    safe = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        and any(
            isinstance(item.context_expr, ast.Call)
            and getattr(item.context_expr.func, "id", "") in ("whole_file", "whole_folder")
            for item in node.items
        )
        for inner in ast.walk(node)
    }
    return [node.lineno for node in ast.walk(tree) if id(node) not in safe and is_write(node)]


def is_write(node):
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name == "open":
        modes = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        modes += [word.value.value for word in node.keywords if word.arg == "mode"]
        return any(isinstance(mode, str) and set(mode) & set("wax") and len(mode) < 4 for mode in modes)
    owner = getattr(getattr(node.func, "value", None), "id", "")
    if name == "save":
        return owner in SAVERS
    if name in ("copy", "dump", "safe_dump"):
        return owner == "shutil" or (owner in ("json", "yaml") and len(node.args) > 1)
    if name == "savefig":
        return not (node.args and getattr(node.args[0], "id", "") == "buffer")
    if name == "to_csv" and not node.args:  # it returns the text
        return False
    return name in WRITERS


def test_every_file_of_the_package_is_written_whole():
    package = Path(mmbert.__path__[0])
    wrong = [
        f"{path.relative_to(package.parent)}:{line}"
        for path in sorted(package.rglob("*.py"))
        if str(path.relative_to(package.parent)) not in {*OTHERS, "mmbert/core/whole_files.py"}
        for line in unsafe_writes(path.read_text("utf-8"))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "source",
    [
        "path.write_text(page)",
        "open(path, 'w')",
        "path.open('xb', buffering=1)",
        "open(path, mode='a')",
        "frame.to_csv(path)",
        "figure.savefig(path)",
        "torch.save(state, path)",
        "json.dump(content, file)",
    ],
)
def test_a_file_written_in_place_is_seen(source):
    assert unsafe_writes(source) == [1]
    assert not unsafe_writes(f"with whole_file(path) as path, x:\n    {source}")


@pytest.mark.parametrize("source", ["open(path)", "path.open('rb')", "json.dumps(x)", "module.save()", "dict.copy(x)"])
def test_what_writes_no_file_is_left_alone(source):
    assert unsafe_writes(source) == []
