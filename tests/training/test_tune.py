"""A task that tunes sees every labelled sample of val once, in the table's order; its choice is used and kept."""

import json
import multiprocessing
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
import torch.distributed as dist

from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification
from mmbert.training.run import run
from mmbert.training.tune import tune_tasks
from mmbert.training.tuning_samples import TuningSamples

COVERS = ("tuning_samples",)
SEEN: list[list] = []


class Thresholded(Classification):
    """Answers with the share of val whose label is the first class."""

    tunes = True

    def __init__(self, in_dim, column, classes, **options):
        super().__init__(in_dim, column, classes, **options)
        self.register_buffer("share", torch.tensor(-1.0))

    def tuning_data(self, state, outputs, targets):
        assert not self.training
        return self.decode(targets)

    def tune(self, samples):
        SEEN.append(list(samples))
        self.share.fill_(samples.count(self.classes[0]) / len(samples))
        return {"share": round(self.share.item(), 6)}

    def predict(self, state, outputs):
        return [{**answer, "share": self.share.item()} for answer in super().predict(state, outputs)]


def test_a_run_tunes_on_val_before_it_measures_and_saves_the_choice(compose_tiny, tmp_path, digits):
    SEEN.clear()
    cfg = compose_tiny("logger=none", "trainer.max_epochs=1", "data.eval_batch_size=5")
    cfg.tasks.operation._target_ = f"{__name__}.Thresholded"
    sys.modules.setdefault(__name__, sys.modules[Thresholded.__module__])
    run(cfg, tmp_path)
    table = pd.read_csv(digits)
    labels = table.loc[table["split"] == "val", "operation"].tolist()
    assert [labels] == SEEN  # once, whole, in the table's order, and nothing of test
    facts = json.loads((tmp_path / "metrics.json").read_text())
    model = MultimodalModel.from_pretrained(tmp_path / "model", trust_custom_code=True)
    task = model.named_tasks()["operation"]
    share = labels.count(task.classes[0]) / len(labels)
    assert facts["tuned"] == {"operation": {"share": round(share, 6)}}
    assert task.share.item() == pytest.approx(share)
    assert model.predict([{"text": "Add the two numbers."}])[0]["operation"]["share"] == pytest.approx(share)


class Tuned(torch.nn.Module):
    """Remembers what it was given."""

    def __init__(self, tunes=True):
        super().__init__()
        self.tunes = tunes

    def tuning_data(self, state, outputs, targets):
        return targets

    def tune(self, samples):
        return {"seen": samples}


def batch_of(rows, **targets):
    return SimpleNamespace(rows=torch.tensor(rows), targets=targets)


OUTPUT = SimpleNamespace(state=None, outputs={"a": None, "b": None})


def test_copies_and_unlabelled_samples_are_left_out_and_rows_are_in_order():
    samples = TuningSamples()
    tasks = {"a": Tuned(), "b": Tuned(tunes=False)}
    samples.add(tasks, OUTPUT, batch_of([7, 3, -1], a=["seven", None, "copy"]))
    samples.add(tasks, OUTPUT, batch_of([2, 7], a=["two", "seven"]))
    assert samples.gather() == {"a": ["two", "seven"]}


def test_nothing_runs_where_no_task_tunes():
    module = SimpleNamespace(tasks={"b": Tuned(tunes=False)})
    assert tune_tasks(module, None, None) == {}


def test_a_task_without_labels_in_val_keeps_what_it_has_and_the_module_measures_again():
    module = SimpleNamespace(tasks={"a": Tuned(), "b": Tuned()}, tuning=None)

    def test(given, dataloaders, verbose):
        assert dataloaders == "val" and trainer.loggers == []
        given.tuning.add(given.tasks, OUTPUT, batch_of([1, 0], a=[None, None], b=["x", "y"]))

    trainer = SimpleNamespace(test=test, loggers=["logger"])
    data = SimpleNamespace(loader=lambda split: split)
    assert tune_tasks(module, trainer, data) == {"b": {"seen": ["y", "x"]}}
    assert module.tuning is None and trainer.loggers == ["logger"]


def one_process(rank, folder, results):
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    samples = TuningSamples()
    if rank:  # the other process has met no sample of the task
        samples.add({"a": Tuned()}, OUTPUT, batch_of([5, 1], a=["five", "one"]))
    results.put(samples.gather())
    dist.destroy_process_group()


@pytest.mark.slow
def test_all_processes_choose_on_the_same_samples(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=one_process, args=(rank, tmp_path, results)) for rank in range(2)]
    for process in processes:
        process.start()
    assert [results.get(timeout=60) for _ in processes] == [{"a": ["one", "five"]}] * 2
    for process in processes:
        process.join()
