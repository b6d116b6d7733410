"""The samples that a variant is traced, calibrated, timed and judged by."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import torch
from omegaconf import DictConfig

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.types import Batch, Inputs, rows_of
from mmbert.data.datamodule import MultimodalData
from mmbert.deploy.trial_inputs import traceable_rows
from mmbert.model import MultimodalModel
from mmbert.training.instantiate import make
from mmbert.training.task_configs import class_column_of


def bound(model: MultimodalModel, cfg: DictConfig, split: str, batch_size: int | None = None) -> MultimodalData:
    """A split of the data, prepared for a model. What frozen encoders gave earlier is not used: they are measured too.

    Args:
        model: any.
        cfg: the config's ``data``.
        split: which.
        batch_size: None = the config's.

    Raises:
        MmbertError: the table cannot be used.
    """
    tasks, encoders = model.named_tasks(), model.named_encoders()
    given = {} if batch_size is None else {"eval_batch_size": batch_size, "num_workers": 0}
    data: MultimodalData = make(cfg, seed=0, label=class_column_of(tasks), augment=None, drop=[], only=[split], **given)
    columns = {name: data.column_of(name) for name in encoders if data.has_column(data.column_of(name))}
    for task in tasks.values():
        task.set_input_columns(columns)
    processors = {name: encoder.processor for name, encoder in encoders.items()}
    data.bind(processors, {name: task.without_weights() for name, task in tasks.items()})
    return data


def judged_batches(model: MultimodalModel, cfg: DictConfig, split: str) -> Iterator[Batch]:
    """The batches of a split for a model."""
    yield from bound(model, cfg, split).loader(split)


def complete(batch: Batch) -> bool:
    """Whether all samples of a batch are real and have every modality."""
    there = torch.stack([tensors["mask"].flatten(1).any(1) for tensors in batch.inputs.values()])
    return bool(there.all()) and bool((batch.rows >= 0).all())


def timed_inputs(
    model: MultimodalModel, cfg: DictConfig, split: str, batch_size: int, count: int
) -> list[Mapping[str, Inputs]]:
    """Prepared tensors of the first full batches of a split, those in which no modality is missing if there are any.

    Of a split with fewer samples than one batch some come several times.

    Raises:
        DataError: the split has no sample.
    """
    batches = list(itertools.islice(bound(model, cfg, split, batch_size).loader(split), 8 * count))
    full = [batch for batch in batches if len(batch) == batch_size and bool((batch.rows >= 0).all())]
    chosen = [batch for batch in full if complete(batch)] or full
    if not chosen:
        if not batches:
            raise DataError(f"The split '{split}' has no sample.")
        real = (batches[0].rows >= 0).nonzero().squeeze(1)
        return [rows_of(batches[0].inputs, real[torch.arange(batch_size) % len(real)])]
    return [batch.inputs for batch in chosen[:count]]


def tracing_inputs(model: MultimodalModel, cfg: DictConfig, split: str) -> dict[str, Inputs]:
    """By encoder two samples that have its modality; encoders whose modality no sample has are left out."""
    found: dict[str, Inputs] = {}
    for batch in bound(model, cfg, split, 32).loader(split):
        for name, tensors in batch.inputs.items():
            rows = tensors["mask"].flatten(1).any(1).nonzero().squeeze(1)
            if name not in found and len(rows) >= 2:
                found[name] = rows_of(tensors, rows[:2])
        if len(found) == len(batch.inputs):
            break
    return found


def export_inputs(model: MultimodalModel, cfg: DictConfig, split: str) -> list[dict[str, Inputs]]:
    """Samples of a split by which an export is traced and checked: as many as no sequence is long.

    The tracer takes two sizes that are alike in its example for one and the same: 16 texts of 16 tokens.

    Raises:
        InputError: fewer than two samples are there, or none has one of the modalities.
    """
    batches = list(itertools.islice(judged_batches(model, cfg, split), 1))
    found: list[dict[str, Inputs]] = []
    for count in (16, 15, 14, 13, 11, 9, 7):
        found = traceable_rows(batches, model, count)
        size = len(next(iter(found[0].values()))["mask"])
        if all(size not in tensors["mask"].shape[1:] for tensors in found[0].values()):
            break
    return found


def calibration_inputs(model: MultimodalModel, cfg: DictConfig, count: int) -> list[Mapping[str, Inputs]]:
    """Training samples, in batches of eight, as far as all of a batch's modalities are there.

    Raises:
        ConfigError: there is no training split.
    """
    splits = cfg.get("splits")
    if splits is not None and splits.get("train") is None:
        raise ConfigError("int8_onnx needs training samples, and the data have no train split: calibration=0.")
    batches = bound(model, cfg, "train", 8).loader("train")
    return [batch.inputs for batch in itertools.islice(batches, max(1, count // 8)) if (batch.rows >= 0).all()]
