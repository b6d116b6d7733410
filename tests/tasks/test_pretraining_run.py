"""Pre-training from the command to the files of a run: what begins with its encoders, kills, and two processes."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import torch.multiprocessing as mp
from PIL import Image
from safetensors.torch import load_file

from mmbert.core.types import Batch, rows_of
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.mean import MeanFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.mlm import MaskedLanguageModel
from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.loss_weights import LossWeights
from mmbert.training.module import FusionModule

pytestmark = pytest.mark.slow

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
SMALL = ("text=tiny", "trainer=cpu", "trainer.max_epochs=2", "data.num_workers=0", "data.batch_size=8")
SMALL += ("logger=csv", "plots=false", "fusion.out_dim=16")
TABLE = ("data=manifest", "data.path=t.jsonl", "audio=none")


@pytest.fixture(scope="module")
def mmbert(tmp_path_factory):
    """``mmbert(command, *words)``: what a command prints, beside a table of coloured squares and a file of texts."""
    folder = tmp_path_factory.mktemp("pretraining")
    random, rows = np.random.default_rng(0), []
    for number in range(54):
        name = list(COLOURS)[number % 3]
        pixels = np.array(COLOURS[name]) + random.integers(-20, 20, (16, 16, 3))
        Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(folder / f"{number}.png")
        row = {"text": f"square {number} is {name}", "image": f"{number}.png", "colour": name}
        soundfile.write(folder / f"{number}.wav", 0.1 * random.standard_normal(6000), 16000)
        row["audio"] = f"{number}.wav"
        row["regions"] = np.eye(4)[random.integers(4, size=5)].tolist()
        rows.append({**row, "split": ["train"] * 4 + ["val", "test"]})
        rows[-1]["split"] = rows[-1]["split"][number // 9]
    pd.DataFrame(rows).to_json(folder / "t.jsonl", orient="records", lines=True)
    (folder / "texts.txt").write_text("\n".join(row["text"] for row in rows))

    def run(command, *given):
        program = [sys.executable, "-m", f"mmbert.cli.{command}", *given]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
        done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    run.folder = folder
    return run


def measured(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture(scope="module")
def pretrained(mmbert):
    """A run of masked language modelling on plain text."""
    mmbert("train", "task=mlm", "data=text", "data.path=texts.txt", *SMALL, "hydra.run.dir=pretrained")
    return mmbert.folder / "pretrained"


def test_a_classifier_begins_with_the_pretrained_encoder(mmbert, pretrained):
    assert 0 <= measured(pretrained)["test/mlm/accuracy"] <= 1 < measured(pretrained)["test/mlm/perplexity"]
    labels = ("+task@tasks.colour=classification", "tasks.colour.column=colour", "encoders.text.frozen=true")
    begin = ("image=none", f"encoders_from={pretrained}", "hydra.run.dir=fine")
    said = mmbert("train", *TABLE, *SMALL, *labels, *begin)
    assert f"frozen, from {pretrained}" in said.replace("\n", "")
    before = load_file(pretrained / "model" / "model.safetensors")
    after = MultimodalModel.from_pretrained(mmbert.folder / "fine" / "model").encoders["text"].state_dict()
    assert after and all(torch.equal(tensor, before[f"encoders.text.{name}"]) for name, tensor in after.items())
    assert 0 <= measured(mmbert.folder / "fine")["test/colour/accuracy"] <= 1
    answer = json.loads(mmbert("predict", "model=fine", "text=square 3 is red", "--json"))
    assert answer["colour"]["prediction"] in COLOURS


def test_a_language_model_with_pictures_and_matching(mmbert):
    table = pd.read_json(mmbert.folder / "t.jsonl", lines=True)
    table.loc[::4, "image"] = None  # a text alone is no pair, and has no answer
    table.to_json(mmbert.folder / "gaps.jsonl", orient="records", lines=True)
    both = ("task=mlm", "+task@tasks.matching=matching", "tasks.matching.duplicates=text", "image=tiny")
    mmbert("train", *TABLE, "data.path=gaps.jsonl", *SMALL, *both, "hydra.run.dir=both")
    answers = pd.read_parquet(mmbert.folder / "both" / "predictions" / "test.parquet").set_index("row")
    assert (answers["matching/probabilities"].isna() == table["image"].isna()[answers.index]).all()
    found = measured(mmbert.folder / "both")
    assert {"test/mlm/perplexity", "test/matching/accuracy", "test/matching/auroc"} <= set(found)
    words = ("model=both", "text=square 3 is [MASK]", "image=3.png", "--json")
    answer = json.loads(mmbert("predict", *words))
    assert answer["matching"]["prediction"] in ("match", "mismatch") and len(answer["mlm"]["candidates"]) == 1


def test_masked_features_of_a_table(mmbert):
    features = ("image=none", "+features@encoders.regions=sequence", "task=masked_features")
    mmbert("train", *TABLE, *SMALL, *features, "tasks.masked_features.modality=regions", "hydra.run.dir=features")
    assert measured(mmbert.folder / "features")["test/masked_features/r2"] < 1
    mmbert("evaluate", "model=features", "split=val", "out=judged")
    again = json.loads((mmbert.folder / "judged" / "evaluation.json").read_text())
    assert again["val/masked_features/loss"] == pytest.approx(
        measured(mmbert.folder / "features")["val/loss"], rel=1e-5
    )


def test_masked_pictures_and_then_a_classifier_that_begins_with_their_encoder(mmbert):
    words = ("task=masked_features", "image=tiny", "tasks.masked_features.span=1", "hydra.run.dir=patches")
    mmbert("train", *TABLE, *SMALL, *words, "trainer.max_epochs=6")
    found = measured(mmbert.folder / "patches")
    assert found["test/masked_features/r2"] > 0.2, found  # the squares have one colour each
    labels = ("+task@tasks.colour=classification", "tasks.colour.column=colour", "encoders.image.frozen=true")
    mmbert("train", *TABLE, *SMALL, *labels, "image=tiny", "encoders_from=patches", "hydra.run.dir=fine_pictures")
    before = load_file(mmbert.folder / "patches" / "model" / "model.safetensors")
    after = MultimodalModel.from_pretrained(mmbert.folder / "fine_pictures" / "model").encoders["image"].state_dict()
    assert after and all(torch.equal(tensor, before[f"encoders.image.{name}"]) for name, tensor in after.items())


def test_masked_sounds_with_texts_as_context_beside_masked_words(mmbert):
    heard = ("audio=tiny", "image=none", "task=mlm", "+task@tasks.heard=masked_features", "tasks.heard.modality=audio")
    sounds = ("data=manifest", "data.path=t.jsonl", "tasks.heard.share=0.3")
    mmbert("train", *sounds, *SMALL, *heard, "hydra.run.dir=frames")
    found = measured(mmbert.folder / "frames")
    assert {"test/heard/r2", "test/heard/loss", "test/mlm/perplexity"} <= set(found)


TWO = ("trainer.devices=2", "trainer.strategy=ddp_find_unused_parameters_true", "data.batch_size=4")


def test_masked_pictures_over_two_processes_are_measured_as_in_one(mmbert):
    """Unequal numbers of hidden patches in the two, and nine rows of test for them."""
    words = ("task=masked_features", "image=tiny", "tasks.masked_features.span=1", "trainer.max_epochs=1")
    mmbert("train", *TABLE, *SMALL, *words, *TWO, "hydra.run.dir=two_masked")
    found = measured(mmbert.folder / "two_masked")
    mmbert("evaluate", "model=two_masked", "split=test", "out=two_masked_judged")
    again = json.loads((mmbert.folder / "two_masked_judged" / "evaluation.json").read_text())
    for name in ("test/masked_features/loss", "test/masked_features/r2"):
        assert again[name] == pytest.approx(found[name], rel=1e-4, abs=1e-5), name


def test_hard_negatives_over_two_processes(mmbert):
    """Each process has negatives of its own batch; the gallery of the retrieval task is that of both."""
    mmbert("train", *KILLED["hard_matching"], *SMALL, *TWO, "trainer.max_epochs=1", "hydra.run.dir=two_hard")
    found = measured(mmbert.folder / "two_hard")
    assert 0 <= found["test/matching/accuracy"] <= 1 and np.isfinite(found["test/matching/loss"])
    mmbert("evaluate", "model=two_hard", "split=test", "out=two_hard_judged")
    again = json.loads((mmbert.folder / "two_hard_judged" / "evaluation.json").read_text())
    ranks = [name for name in found if name.startswith("test/pairs/") and "recall" in name]
    assert ranks and {name: again[name] for name in ranks} == pytest.approx({name: found[name] for name in ranks})


KILLED = {
    "mlm": ("task=mlm", "data=text", "data.path=texts.txt"),
    "pictures": ("task=masked_features", "image=tiny", *TABLE),
    "hard_matching": (*TABLE, "image=tiny", "task=matching", "+task@tasks.pairs=retrieval")
    + ("tasks.matching.negatives=hard", "tasks.matching.duplicates=text"),
}


@pytest.mark.parametrize("which", KILLED)
def test_a_run_that_is_killed_ends_with_the_weights_of_one_that_is_not(mmbert, what_is_left, which):
    words = (*KILLED[which], *SMALL, "trainer.max_epochs=4", "data.batch_size=4")
    words += ("checkpoint.every_minutes=0.0000001", "trainer.log_every_n_steps=1")
    mmbert("train", *words, f"hydra.run.dir=whole_{which}")
    folder = mmbert.folder / f"killed_{which}"
    folder.mkdir()

    def started(*given):
        with (folder / "log.txt").open("a") as log:
            command = [sys.executable, "-m", "mmbert.cli.train", *given]
            where = {"cwd": mmbert.folder, "env": {**os.environ, "OMP_NUM_THREADS": "1"}}
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **where)

    checkpoint, kills, seen = folder / "checkpoints" / "last.ckpt", 0, 0
    process = started(*words, f"hydra.run.dir={folder}")
    for saves in (3, 6):
        last = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
        seen = 0
        while process.poll() is None and seen < saves:
            written = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
            seen, last = seen + (written is not None and written != last), written
            time.sleep(0.001)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
        process = started(f"resume={folder}")
    assert process.wait(timeout=300) == 0, (folder / "log.txt").read_text()
    assert kills, "no kill came between the first checkpoint and the end"
    expected, got = what_is_left(mmbert.folder / f"whole_{which}"), what_is_left(folder)
    for part in expected:
        assert got[part] == expected[part], part


TEXTS = ["a", "the dog plays in the park with a ball", None, "cat", "it rains again and again today", "yes it is"]


class Step(FusionModule):
    """Takes losses without a trainer."""

    def _show_loss(self, loss):
        self.shown = loss


def module():
    torch.manual_seed(0)
    encoders = {"text": TextEncoder("tiny", pretrained=False), "pose": FeatureEncoder(5)}
    for layer in encoders["text"].modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    dims = {name: encoder.out_dim for name, encoder in encoders.items()}
    tasks = {"mlm": MaskedLanguageModel(8, dims, share=0.3)}
    model = MultimodalModel(encoders, MeanFusion(dims, 8, dropout=0.0), tasks)
    with torch.no_grad():
        tasks["mlm"].context.weight.normal_()
    return Step(model, FixedBalance(tasks), lambda *parts: None, None)


def whole_batch(model):
    """All samples, of which one lacks its text, with their tokens hidden."""
    generator = torch.Generator().manual_seed(1)
    pose = [torch.randn(3, 5, generator=generator) for _ in TEXTS]
    inputs = {
        "text": model.encoders["text"].processor.collate(TEXTS),
        "pose": model.encoders["pose"].processor.collate(pose),
    }
    task = model.tasks["mlm"]
    targets = task.collate([True] * len(TEXTS))
    changed, found = task.change_inputs({"text": inputs["text"]}, range(len(TEXTS)), targets)
    return Batch({**inputs, **changed}, {"mlm": {**targets, **found}}, torch.arange(len(TEXTS)))


def gradients(rows):
    """Of the step's loss, and the module's own count of hidden tokens, where a process has these rows."""
    made = module()
    batch = whole_batch(made.model)
    mine = Batch(rows_of(batch.inputs, rows), rows_of(batch.targets, rows), batch.rows[rows])
    counts = made._counts(mine)
    made.window = SimpleNamespace(current=LossWeights([counts], 1))
    made.training_step(mine, 0).backward()
    return {name: p.grad for name, p in made.model.named_parameters() if p.grad is not None}, counts["mlm"]


def half(rank, folder):
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    found, count = gradients(torch.tensor([0, 2]) if rank == 0 else torch.tensor([1, 3, 4, 5]))
    for gradient in found.values():
        dist.all_reduce(gradient)
        gradient /= 2  # as DistributedDataParallel does
    torch.save({"gradients": found, "count": float(count)}, f"{folder}/of_process{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_with_unequal_numbers_of_hidden_tokens_take_the_step_of_one(tmp_path):
    mp.spawn(half, args=(str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"of_process{rank}.pt", weights_only=True) for rank in (0, 1))
    expected, count = gradients(torch.arange(len(TEXTS)))
    assert first["count"] + second["count"] == float(count) and first["count"] == 1
    assert set(first["gradients"]) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(
            first["gradients"][name], gradient, rtol=1e-4, atol=1e-6, msg=lambda m, name=name: f"{name}: {m}"
        )
