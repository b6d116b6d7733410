"""Shards and Parquet files read by several processes, of which one is killed in mid-epoch, and gone on with by others.

Every process notes which rows it has trained on. What counts is what the checkpoint knows of, and what came after it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch

from packed_sets import packed, write_table

pytestmark = pytest.mark.slow

#: A callback that writes each batch's epoch and rows, one line a batch, into a file of the process.
NOTES = """\
import os
from pathlib import Path
from pytorch_lightning.callbacks import Callback


class Notes(Callback):
    def on_train_batch_start(self, trainer, module, batch, index):
        rows = ",".join(map(str, batch.rows.tolist()))
        with (Path(trainer.default_root_dir) / f"rows{trainer.world_size}_{trainer.global_rank}.txt").open("a") as file:
            file.write(f"{trainer.current_epoch} {rows}\\n")
"""
TRAIN, EPOCHS = 64, 3
WORDS = (
    *("text=tiny", "image=tiny", "audio=none", "fusion=mean", "fusion.dropout=0", "logger=none", "plots=false"),
    *("+task@tasks.letter=classification", "tasks.letter.column=label", "tasks.letter.dropout=0"),
    *("trainer.strategy=ddp_find_unused_parameters_true", "trainer.accelerator=cpu", "trainer.devices=2"),
    *("data.batch_size=4", "data.num_workers=1", "data.shuffle_buffer=16", f"trainer.max_epochs={EPOCHS}"),
    *("callbacks.early_stopping.patience=9", "checkpoint.every_minutes=0.0000001", "store.enabled=false"),
    "+callbacks.notes._target_=row_notes.Notes",
)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """The words of the same table in shards and in Parquet files of several row groups."""
    folder = tmp_path_factory.mktemp("sets")
    table = write_table(folder / "loose", train=TRAIN, val=8, test=8)
    packed(table, folder / "shards", most_bytes=12_000)
    assert len(list((folder / "shards").glob("*.tar"))) > 3
    frame = pd.read_csv(table, keep_default_na=False)
    frame["image"] = [
        {"bytes": (table.parent / name).read_bytes(), "path": name} if name else None for name in frame["image"]
    ]
    (folder / "parquet").mkdir()
    for name, split in (("train", "train"), ("validation", "val"), ("test", "test")):
        part = frame[frame["split"] == split].drop(columns=["split", "audio"])
        part.to_parquet(folder / "parquet" / f"{name}.parquet", row_group_size=11, index=False)
    return {
        "shards": ("data=webdataset", f"data.path={folder / 'shards'}"),
        "parquet": ("data=huggingface", f"data.path={folder / 'parquet'}", "data.streaming=true"),
    }


def started(folder, *words):
    (folder / "row_notes.py").write_text(NOTES)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "mmbert.cli.train", *words]
    with (folder / "log.txt").open("a") as log:
        where = {"cwd": folder, "env": environment, "stdout": log, "stderr": log}
        return subprocess.Popen(command, start_new_session=True, **where)


def noted(run, world):
    """By process, the epoch and the rows of each batch."""
    files = [run / f"rows{world}_{rank}.txt" for rank in range(world)]
    lines = [file.read_text().splitlines() if file.is_file() else [] for file in files]
    split = [[line.split() for line in each] for each in lines]
    return [[(int(epoch), [int(row) for row in rows.split(",")]) for epoch, rows in each] for each in split]


def progress(checkpoint: Path):
    """The epoch that a checkpoint goes on with, and how many batches of it each process had seen."""
    state = torch.load(checkpoint, weights_only=True)
    batches = state["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    return (state["epoch"] + 1, 0) if batches["is_last_batch"] else (state["epoch"], batches["current"]["ready"])


def kill_second(process):
    """Kills the process of rank 1; the others end by themselves."""
    children = psutil.Process(process.pid).children(recursive=True)
    ranks = [child for child in children if "mmbert.cli.train" in " ".join(child.cmdline())]
    second = next(child for child in ranks if child.environ().get("LOCAL_RANK") == "1")
    second.kill()
    assert process.wait(timeout=90) != 0


@pytest.mark.parametrize("count", [2, 1, 4])
@pytest.mark.parametrize("kind", ["shards", "parquet"])
def test_each_sample_of_the_epoch_comes_once(sets, tmp_path, kind, count):
    run = tmp_path / "run"
    process, checkpoint = started(tmp_path, *sets[kind], *WORDS, f"hydra.run.dir={run}"), run / "checkpoints/last.ckpt"
    try:
        while process.poll() is None:
            if checkpoint.is_file() and progress(checkpoint) >= (1, 2):
                kill_second(process)
            time.sleep(0.002)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert f"Go on with: mmbert-train resume={run}" in (tmp_path / "log.txt").read_text()
    epoch, batches = progress(checkpoint)
    before = [row for own in noted(run, 2) for _, rows in [b for b in own if b[0] == epoch][:batches] for row in rows]
    begun = [len(own) for own in noted(run, count)]
    resumed = started(tmp_path, f"resume={run}", f"trainer.devices={count}", "trust_custom_code=true")
    assert resumed.wait(timeout=300) == 0, (tmp_path / "log.txt").read_text()
    after = [batch for own, first in zip(noted(run, count), begun, strict=True) for batch in own[first:]]
    for which in range(epoch, EPOCHS):
        rows = Counter(row for number, batch in after if number == which for row in batch)
        rows.update(before if which == epoch else [])
        copies = rows.pop(-1, 0)  # of the first epoch after another number of processes: they fill up a step
        assert len(rows) == TRAIN and set(rows.values()) == {1}, (which, epoch, batches, rows)
        assert copies < 8
    assert json.loads((run / "metrics.json").read_text())["test/letter/loss"] > 0
