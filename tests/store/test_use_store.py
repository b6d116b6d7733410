"""Encode once: what is stored is what would be computed, nothing stale is read, and nothing is computed twice."""

import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from mmbert.data.augment.augmentation import Augmentation
from mmbert.store import fill as fill_module
from mmbert.store import locks
from mmbert.store import use_store as use_store_module
from mmbert.store.fill import DiskBudget
from mmbert.store.use_store import StoreOptions, use_store
from mmbert.training.build import build
from mmbert.training.run import run

COVERS = ("fill",)

FROZEN = [f"encoders.{name}.frozen=true" for name in ("text", "image", "audio")]


@pytest.fixture
def make(compose_tiny, tmp_path):
    """``make(*overrides, ...)``: connected data and model, with the store in a folder of the test's own."""

    def make_parts(*overrides, seed=0, augment=None, folder=None, **options):
        cfg = compose_tiny(*FROZEN, *overrides)
        pl.seed_everything(seed, verbose=False)
        parts = build(cfg)
        parts.data.augment = augment
        parts.model.eval()
        uses = use_store(parts.data, parts.model, StoreOptions(dir=str(folder or tmp_path / "store"), **options))
        return parts, uses

    return make_parts


def encoded(parts, split):
    """Every sample's real tokens and vector, in order of rows; encoded batch by batch as the loaders give them."""
    found = {}
    with torch.no_grad():
        for batch in parts.data.loader(split):
            given = parts.model.encode(batch.inputs)
            for place, row in enumerate(batch.rows.tolist()):
                found[row] = {
                    name: (e.tokens[place][e.mask[place]], e.pooled[place], bool(e.present[place]))
                    for name, e in given.items()
                }
    return found


def assert_same(one, other, rtol=1e-5, atol=1e-5):
    assert one.keys() == other.keys()
    for row, parts in one.items():
        for name, (tokens, pooled, present) in parts.items():
            expected = other[row][name]
            assert present == expected[2]
            torch.testing.assert_close(tokens, expected[0], rtol=rtol, atol=atol)
            torch.testing.assert_close(pooled, expected[1], rtol=rtol, atol=atol)


def counts(uses):
    return {name: (use.reused, use.computed) for name, use in uses.items()}


def distinct_texts(parts):
    cells = parts.data.table.column("text", np.unique(np.concatenate(list(parts.data.rows.values()))))
    return len({cell for cell in cells if cell is not None})


def test_stored_tokens_are_those_that_would_be_computed(make, tmp_path):
    stored, uses = make()
    fresh, none = make(enabled=False)
    assert none == {}
    assert {use.what for use in uses.values()} == {"tokens"}
    assert uses["text"].computed == distinct_texts(stored)
    for split in ("train", "val", "test"):
        assert_same(encoded(stored, split), encoded(fresh, split))
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:  # nothing is computed any more
        for encoder in stored.model.encoders.values():
            patch.setattr(encoder, "encode", lambda inputs: pytest.fail("an encoder ran"))
        encoded(stored, "train")


def test_large_samples_pass_the_network_few_at_a_time_and_come_out_the_same(make, monkeypatch):
    fresh, _ = make(enabled=False)
    monkeypatch.setattr(fill_module, "CPU_CHUNK", 3)
    monkeypatch.setattr(fill_module, "LARGE_SAMPLE", 0)
    stored, uses = make()
    assert all(use.computed > fill_module.CPU_CHUNK for use in uses.values())
    for split in ("train", "val", "test"):
        assert_same(encoded(stored, split), encoded(fresh, split))


@pytest.mark.parametrize(
    ("samples", "numbers", "device", "sizes"),
    [
        (20, fill_module.LARGE_SAMPLE, "cpu", [8, 8, 4]),
        (16, fill_module.LARGE_SAMPLE, "cpu", [8, 8]),
        (20, fill_module.LARGE_SAMPLE // 2, "cpu", [20]),
        (20, fill_module.LARGE_SAMPLE, "meta", [20]),  # stands for a GPU
    ],
)
def test_what_passes_a_network_at_once(samples, numbers, device, sizes):
    mask, pixels = torch.ones(samples, 1), torch.arange(samples * numbers).reshape(samples, numbers)
    parts = list(fill_module.device_chunks({"mask": mask, "pixels": pixels}, device))
    assert [len(part["mask"]) for part in parts] == sizes
    if device == "cpu":
        assert torch.equal(torch.cat([part["pixels"] for part in parts]), pixels)


def test_inputs_of_encoders_that_learn_are_kept(make):
    learning = [word.replace("true", "false") for word in FROZEN]
    stored, uses = make(*learning)
    fresh, _ = make(*learning, enabled=False)
    assert {use.what for use in uses.values()} == {"inputs"}
    assert_same(encoded(stored, "train"), encoded(fresh, "train"))
    for batch, other in zip(stored.data.loader("train"), fresh.data.loader("train"), strict=True):
        assert torch.equal(batch.inputs["image"]["pixels"], other.inputs["image"]["pixels"])
        assert torch.equal(batch.inputs["text"]["input_ids"], other.inputs["text"]["input_ids"])
        assert "frames" in batch.inputs["audio"]
    assert all(computed == 0 for _, computed in counts(make(*learning)[1]).values())


@pytest.mark.parametrize(
    "other",
    [
        ["fusion=mean"],
        ["tasks.value.weight=2"],
        ["data.batch_size=5", "data.num_workers=1"],
        ["optimizer.lr=0.1"],
        ["encoders.image.lr_scale=0.1"],
    ],
)
def test_what_changes_no_number_of_an_encoder_reuses_all(make, other):
    _, first = make()
    _, again = make(*other)
    assert counts(again) == {name: (use.computed, 0) for name, use in first.items()}


def test_another_seed_reuses_pretrained_weights(make):
    _, first = make("text=minilm", seed=0)
    _, again = make("text=minilm", seed=1)
    assert first["text"].computed > 0
    assert counts(again)["text"] == (first["text"].computed, 0)


@pytest.mark.parametrize("other", [["encoders.text.pooling=cls"], ["encoders.text.max_tokens=16"]])
def test_what_changes_an_encoders_numbers_computes_them_anew(make, other):
    make()
    stored, uses = make(*other)
    assert uses["text"].reused == 0
    assert uses["image"].computed == uses["audio"].computed == 0
    assert_same(encoded(stored, "val"), encoded(make(*other, enabled=False)[0], "val"))


def test_other_weights_are_never_given_old_tokens(make):
    make(seed=0)
    stored, uses = make(seed=1)  # tiny encoders have random weights
    assert all(reused == 0 for reused, _ in counts(uses).values())
    assert_same(encoded(stored, "val"), encoded(make(seed=1, enabled=False)[0], "val"))


def test_rows_that_are_appended_are_encoded_alone_and_a_changed_file_anew(make, digits, tmp_path):
    shutil.copytree(digits.parent, tmp_path / "set")
    table = tmp_path / "set" / digits.name
    _, first = make(f"data.path={table}")
    lines = table.read_text().splitlines()
    added = [line.replace("train-", "more-", 1) for line in lines[1:4]]  # new rows, contents that are known
    table.write_text("\n".join([*lines, *added]) + "\n")
    _, second = make(f"data.path={table}")
    assert all(computed == 0 for _, computed in counts(second).values())
    images = sorted((tmp_path / "set" / "images").glob("train-*.png"))
    from PIL import Image

    Image.new("RGB", (28, 28), (200, 10, 10)).save(images[0])
    parts, third = make(f"data.path={table}")
    assert counts(third)["image"][1] == 1
    assert counts(third)["audio"][1] == 0
    assert_same(encoded(parts, "train"), encoded(make(f"data.path={table}", enabled=False)[0], "train"))


def test_a_damaged_entry_is_noticed_and_encoded_again(make, tmp_path):
    stored, first = make()
    for ending in ("long", "fixed"):
        for path in (tmp_path / "store" / "tokens" / first["image"].name).glob(f"*.{ending}"):
            content = bytearray(path.read_bytes())
            content[len(content) // 3] ^= 0xFF
            path.write_bytes(content)
    fresh, _ = make(enabled=False)
    damaged, uses = make()
    assert uses["image"].computed == 0  # nobody has looked yet
    for split in ("train", "val", "test"):
        assert_same(encoded(damaged, split), encoded(fresh, split))
    _, mended = make()
    assert 1 <= mended["image"].computed <= 2
    assert make()[1]["image"].computed == 0


def test_augmented_inputs_are_not_stored_and_those_of_other_splits_are(make):
    augment = Augmentation(text={"mask": 0.3})
    stored, uses = make(augment=augment)
    kept = set(stored.data.rows["val"]) | set(stored.data.rows["test"])
    texts = {stored.data.table.cell(int(row), "text") for row in kept} - {None}
    assert uses["text"].computed == len(texts)
    assert next(iter(stored.data.loader("train"))).inputs["text"].keys() >= {"input_ids"}
    assert "stored.pooled" in next(iter(stored.data.loader("val"))).inputs["text"]
    assert "stored.pooled" in next(iter(stored.data.loader("train"))).inputs["image"]


def test_modality_dropout_leaves_the_store_in_use(make):
    stored, _ = make(augment=Augmentation(modality_dropout=0.4))
    batch = next(iter(stored.data.loader("train")))
    missing = sum(int((~part["mask"].any(1)).sum()) for part in batch.inputs.values())
    assert missing > 0
    assert all("stored.pooled" in part for part in batch.inputs.values())


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_half_precision_is_half_the_size(make, tmp_path, dtype, tolerance):
    make()
    whole = sum(path.stat().st_size for path in (tmp_path / "store").rglob("*.long"))
    stored, _ = make(dtype=dtype, folder=tmp_path / "half")
    half = sum(path.stat().st_size for path in (tmp_path / "half").rglob("*.long"))
    assert half == whole / 2
    fresh = encoded(make(enabled=False)[0], "val")
    assert_same(encoded(stored, "val"), fresh, rtol=tolerance, atol=tolerance)


def test_without_room_the_rest_is_computed_every_time(make):
    stored, uses = make(max_gib=1e-5)  # ten kilobytes
    assert sum(use.left_out for use in uses.values()) > 0
    assert {use.reason for use in uses.values() if use.left_out} == {"store.max_gib=1e-05 is used up"}
    assert_same(encoded(stored, "train"), encoded(make(enabled=False)[0], "train"))


@pytest.mark.parametrize(
    ("free", "total", "lack"),
    [(0.5, 200.0, "nearly full: 0.50 GiB are free"), (1.5, 200.0, ""), (0.5, 8.0, ""), (0.3, 8.0, "0.30 GiB are free")],
)
def test_a_disk_is_not_filled_to_the_brim(monkeypatch, tmp_path, free, total, lack):
    # a GiB stays free, or a twentieth of a small disk: 8 GiB / 20 = 0.4 GiB
    usage = shutil._ntuple_diskusage(int(total * 2**30), int((total - free) * 2**30), int(free * 2**30))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    said = DiskBudget(tmp_path, 50).exhausted()
    assert lack in said and bool(said) == bool(lack)


def test_vectors_alone_are_read_where_nobody_reads_tokens(make):
    vectors, _ = make("fusion=concat")
    batch = next(iter(vectors.data.loader("val")))
    assert all("stored.tokens" not in part for part in batch.inputs.values())
    tokens, _ = make("fusion=cross_attention")
    one, other = encoded(vectors, "val"), encoded(tokens, "val")
    for row, parts in one.items():
        for name, (_, pooled, _) in parts.items():
            assert torch.equal(pooled, other[row][name][1])


def fill(make, queue=None):
    _, uses = make()
    if queue is not None:
        queue.put(counts(uses))


def told_by(workers, queue):
    """Starts processes, and gives what each says in a queue before it ends."""
    for worker in workers:
        worker.start()
    told = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    return told


def test_two_processes_share_the_work_and_corrupt_nothing(make):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=fill, args=(make, queue)) for _ in range(2)]
    given = told_by(workers, queue)
    parts, uses = make()
    total = {name: sum(one[name][1] for one in given) for name in uses}
    assert total == {name: use.reused for name, use in uses.items()}  # each was computed once, by one of them
    assert_same(encoded(parts, "train"), encoded(make(enabled=False)[0], "train"))


@pytest.mark.slow
def test_two_processes_encode_different_parts_at_the_same_time(make, monkeypatch):
    monkeypatch.setattr(locks, "ENTRIES_PER_PART", 4)
    fill_tokens = use_store_module.fill_tokens

    def slowly(*args):
        time.sleep(0.2)
        return fill_tokens(*args)

    monkeypatch.setattr(use_store_module, "fill_tokens", slowly)
    context = multiprocessing.get_context("fork")
    queue, start = context.Queue(), context.Barrier(2)

    def together():
        start.wait(30)
        fill(make, queue)

    workers = [context.Process(target=together) for _ in range(2)]
    given = told_by(workers, queue)
    parts, uses = make()
    for name, use in uses.items():
        computed = [one[name][1] for one in given]
        assert sum(computed) == use.reused, name  # each once
        assert all(one[name][0] + one[name][1] == use.reused for one in given), name
    assert all(one["image"][1] > 0 and one["audio"][1] > 0 for one in given)
    assert_same(encoded(parts, "train"), encoded(make(enabled=False)[0], "train"))


def test_a_kill_while_filling_leaves_a_store_that_goes_on(make, tmp_path):
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=fill, args=(lambda: make("data.eval_batch_size=1"),))
    worker.start()
    began = time.monotonic()
    while time.monotonic() - began < 30 and not list((tmp_path / "store").rglob("*.fixed")):
        time.sleep(0.005)
    time.sleep(0.05)
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    parts, uses = make()
    assert uses["text"].reused > 0
    assert sum(use.computed for use in uses.values()) > 0
    assert_same(encoded(parts, "train"), encoded(make(enabled=False)[0], "train"))


@pytest.mark.slow
def test_runs_from_one_store_are_the_same_and_near_one_without(compose_tiny, tmp_path, what_is_left):
    words = [*FROZEN, "fusion.dropout=0", "trainer.max_epochs=1", f"store.dir={tmp_path / 'store'}"]
    ends = {}
    for name, own in (("fills", []), ("reads", ["data.num_workers=1"]), ("without", ["store.enabled=false"])):
        (tmp_path / name).mkdir()
        run(compose_tiny(*words, *own), tmp_path / name)
        ends[name] = what_is_left(tmp_path / name)
    assert ends["fills"] == ends["reads"]
    for metric, value in ends["without"]["metrics"].items():
        if metric.endswith("loss"):
            assert ends["reads"]["metrics"][metric] == pytest.approx(value, rel=1e-3)
    facts = json.loads((tmp_path / "reads" / "metrics.json").read_text())["store"]
    assert facts["image"]["computed"] == 0
    assert facts["image"]["reused"] > 0


def test_each_use_is_written_down(make, tmp_path):
    _, uses = make()
    make()
    folder = tmp_path / "store" / "tokens" / uses["text"].name
    lines = [json.loads(line) for line in (folder / "uses.jsonl").read_text().splitlines()]
    assert [line["computed"] > 0 for line in lines] == [True, False]
    assert Path(lines[0]["data"]).name == "manifest.csv"
    about = json.loads((folder / "about.json").read_text())
    assert about["identity"]["encoder"] == "mmbert.encoders.text.TextEncoder"
