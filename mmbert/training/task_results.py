"""Each task measured with its own checkpoint (``checkpoint.per_task=true``), and a saved model for each."""

from __future__ import annotations

from mmbert.core.distributed import is_rank_zero
from mmbert.data.datamodule import MultimodalData
from mmbert.model import MultimodalModel
from mmbert.runs.folder import RunFolder
from mmbert.training.callbacks.task_checkpoints import kept_for_tasks
from mmbert.training.fit import load_checkpoint, log_at, measured_split
from mmbert.training.results import Results
from mmbert.training.trainer import Training
from mmbert.training.tune import tune_tasks


def tasks_with_checkpoints(training: Training) -> set[str]:
    """The tasks that have a checkpoint of their own."""
    return {saver.task for saver in kept_for_tasks(training.trainer.checkpoint_callbacks)}


def measure_tasks(training: Training, data: MultimodalData, results: Results, folder: RunFolder) -> None:
    """Measures every task that has a checkpoint of its own with that one, and saves the model as it was then.

    Its metrics, predictions and notes take the place of those that the run's checkpoint gave; what is of all tasks
    (``SPLIT/loss``, ``SPLIT/loss_sum``, ``SPLIT/mean_loss``, diagnostics) stays that checkpoint's. Afterwards the
    module has the weights that it had before.

    Args:
        training: after the fit, with the weights of the run's checkpoint.
        data: of the run.
        results: what those weights gave; changed in place.
        folder: of the run.
    """
    savers = kept_for_tasks(training.trainer.checkpoint_callbacks)
    if not savers:
        return
    before = {name: tensor.detach().clone() for name, tensor in training.module.state_dict().items()}
    for saver in savers:
        chosen = load_checkpoint(training, saver, saver.chosen_by, folder)
        tuned = tune_tasks(training.module, training.trainer, data)
        if saver.task in tuned:
            results.facts["tuned"] = {**results.facts.get("tuned", {}), saver.task: tuned[saver.task]}
        for split in ["val", *data.test_splits]:
            metrics, table = measured_split(training, data, split)
            own = {key: value for key, value in metrics.items() if key.startswith(f"{split}/{saver.task}/")}
            notes = training.module.notes
            results.notes |= {name: note for name, note in notes.items() if name in own}
            results.metrics |= own
            results.predictions[split].take(saver.task, table)
            if split != "val":
                log_at(training.trainer, own, chosen)
        results.checkpoints[saver.task] = chosen
        save_task_model(training.module.model, saver.task, folder)
    training.module.load_state_dict(before)
    tune_tasks(training.module, training.trainer, data)


def save_task_model(model: MultimodalModel, task: str, folder: RunFolder) -> None:
    """The whole model as it is, in the task's folder; by the first process alone."""
    if is_rank_zero():
        model.card = (
            f"All tasks of the run, with the weights at which the task {task} was best on the validation split."
        )
        model.save_pretrained(folder.model_of(task))
        model.card = None
