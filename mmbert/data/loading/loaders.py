"""Data loaders: a dataset of samples -> batches, and the checks of the options that loaders have."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from mmbert.core.errors import ConfigError
from mmbert.core.types import Batch
from mmbert.data.loading.collate import Collate
from mmbert.data.loading.dataset import SampleDataset
from mmbert.data.loading.held_split import HeldSplit
from mmbert.data.loading.length_buckets import BucketedOrder, sample_lengths
from mmbert.data.loading.poisson import PoissonBatches
from mmbert.data.loading.samplers import EvaluationSampler, LazyLoader, SeededSampler
from mmbert.data.loading.task_draws import TaskDraws
from mmbert.data.modalities.registry import modality_of


def make_loader(
    dataset: SampleDataset,
    batch_size: int,
    num_workers: int,
    pin_memory: bool,
    seed: int,
    shuffle: bool,
    by_length: bool = False,
    keep_workers: bool = False,
    draws: TaskDraws | None = None,
    poisson: PoissonBatches | None = None,
    order: Sampler[Any] | None = None,
    held: HeldSplit | None = None,
) -> DataLoader[Batch]:
    """Batches of a dataset.

    Args:
        dataset: the samples of one split.
        batch_size: samples a batch, in each process.
        num_workers: processes that read and prepare samples; 0 = this one.
        pin_memory: page-locked batches.
        seed: of the order and of the workers' random numbers.
        shuffle: in an order that depends on the seed and the epoch alone; else in the dataset's own order.
        by_length: with ``shuffle``, samples of similar length come together.
        keep_workers: keep the workers from one epoch to the next.
        draws: with ``shuffle``, how often each sample comes in an epoch; None = once.
        poisson: draws the batches instead of all that; None = nothing does.
        order: of the samples; None = as ``shuffle`` and ``by_length`` say.
        held: the same samples in memory, to be selected from without workers; None = they are read.
    """
    drawn: dict[str, Any] = {"batch_sampler": poisson}
    if poisson is None:
        if order is None and shuffle:
            order = training_order(dataset, seed, batch_size, by_length, draws)
        drawn = {"batch_size": batch_size, "sampler": EvaluationSampler(dataset) if order is None else order}
    # of the workers' own random numbers; without it torch draws from those that dropout draws from
    generator = torch.Generator().manual_seed(seed)
    if held is not None:
        return LazyLoader(held, **drawn, generator=generator, collate_fn=as_it_is, pin_memory=pin_memory)
    return LazyLoader(
        dataset,
        **drawn,
        generator=generator,
        num_workers=num_workers,
        collate_fn=Collate(dataset.processors, dataset.augment, dataset.tasks, dataset.changing),
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0 and keep_workers,
    )


def as_it_is(batch: Batch) -> Batch:
    """Collates what is a batch already."""
    return batch


def training_order(
    dataset: SampleDataset, seed: int, batch_size: int, by_length: bool, draws: TaskDraws | None = None
) -> SeededSampler:
    """The order of the training samples; arguments as those of ``make_loader``."""
    if not by_length:
        return SeededSampler(dataset, seed, with_epoch=True, draws=draws)
    columns = {name: column for name, column in dataset.columns.items() if name not in dataset.drop}
    inputs = {name: modality_of(processor) for name, processor in dataset.processors.items()}
    most = {name: getattr(processor, "max_seconds", None) for name, processor in dataset.processors.items()}
    lengths = sample_lengths(dataset.table, dataset.rows, columns, inputs, most, dataset.taken)
    return BucketedOrder(dataset, seed, lengths, batch_size, with_epoch=True, draws=draws)


def check_loader_options(
    batch_size: int, eval_batch_size: int | None, num_workers: int | None, per_class: int | None = None
) -> None:
    """Refuses numbers that make no loader.

    Raises:
        ConfigError: names the option.
    """
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("eval_batch_size", eval_batch_size, 1),
        ("num_workers", num_workers, 0),
        ("per_class", per_class, 1),
    ):
        if value is not None and (not isinstance(value, int) or value < least):
            raise ConfigError(f"data.{name}={value}: it must be a whole number, {least} or more.")


def default_workers() -> int:
    """One process fewer than the cores this job may use, at most 4."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(0, min(4, cores - 1))
