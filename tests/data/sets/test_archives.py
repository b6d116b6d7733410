"""Archives are unpacked whole, inside their folder, or not at all: each kind, each way to be wrong."""

import io
import shutil
import subprocess
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbert.core.errors import DataError
from mmbert.data.sets import archives
from mmbert.data.sets.archives import is_archive, unpack_archive
from raw_packages import debian_package, tar_bytes

FILES = {"set/a.txt": b"one", "set/deep/b.bin": bytes(range(256)) * 300, "set/empty": b""}


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def written(path, content):
    path.write_bytes(content)
    return path


def zipped(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


@pytest.mark.parametrize("ending", ["", "gz", "bz2", "xz"])
def test_what_comes_out_is_what_went_in(tmp_path, ending):
    out = [tmp_path / name for name in ("tar", "deb", "zip")]
    for folder in out:
        folder.mkdir()
    unpack_archive(written(tmp_path / f"a.tar{ending and '.' + ending}", tar_bytes(FILES, ending)), out[0], 1)
    unpack_archive(debian_package(tmp_path / "a.deb", FILES, ending), out[1], 1)
    unpack_archive(zipped(tmp_path / "a.zip", FILES), out[2], 1)
    assert [files_in(folder) for folder in out] == [FILES] * 3


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="there is no dpkg-deb")
def test_a_package_made_by_debians_own_program_is_read(tmp_path):
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: look-alike\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: d\n"
    )
    (tree / "usr").mkdir()
    (tree / "usr" / "caption.txt").write_text("A frog.\n")
    for kind in ("xz", "zstd", "gzip"):
        package = tmp_path / f"{kind}.deb"
        subprocess.run(["dpkg-deb", f"-Z{kind}", "--build", tree, package], check=True, capture_output=True)
        (tmp_path / kind).mkdir()
        unpack_archive(package, tmp_path / kind, 1)
        assert files_in(tmp_path / kind) == {"usr/caption.txt": b"A frog.\n"}


@settings(max_examples=40, deadline=None)
@given(cut=st.floats(0, 0.999), kind=st.sampled_from(["deb", "tar.gz", "tar.xz", "zip"]))
def test_a_cut_archive_is_one_error(tmp_path_factory, cut, kind):
    folder = tmp_path_factory.mktemp("cut")
    path = folder / f"a.{kind}"
    if kind == "deb":
        debian_package(path, FILES)
    elif kind == "zip":
        zipped(path, FILES)
    else:
        path.write_bytes(tar_bytes(FILES, kind[4:]))
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    with pytest.raises(DataError, match=r"damaged|is no Debian package"):
        unpack_archive(path, folder, 1)


def evil(member):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as tar:
        member.size = 3 if member.isfile() else 0
        tar.addfile(member, io.BytesIO(b"bad"))
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["../outside.txt", "a/../../outside.txt"])
def test_no_member_leaves_the_folder(tmp_path, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    for path in (
        written(tmp_path / "a.tar.xz", evil(tarfile.TarInfo(name))),
        zipped(tmp_path / "a.zip", {name: b"bad"}),
    ):
        with pytest.raises(DataError, match=r"outside.txt' would be written outside the folder"):
            unpack_archive(path, inside, 1)
    assert not (tmp_path / "outside.txt").exists() and files_in(inside) == {}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_left_out(tmp_path, kind):
    member = tarfile.TarInfo("passwords")
    member.type, member.linkname = kind, "/etc/passwd"
    unpack_archive(written(tmp_path / "a.tar.xz", evil(member)), tmp_path, 1)
    assert not (tmp_path / "passwords").is_symlink() and not (tmp_path / "passwords").exists()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    unpack_archive(tmp_path / "a.zip", tmp_path, 1)
    assert not (tmp_path / "link").exists()


def test_what_is_too_large_or_too_much_is_refused_before_it_is_written(tmp_path, monkeypatch):
    bomb = tar_bytes({"zeros": bytes(5_000_000)}, "xz")
    assert len(bomb) < 5000
    with pytest.raises(DataError, match=r"more than 0.001 GiB .* is it the right archive"):
        unpack_archive(written(tmp_path / "a.tar.xz", bomb), tmp_path, 0.001)
    with pytest.raises(DataError, match="more than 0.001 GiB"):
        unpack_archive(zipped(tmp_path / "a.zip", {"zeros": bytes(5_000_000)}), tmp_path, 0.001)
    assert not (tmp_path / "zeros").exists()
    monkeypatch.setattr(archives, "MOST_FILES", 2)
    with pytest.raises(DataError, match="2 files"):
        unpack_archive(written(tmp_path / "b.tar.xz", tar_bytes(FILES, "xz")), tmp_path, 1)


@pytest.mark.parametrize("name", ["a.deb", "a.zip", "a.tar.gz"])
def test_another_kind_of_file_under_the_name_is_named(tmp_path, name):
    with pytest.raises(DataError, match=rf"{name} is (damaged, or no|no Debian package)"):
        unpack_archive(written(tmp_path / name, b"<html>404</html>" * 100), tmp_path, 1)


def test_names_say_what_is_an_archive(tmp_path):
    names = ["a.deb", "b.TAR.GZ", "c.tgz", "d.csv", "e.gz"]
    assert [is_archive(tmp_path / name) for name in names] == [True, True, True, False, False]
