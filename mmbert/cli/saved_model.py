"""What commands that look into a saved model share: its data bound to it, its run's folder, words that are numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.cli.evaluate import default_folder, names_in, run_of, test_splits
from mmbert.core.errors import ConfigError
from mmbert.runs.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmbert.data.datamodule import MultimodalData
    from mmbert.model import MultimodalModel


def bound_data(model: MultimodalModel, cfg: Any, split: str) -> MultimodalData:
    """The split of the data, connected to the model; what frozen encoders gave is read from the store.

    Raises:
        MmbertError: the table cannot be used.
    """
    from mmbert.training.callbacks.console import print_notes
    from mmbert.training.instantiate import make
    from mmbert.training.task_configs import class_column_of
    from mmbert.training.use_store import read_from_store

    tasks, encoders = model.named_tasks(), model.named_encoders()
    data: MultimodalData = make(cfg.data, seed=0, label=class_column_of(tasks), augment=None, drop=[], only=[split])
    print_notes(data.notes)
    columns = {name: data.column_of(name) for name in encoders if data.has_column(data.column_of(name))}
    for task in tasks.values():
        task.set_input_columns(columns)
    processors = {name: encoder.processor for name, encoder in encoders.items()}
    data.bind(processors, {name: task.without_weights() for name, task in tasks.items()})
    read_from_store(data, model, cfg.store, cfg.trainer)
    return data


def number_up_to(own: Mapping[str, str], key: str, otherwise: int, most: int) -> int:
    """The value of a word that is a number of things.

    Raises:
        ConfigError: it is none, or out of range.
    """
    given = own.get(key, str(otherwise))
    if not (given.isascii() and given.isdigit()) or int(given) > most:
        raise ConfigError(f"{key}={given}: a whole number from 0 to {most} is wanted.")
    return int(given)


def one_split(given: str | None, data_cfg: Any) -> str:
    """The split that is explained.

    Raises:
        ConfigError: several are named, or there is none to choose.
    """
    names = names_in(given) if given is not None else test_splits(data_cfg)[:1]
    if len(names) != 1:
        wrong = f"split={given}" if given is not None else "The data have no test split"
        raise ConfigError(f"{wrong}: one split is measured at a time. Name it: split=val, or split=all for every row.")
    return names[0]


def folder_of_run(folder: Path, other_data: bool) -> RunFolder:
    """The run that the model lies in; a new folder for a model of no run, and for data other than the run's own."""
    try:
        run = run_of(folder)
    except ConfigError:
        return RunFolder(default_folder())
    return RunFolder(default_folder()) if other_data else run
