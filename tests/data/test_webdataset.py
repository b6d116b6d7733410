"""``data=webdataset``: batches from shards are those of the table, whole, counted and resumable, cut shards told."""

import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.datamodule import MultimodalData
from mmbert.data.loading.samplers import Seen
from mmbert.data.streaming.description import DESCRIPTION, ShardDescription
from mmbert.data.webdataset import WebDatasetData
from packed_sets import packed, write_shard, write_table
from stores import http_store, s3_store
from streamed_batches import among_processes, opened_data, seen


def opened(path, kind=WebDatasetData, **options):
    return opened_data(kind, path, **options)


@pytest.fixture
def among(monkeypatch):
    """``among(rank, world)``: as if this were one of several processes."""
    return among_processes(monkeypatch)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("loose"))


@pytest.fixture(scope="module")
def shards(table, tmp_path_factory):
    return packed(table, tmp_path_factory.mktemp("packed") / "shards", most_bytes=25_000)


def test_samples_are_those_of_the_table_with_gaps_and_labels(table, shards):
    loose, streamed = opened(table, MultimodalData), opened(shards)
    for split in ("train", "val", "test"):
        assert sorted(seen(loose.plain_loader(split))) == sorted(seen(streamed.plain_loader(split)))
    assert seen(loose.val_dataloader()) == seen(streamed.val_dataloader())  # in order, rows and all
    assert streamed.facts()["train_rows"] == 23


def test_with_the_whole_of_train_shuffled_batches_are_those_of_the_table(table, shards):
    loose, streamed = opened(table, MultimodalData, seed=3), opened(shards, seed=3, shuffle_buffer=None)
    assert seen(loose.train_dataloader()) == seen(streamed.train_dataloader())


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_no_sample_is_lost_or_seen_twice_in_an_epoch_by_several_processes(shards, among, world, split):
    description = ShardDescription.of((shards / DESCRIPTION).read_bytes(), "")
    assert len({shard.samples for shard in description.shards if shard.split == "train"}) > 1  # uneven
    for epoch in range(2):
        rows, steps = [], []
        for rank in range(world):
            among(rank, world)
            loader = opened(shards, shuffle_buffer=5).loader(split)
            if split == "train":
                loader.sampler.set_epoch(epoch)
            batches = list(loader)
            steps.append([len(batch.rows) for batch in batches])
            rows += [row for batch in batches for row in batch.rows.tolist()]
            for batch in batches:  # copies that fill up have no label
                assert (batch.targets["label"]["label"][batch.rows < 0] < 0).all()
        assert sorted(row for row in rows if row >= 0) == opened(shards).rows[split].tolist()
        assert all(each == steps[0] for each in steps)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing_even_where_some_have_no_shard(table, tmp_path, workers):
    one = packed(table, tmp_path / "one", most_bytes=2**30)  # one shard a split
    assert seen(opened(one, num_workers=workers).train_dataloader()) == seen(opened(one).train_dataloader())
    # a tiny set: more workers than samples
    few = packed(write_table(tmp_path / "few", 2, 1, 1), tmp_path / "few_shards")
    assert len(seen(opened(few, num_workers=workers).train_dataloader())) == 2


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_goes_on_in_the_middle_with_the_same_batches(shards, workers):
    whole = opened(shards, shuffle_buffer=6).train_dataloader()
    whole.sampler.set_epoch(4)
    rest = opened(shards, shuffle_buffer=6, num_workers=workers).train_dataloader()
    rest.sampler.set_epoch(4)
    rest.sampler.skip_once(Seen(3 * 4, 1))
    assert seen(rest) == seen(whole)[12:]


def test_a_cut_shard_is_an_error_that_names_it_or_is_left_out_and_counted(table, tmp_path):
    shards = packed(table, tmp_path / "shards", most_bytes=25_000)
    first = ShardDescription.of((shards / DESCRIPTION).read_bytes(), "").shards[0]
    path = shards / first.name
    path.write_bytes(path.read_bytes()[: first.bytes // 2])
    with pytest.raises(DataError, match=rf"sample '\d+' of {first.name}.*is cut.*data.on_error=skip"):
        opened(shards)
    data = opened(shards, on_error="skip")
    lost = data.facts()["skipped_rows"]
    assert 0 < lost < first.samples and data.facts()["train_rows"] == 23 - lost
    rows = [row for row, *_ in seen(data.train_dataloader())]
    assert sorted(rows) == data.rows["train"].tolist() and not set(rows) & set(data.skipped)


def test_a_shard_that_is_cut_while_it_is_read_stands_in_with_copies(table, tmp_path):
    shards = packed(table, tmp_path / "shards", most_bytes=25_000)
    first = ShardDescription.of((shards / DESCRIPTION).read_bytes(), "").shards[0]
    data, strict = opened(shards, on_error="skip"), opened(shards)
    (shards / first.name).write_bytes(b"")
    batches = list(data.train_dataloader())
    faults = [fault for batch in batches for _, fault in batch.skipped]
    assert faults and all(first.name in fault and "ends too soon" in fault for fault in faults)
    assert sum(int((batch.rows < 0).sum()) for batch in batches) == len(faults)
    with pytest.raises(DataError, match=f"sample '.*' of {first.name}.*ends too soon"):
        list(strict.train_dataloader())


def test_a_cut_shard_of_others_likewise(tmp_path):
    samples = [(f"s{n}", {"txt": f"sample {n}".encode(), "cls": b"1"}) for n in range(40)]
    path = write_shard(tmp_path / "train-0.tar", samples)
    path.write_bytes(path.read_bytes()[: (30 * 4 + 1) * 512])
    options = {"columns": {"label": "label"}, "split": {"val": 0.2, "test": 0.2}}
    with pytest.raises(DataError, match="sample 's30' of train-0.tar"):
        WebDatasetData(path, **options)
    data = WebDatasetData(path, on_error="skip", **options)
    assert list(data.skipped) == [30] and sum(map(len, data.rows.values())) == 30


def test_options_that_cannot_go_with_shards_are_refused(shards):
    with pytest.raises(ConfigError, match="bucket_by_length"):
        WebDatasetData(shards, bucket_by_length=True)


def test_tasks_may_draw_the_samples_all_the_same(shards):
    data = opened(shards)
    data.draw_by_task("balanced", ["label"])
    rows = [row for row, *_ in seen(data.train_dataloader())]
    assert len(rows) == 23 and not set(rows) & set(range(4, 23, 5))  # those are unlabelled


@pytest.fixture(scope="module")
def s3():
    with pytest.MonkeyPatch.context() as patch, s3_store(patch) as upload:
        yield upload


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("gib", [0, 1e-4, 1])  # none, room for four shards, room for all
def test_an_object_store_gives_what_the_disk_gives(s3, shards, tmp_path, workers, gib):
    address = s3(shards, f"set-{workers}-{gib}")
    options = {"cache_gib": gib, "cache_dir": tmp_path / "kept", "shuffle_buffer": 6, "num_workers": workers}
    remote, here = opened(address, **options), opened(shards, shuffle_buffer=6)
    for _ in range(2 if gib else 1):
        assert seen(remote.train_dataloader()) == seen(here.train_dataloader())
    assert seen(remote.test_dataloader()[0]) == seen(here.test_dataloader()[0])
    kept = sum(path.stat().st_size for path in tmp_path.rglob("*.shard"))
    assert kept <= gib * 2**30 and (kept > 0) == (gib > 0)


def test_shards_of_others_in_an_object_store_and_over_http(s3, tmp_path):
    samples = [(f"s{n}", {"txt": f"sample {n}".encode(), "cls": b"ab"[n % 2 : n % 2 + 1]}) for n in range(30)]
    (tmp_path / "theirs").mkdir()
    for number in range(3):
        write_shard(tmp_path / "theirs" / f"{number:03}.tar", samples[10 * number : 10 * number + 10])
    options = {"split": {"val": 0.2, "test": 0.2}, "cache_dir": tmp_path / "kept", "columns": {"label": "label"}}
    here = WebDatasetData(tmp_path / "theirs", **options)
    assert here.table.column("text") == [f"sample {n}" for n in range(30)]
    stored = WebDatasetData(s3(tmp_path / "theirs", "theirs"), **options)
    with http_store(tmp_path / "theirs") as (root, _):
        served = WebDatasetData(f"{root}/{{000..002}}.tar", **options)
    for other in (stored, served):
        assert other.facts()["data_fingerprint"] == here.facts()["data_fingerprint"]
        assert other.facts()["splits_fingerprint"] == here.facts()["splits_fingerprint"]


def test_a_shard_that_is_gone_from_a_store_is_told(s3, shards, tmp_path):
    address = s3(shards, "gone")
    first = ShardDescription.of((shards / DESCRIPTION).read_bytes(), "").shards[0]
    s3.client.delete_object(Bucket="samples", Key=f"gone/{first.name}")
    with pytest.raises(DataError, match=f"gone/{first.name}: there is no such file"):
        opened(address, cache_dir=tmp_path / "kept")
