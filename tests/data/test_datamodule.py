"""A table's splits as loaders: every row once, in an order of the seed's own, checked before training."""

import gc
import time
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.data import _set_sampler_epoch
from omegaconf import OmegaConf
from torch import nn, tensor

from mmbert.core.errors import ConfigError, DataError, InputError
from mmbert.core.types import UNLABELLED
from mmbert.data.datamodule import MultimodalData
from mmbert.data.loading import samplers as loading
from mmbert.data.loading.loaders import default_workers
from mmbert.data.loading.samplers import SeededSampler, Seen
from mmbert.tasks.classification import Classification

COVERS = ("split_loaders",)


class Letters:
    """A processor of texts: their lengths."""

    kind = "text"

    def prepare(self, raw):
        return float(len(raw))

    def collate(self, prepared):
        values = tensor([0.0 if value is None else value for value in prepared])
        return {"values": values.unsqueeze(1), "mask": tensor([[value is not None] for value in prepared])}


class Pictures(Letters):
    """A processor of pictures that never gets to see one."""

    kind = "image"


SIZES = {"train": 20, "val": 7, "test": 5, "extra": 3}
SPLIT_ROWS = {"train": list(range(20)), "val": list(range(20, 27))}


@pytest.fixture
def path(tmp_path):
    rows = [f"{'x' * (i % 4 + 1)},{'ab'[i % 2]},{split}" for split, size in SIZES.items() for i in range(size)]
    (tmp_path / "m.csv").write_text("\n".join(["text,label,split", *rows]) + "\n")
    return tmp_path / "m.csv"


def make(path, processors=None, **options):
    data = MultimodalData(path, **{"num_workers": 0, "batch_size": 4, **options})
    data.bind(processors or {"text": Letters()}, {"letter": Classification(1, "label", ["a", "b"])})
    return data


def orders(loader, epochs=1):
    return [[row for batch in loader for row in batch.rows.tolist()] for _ in range(epochs)]


# splits


def test_every_row_of_a_split_comes_once_and_the_last_batch_is_kept(path):
    data = make(path, eval_batch_size=3)
    assert [len(batch) for batch in data.train_dataloader()] == [4, 4, 4, 4, 4]
    assert sorted(orders(data.train_dataloader())[0]) == list(range(20))
    assert [batch.rows.tolist() for batch in data.val_dataloader()] == [[20, 21, 22], [23, 24, 25], [26]]
    assert [orders(loader) for loader in data.test_dataloader()] == [[[27, 28, 29, 30, 31]]]
    batch = next(iter(data.val_dataloader()))
    assert batch.targets["letter"]["label"].tolist() == [0, 1, 0]
    assert batch.inputs["text"]["values"].tolist() == [[1.0], [2.0], [3.0]]


def test_every_split_beside_train_and_val_is_a_test_split(path):
    data = make(path, splits={"train": "train", "val": "val", "test": "test", "hard": "extra", "none": None})
    assert data.test_splits == ["test", "hard"]
    assert orders(data.loader("hard")) == [[32, 33, 34]]
    assert len(data.dataset("hard")) == 3
    assert make(path, splits={"train": "train", "val": "val", "test": None}).test_splits == []


def test_cells_of_a_split(path):
    data = make(path)
    assert data.cells("label", "test") == ["a", "b", "a", "b", "a"]
    assert len(data.cells("label")) == 20
    assert (data.has_column("label"), data.has_column("lable")) == (True, False)
    assert (data.path, data.column_names) == (path, ["text", "label", "split"])


def test_an_encoder_reads_its_own_name_or_the_column_it_is_given(path):
    data = make(path, processors={"caption": Letters()}, columns={"caption": "text"})
    assert [data.column_of("caption"), data.column_of("scan")] == ["text", "scan"]
    assert next(iter(data.val_dataloader())).inputs["caption"]["values"].tolist() == [[1.0], [2.0], [3.0], [4.0]]


def test_numbers_name_splits_as_words_do(tmp_path):
    (tmp_path / "m.jsonl").write_text("\n".join(f'{{"text": "t", "fold": {i % 3}}}' for i in range(9)))
    data = MultimodalData(tmp_path / "m.jsonl", {"split": "fold"}, {"train": 0, "val": 1, "test": 2}, num_workers=0)
    assert data.rows["val"].tolist() == [1, 4, 7]


# order


def test_the_order_depends_on_the_seed_and_the_epoch_alone(path):
    first = orders(make(path, seed=1).train_dataloader(), 3)
    torch.manual_seed(99)
    np.random.seed(99)
    assert orders(make(path, seed=1).train_dataloader(), 3) == first
    assert len({tuple(order) for order in first}) == 3
    others = orders(make(path, seed=2).train_dataloader(), 3)
    assert not {tuple(order) for order in first} & {tuple(order) for order in others}


def test_workers_change_nothing(path):
    def batches(workers):
        data = make(path, num_workers=workers, seed=3)
        loader = data.train_dataloader()
        return [
            (batch.rows.tolist(), batch.targets["letter"]["label"].tolist(), batch.inputs["text"]["values"].tolist())
            for _ in range(2)
            for batch in loader
        ]

    assert batches(0) == batches(2)


def test_the_order_of_an_epoch_does_not_need_the_epochs_before_it(path):
    first = orders(make(path).train_dataloader(), 4)
    loader = make(path).train_dataloader()
    _set_sampler_epoch(loader, 2)  # what Lightning calls as an epoch begins
    assert orders(loader, 2) == first[2:]


class Recorder(pl.LightningModule):
    """A module that notes which rows it is given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen = []

    def training_step(self, batch, index):
        self.seen.append((self.current_epoch, batch.rows.tolist()))
        return self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_is_resumed_sees_the_order_of_the_run_that_was_not_interrupted(workers, path, tmp_path):
    def fit(epochs, checkpoint=None):
        trainer = pl.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
        )
        module = Recorder()
        trainer.fit(module, make(path, num_workers=workers).train_dataloader(), ckpt_path=checkpoint)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        return module.seen

    whole = fit(3)
    assert len(whole) == 15
    assert fit(2) == whole[:10]
    assert fit(3, tmp_path / "last.ckpt") == whole[10:]


@pytest.mark.parametrize("world", [2, 3])
def test_several_processes_share_the_samples_out(path, world, monkeypatch):
    def shares(split):
        for rank in range(world):
            monkeypatch.setattr(loading, "rank_and_world_size", lambda rank=rank: (rank, world))
            yield orders(make(path, seed=5).loader(split))[0]

    trained = list(shares("train"))
    assert {len(share) for share in trained} == {20 // world}, "every process steps as often as the others"
    assert len({row for share in trained for row in share}) == 20 // world * world, "no sample comes twice"
    judged = list(shares("val"))
    assert len({len(share) for share in judged}) == 1, "collectives would wait for a missing batch"
    assert sorted(row for share in judged for row in share if row >= 0) == SPLIT_ROWS["val"]


def test_what_fills_a_share_up_counts_nowhere(path, monkeypatch):
    monkeypatch.setattr(loading, "rank_and_world_size", lambda: (1, 2))
    (*_, last) = make(path).loader("val")  # 7 rows: the second process has one too few
    assert last.rows.tolist()[-1] == -1
    assert last.targets["letter"]["label"].tolist()[-1] == UNLABELLED


def test_a_pass_can_begin_behind_what_was_seen_already(path):
    whole = orders(make(path, seed=4).train_dataloader(), 2)
    loader = make(path, seed=4).train_dataloader()
    loader.sampler.skip_once(Seen(8, 1))
    assert orders(loader, 2) == [whole[0][8:], whole[1]]


def test_a_loader_that_failed_does_not_make_anybody_wait(path):
    class Breaking(Letters):
        def prepare(self, raw):
            if len(raw) == 4:
                raise DataError("broken")
            return super().prepare(raw)

    def fail():
        loader = make(path, {"text": Breaking()}, num_workers=1, eval_batch_size=1).loader("test")
        with pytest.raises(DataError, match="broken") as caught:
            list(loader)
        assert caught.type is DataError  # held by this frame, which its traceback holds: the collector's business

    fail()
    began = time.monotonic()
    gc.collect()
    assert time.monotonic() - began < 3  # torch's loader waits for 5 s


@pytest.mark.parametrize("seed", [0, -5, 2**40])
def test_any_seed_gives_a_permutation(seed):
    assert sorted(SeededSampler(range(50), seed)) == list(range(50))


def test_an_epoch_of_one_seed_is_not_the_next_epoch_of_the_seed_before():
    def order(seed, epoch):
        sampler = SeededSampler(range(50), seed)
        sampler.set_epoch(epoch)
        return tuple(sampler)

    assert len({order(seed, epoch) for seed in range(5) for epoch in range(5)}) == 25


# options


def test_loaders_are_made_as_asked(path):
    loader = make(path, num_workers=2, pin_memory=False).train_dataloader()
    assert (loader.num_workers, loader.persistent_workers, loader.pin_memory, loader.drop_last) == (
        2,
        True,
        False,
        False,
    )
    data = make(path, num_workers=None)
    assert (data.num_workers, data.eval_batch_size) == (default_workers(), 4)
    assert data.pin_memory == torch.cuda.is_available()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "data.batch_size=0: it must be a whole number, 1 or more"),
        ({"batch_size": 2.5}, "data.batch_size=2.5"),
        ({"eval_batch_size": -1}, "data.eval_batch_size=-1"),
        ({"num_workers": -1}, "data.num_workers=-1: it must be a whole number, 0 or more"),
        ({"splits": {"train": "train", "test": "test"}}, "data.splits needs 'val'"),
        ({"splits": {"train": None, "val": "val"}}, "data.splits needs 'train'"),
        (
            {"splits": {"train": "train", "val": "val", "test": "val"}},
            "data.splits.val and data.splits.test are both 'val'.*or do without it: data.splits.test=null",
        ),
        ({"splits": {"train": "train", "val": "train"}}, "data.splits.train and data.splits.val are both 'train'"),
    ],
)
def test_options_that_make_no_sense(options, message, path):
    with pytest.raises(ConfigError, match=message):
        make(path, **options)


def test_a_split_without_rows_is_told_with_the_nearest_value(path):
    message = (
        r"m.csv has no row whose 'split' is 'tset' \(data.splits.test\). Did you mean 'test'\? Choices: train, val"
    )
    with pytest.raises(DataError, match=message) as caught:
        make(path, splits={"train": "train", "val": "val", "test": "tset"})
    assert str(caught.value).endswith(
        "or draw it from train: data.split.test=0.1, or do without it: data.splits.test=null."
    )


def test_a_split_column_that_is_not_there(path):
    with pytest.raises(
        DataError, match="has no column 'fold'. .*Columns: text, label, split.*data.columns.split=COLUMN"
    ):
        make(path, columns={"split": "fold"})


def test_a_modality_without_a_column_is_told_with_the_way_out(path):
    message = "no column 'image'.*Columns: text, label, split. .*data.columns.image=COLUMN, or leave .* with image=none"
    with pytest.raises(DataError, match=message):
        make(path, processors={"text": Letters(), "image": Pictures()})


def test_a_split_that_is_unknown(path):
    data = make(path)
    for ask in (data.loader, data.dataset, lambda split: data.cells("label", split)):
        with pytest.raises(
            ConfigError, match=r"There is no split 'tset'. Did you mean 'test'\? Choices: train, val, test"
        ):
            ask("tset")


def test_samples_need_encoders_first(path):
    with pytest.raises(InputError, match=r"call bind\(processors, tasks\)"):
        MultimodalData(path).train_dataloader()


# checks of all rows, before the first batch


def test_a_fault_in_any_used_split_is_told_at_once_and_one_in_no_split_never(tmp_path):
    def check(*rows, **options):
        (tmp_path / "m.csv").write_text("\n".join(["text,image,label,split", *rows]) + "\n")
        make(tmp_path / "m.csv", {"text": Letters(), "image": Pictures()}, **options)

    (tmp_path / "a.png").write_bytes(b"not looked into")
    good = ["x,,a,train", ",a.png,,val", "x,,b,test"]
    check(*good, ",,c,unused", ",gone.png,,unused")
    with pytest.raises(
        DataError, match=r"m.csv, row 4 \(line 5\): every modality is missing \(text, image are empty\)"
    ):
        check(*good, ",,a,test")
    with pytest.raises(DataError, match=r"m.csv, row 4 \(line 5\), column 'label': the label 'c' is no class"):
        check(*good, "x,,c,val")
    with pytest.raises(DataError, match=r"m.csv, row 4 \(line 5\), column 'image': there is no file .*gone.png"):
        check(*good, "x,gone.png,a,train")
    check(*good, "x,gone.png,a,train", check_files=False)


def test_manifest_yaml_names_every_option_with_its_default(path):
    file = Path(__file__).parents[2] / "conf" / "data" / "manifest.yaml"
    config = OmegaConf.load(file)
    config.path = str(path)
    options = OmegaConf.to_container(config)
    assert options.pop("_target_") == "mmbert.data.datamodule.MultimodalData"
    from_yaml, by_default = MultimodalData(**options), MultimodalData(path)
    assert [from_yaml.column_of(name) for name in ("text", "image", "audio")] == ["text", "image", "audio"]
    for name in ("splits", "batch_size", "eval_batch_size", "num_workers", "pin_memory", "check_files", "seed"):
        assert getattr(from_yaml, name) == getattr(by_default, name), name
