"""``data=huggingface data.streaming=true``: batches are those of the set read at once, resumable, damage told."""

import csv

import datasets
import pyarrow as pa
import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.huggingface import HuggingFaceData
from mmbert.data.loading.samplers import Seen
from packed_sets import write_table
from stores import s3_store
from streamed_batches import among_processes, opened_data, seen

COVERS = ("streamed_data",)
SPLITS = {"train": "train", "val": "validation", "test": "test"}
FEATURES = datasets.Features(
    {"text": datasets.Value("string"), "image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}
)


def write_parquet(table, folder):
    """The rows of a table with its pictures in Parquet files: train in two of uneven length, row groups of four."""
    folder.mkdir(parents=True)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        content = (table.parent / row["image"]).read_bytes() if row["image"] else None
        row["image"] = content and {"bytes": content, "path": row["image"]}
        row["label"] = {"a": 0, "b": 1, "": -1}[row["label"]]
    parts = {name: [row for row in rows if row["split"] == name] for name in SPLITS}
    parts |= {"train-0": parts["train"][:14], "train-1": parts.pop("train")[14:]}
    for name, part in parts.items():
        cells = {column: [row[column] for row in part] for column in FEATURES}
        found = datasets.Dataset(
            datasets.table.InMemoryTable(pa.table(cells, FEATURES.arrow_schema)),
            datasets.DatasetInfo(features=FEATURES),
        )
        found.to_parquet(folder / f"{name}.parquet", batch_size=4)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("streaming")
    return write_parquet(write_table(place / "loose"), place / "parquet")


@pytest.fixture
def streamed(tmp_path):
    """``streamed(folder, …)``: data that keep their row groups in a folder of this test's own."""

    def opened(path, **options):
        options = {"streaming": True, "cache_dir": tmp_path / "kept", "splits": SPLITS, **options}
        return opened_data(HuggingFaceData, path, **options)

    return opened


def test_samples_are_those_of_the_set_read_at_once(folder, streamed):
    at_once, by_groups = streamed(folder, streaming=False), streamed(folder)
    for split in SPLITS:
        assert sorted(seen(at_once.plain_loader(split))) == sorted(seen(by_groups.plain_loader(split)))
    assert seen(at_once.val_dataloader()) == seen(by_groups.val_dataloader())
    assert (
        by_groups.facts()["train_rows"] == 23
        and sum(number >= 0 for *_, number, _ in seen(by_groups.train_dataloader())) == 15
    )
    mixed = streamed(folder, shuffle_buffer=None, seed=3), streamed(folder, streaming=False, seed=3)
    assert seen(mixed[0].train_dataloader()) == seen(mixed[1].train_dataloader())


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("workers", [0, 2])
def test_no_sample_is_lost_or_seen_twice_by_several_processes(folder, streamed, monkeypatch, world, workers):
    among = among_processes(monkeypatch)
    for split in ("train", "val"):
        rows, steps = [], []
        for rank in range(world):
            among(rank, world)
            loader = streamed(folder, shuffle_buffer=6, num_workers=workers).loader(split)
            batches = list(loader)
            steps.append([len(batch.rows) for batch in batches])
            rows += [row for batch in batches for row in batch.rows.tolist()]
        assert sorted(row for row in rows if row >= 0) == streamed(folder).rows[split].tolist()
        assert all(each == steps[0] for each in steps)


def test_an_epoch_reads_group_after_group_and_goes_on_in_its_middle(folder, streamed):
    data = streamed(folder, shuffle_buffer=4)
    whole = data.train_dataloader()
    whole.sampler.set_epoch(2)
    batches = seen(whole)
    blocks = data.table.blocks([row for row, *_ in batches]).tolist()
    assert sum(one != two for one, two in zip(blocks, blocks[1:], strict=False)) <= 4 * len(set(blocks))
    rest = streamed(folder, shuffle_buffer=4, num_workers=1).train_dataloader()
    rest.sampler.set_epoch(2)
    rest.sampler.skip_once(Seen(8, 1))
    assert seen(rest) == batches[8:]


def test_damage_is_an_error_that_names_the_row_or_is_skipped_and_counted(folder, streamed, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    for file in folder.iterdir():
        (mine / file.name).write_bytes(file.read_bytes())
    data, strict = streamed(mine, on_error="skip"), streamed(mine)
    content = bytearray((mine / "train-1.parquet").read_bytes())
    at = content.index(b"\x89PNG")
    content[at - 40 : at + 40] = bytes(80)  # the head of a page
    (mine / "train-1.parquet").write_bytes(content)
    batches = list(data.train_dataloader())
    assert {row for batch in batches for row, _ in batch.skipped} <= set(range(14, 23))
    assert all("train-1.parquet" in fault for batch in batches for _, fault in batch.skipped)
    assert sum(len(batch.skipped) for batch in batches) > 0
    with pytest.raises(DataError, match=r"row \d+ of train-1.parquet"):
        list(strict.train_dataloader())


def test_from_an_object_store(folder, streamed, monkeypatch, tmp_path):
    with s3_store(monkeypatch) as upload:
        address = upload(folder, "set")
        data = streamed(address, num_workers=2)
        assert sorted(seen(data.train_dataloader())) == sorted(seen(streamed(folder).train_dataloader()))
        assert list((tmp_path / "kept").glob("*.shard"))
        with pytest.raises(ConfigError, match=r"data.path=s3://.* can only be streamed: data.streaming=true"):
            streamed(address, streaming=False)


def test_options_that_need_all_data_are_refused_only_where_they_are_streamed(folder, streamed):
    with pytest.raises(ConfigError, match="data.bucket_by_length=true would read all data"):
        streamed(folder, bucket_by_length=True)
    streamed(folder, bucket_by_length=True, streaming=False)
