"""Object stores: files of a real S3 server and of plain HTTP are listed, measured, read, fetched once, and kept."""

import threading

import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.streaming import locations, shard_cache
from mmbert.data.streaming.shard_cache import ShardCache
from stores import http_store, s3_store


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, s3_store(patch) as upload:
        yield upload


@pytest.fixture
def folder(tmp_path):
    for name, size in {"a.tar": 3000, "b.tar": 2000, "c.tar": 1000, "notes.txt": 5}.items():
        (tmp_path / "files" / "deep" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / "deep" / name).write_bytes(bytes([size % 251]) * size)
    return tmp_path / "files"


def test_an_s3_store_is_listed_measured_and_read(s3, folder):
    root = s3(folder, "listed")
    names = locations.files_in(root, ".tar")
    assert names == [f"{root}/deep/{name}.tar" for name in "abc"]
    assert locations.sizes([*names, f"{root}/deep/gone.tar"]) == dict(zip(names, (3000, 2000, 1000), strict=True))
    assert locations.read_bytes(names[0], 10, 20) == bytes([3000 % 251]) * 10
    assert locations.exists(names[0]) and not locations.exists(f"{root}/gone")
    with pytest.raises(FileNotFoundError):
        locations.read_bytes(f"{root}/gone")


def test_http_is_measured_and_read(folder):
    with http_store(folder) as (root, _):
        name = f"{root}/deep/a.tar"
        assert locations.sizes([name, f"{root}/gone.tar"]) == {name: 3000}
        assert locations.read_bytes(f"{root}/deep/notes.txt") == bytes([5]) * 5


def test_a_shard_is_fetched_once_by_many_and_the_oldest_goes_where_room_ends(folder, tmp_path):
    with http_store(folder) as (root, requests):
        cache = ShardCache(tmp_path / "kept", 4000)
        names = {name: f"{root}/deep/{name}.tar" for name in "abc"}
        threads = [threading.Thread(target=cache.fetch, args=(names["a"], 3000, "v")) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        fetched = len(requests)
        with cache.opened(names["a"], 3000, "v") as file:
            assert file.read() == bytes([3000 % 251]) * 3000
            assert len(requests) == fetched
            cache.fetch(names["b"], 2000, "v")  # no room beside a, which is open and stays readable
            file.seek(2990)
            assert len(file.read()) == 10
        kept = {path.stat().st_size for path in (tmp_path / "kept").glob("*.shard")}
        assert kept == {2000}
        cache.fetch(names["c"], 1000, "v")
        assert {path.stat().st_size for path in (tmp_path / "kept").glob("*.shard")} == {2000, 1000}
        assert cache.path_of(names["c"], 1000, "v") != cache.path_of(names["c"], 1000, "w")


def test_what_is_not_there_or_cannot_be_reached_is_told(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(locations, "FIRST_WAIT", 0.001)
    with http_store(folder) as (root, _), pytest.raises(DataError, match=r"gone\.tar: there is no such file"):
        ShardCache(tmp_path / "kept", 10**6).fetch(f"{root}/gone.tar", None, "v")
    assert list((tmp_path / "kept").glob("*.shard")) == []
    with pytest.raises(DataError, match="cannot be read: .*Is the address right"):
        locations.read_bytes("http://127.0.0.1:9/a.tar")
    with pytest.raises(ConfigError, match="nosuch://"):
        locations.read_bytes("nosuch://a/b")


def test_a_read_that_fails_once_is_tried_again(monkeypatch, folder):
    monkeypatch.setattr(locations, "FIRST_WAIT", 0.001)
    failed = []

    def read(files, path):
        if len(failed) < 2:
            failed.append(path)
            raise TimeoutError("slow")
        return "content"

    with http_store(folder) as (root, _):
        assert locations.attempted(f"{root}/deep/a.tar", read) == "content"
    assert len(failed) == 2


def test_a_shard_that_others_throw_out_at_once_asks_for_room(folder, tmp_path, monkeypatch):
    with http_store(folder) as (root, _):
        cache = ShardCache(tmp_path / "kept", 2000)
        monkeypatch.setattr(shard_cache.ShardCache, "fetch", lambda *args: None)
        with pytest.raises(DataError, match=r"data\.cache_gib="), cache.opened(f"{root}/deep/a.tar", 3000, "v"):
            pass


COVERS = ("shard_cache",)
