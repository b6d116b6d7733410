"""A run's use of the store: what is reused, what is computed first, and the line that reports it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from rich.progress import Progress

from mmbert.core.distributed import is_rank_zero
from mmbert.data.datamodule import MultimodalData
from mmbert.model import MultimodalModel
from mmbert.store.fill import ProgressCallback
from mmbert.store.use_store import StoreOptions, StoreUsage, use_store
from mmbert.training.build import build
from mmbert.training.callbacks.console import on_terminal, print_line, quiet
from mmbert.training.instantiate import resolved
from mmbert.training.resources.devices import encoding_device


def read_from_store(
    data: MultimodalData,
    model: MultimodalModel,
    store_cfg: DictConfig,
    trainer_cfg: DictConfig,
    reads_tokens: bool | None = None,
) -> dict[str, StoreUsage]:
    """Computes what the store lacks of a run's samples, and lets the data read from the store.

    Args:
        data: bound to the model.
        model: whose frozen encoders are stored.
        store_cfg: the config's ``store``.
        trainer_cfg: the config's ``trainer``, which says where encoders run.
        reads_tokens: whether the data give token sequences; None = if the model reads them.

    Returns:
        What was reused and computed, by encoder name; empty if the store is not enabled.
    """
    options = StoreOptions(**resolved(store_cfg))
    device = encoding_device(trainer_cfg)
    usage = use_store(
        data, model, options, device, progress_bar, print_line, record=is_rank_zero(), reads_tokens=reads_tokens
    )
    if any(one.what is not None for one in usage.values()):
        print_line(f"store     {' · '.join(usage_text(name, one) for name, one in usage.items())}")
    return usage


def fill_store(cfg: DictConfig, all_tokens: bool = False) -> tuple[MultimodalData, dict[str, StoreUsage]]:
    """Computes what a run would store before it trains.

    Args:
        cfg: of the run.
        all_tokens: the data give token sequences, even if the run's fusion reads none.

    Returns:
        The run's data, which read from the store, and what was reused and computed, by encoder name.
    """
    quiet()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    parts = build(cfg)
    return parts.data, read_from_store(parts.data, parts.model, cfg.store, cfg.trainer, all_tokens or None)


def usage_text(name: str, usage: StoreUsage) -> str:
    """``image 5,968 reused``."""
    if usage.what is None:
        return f"{name} not stored: {usage.reason}"
    parts = []
    if usage.reused:
        parts.append(f"{usage.reused:,} reused")
    if usage.computed:
        parts.append(
            f"{usage.computed:,} {'encoded' if usage.what == 'tokens' else 'prepared'} in {usage.seconds:.1f} s"
        )
    if usage.left_out:
        parts.append(f"{usage.left_out:,} left out ({usage.reason})")
    return f"{name} {', '.join(parts) or 'nothing to keep'}"


@contextmanager
def progress_bar(what: str, count: int) -> Iterator[ProgressCallback]:
    """A progress bar on a terminal, nothing elsewhere."""
    if not on_terminal() or not is_rank_zero():
        yield lambda done: None
        return
    with Progress(transient=True) as progress:
        task = progress.add_task(what, total=count)
        yield lambda done: progress.advance(task, done)


def moving_on(things: Iterable[Any], shown: ProgressCallback) -> Iterator[Any]:
    """Some things as they are; each moves a progress bar on once it has been used."""
    for thing in things:
        yield thing
        shown(1)
