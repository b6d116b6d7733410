"""The store in a run: what was reused and what was computed is said in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only
from rich.console import Console
from rich.progress import Progress

from mmbert.core.distributed import is_rank_zero
from mmbert.data.datamodule import MultimodalData
from mmbert.model import MultimodalModel
from mmbert.store.fill import ProgressCallback
from mmbert.store.use_store import StoreOptions, StoreUsage, use_store
from mmbert.training.build import build
from mmbert.training.callbacks.console import on_terminal, quiet
from mmbert.training.resources.devices import encoding_device


def encode_once(
    data: MultimodalData, model: MultimodalModel, store_cfg: DictConfig, trainer_cfg: DictConfig
) -> dict[str, StoreUsage]:
    """Lets a run's data read from the store, as the config's parts ``store`` and ``trainer`` say.

    Returns:
        What was taken from it, by encoder name.
    """
    options = StoreOptions(**OmegaConf.to_container(store_cfg, resolve=True))  # type: ignore[arg-type]
    uses = use_store(data, model, options, encoding_device(trainer_cfg), bar, told, record=is_rank_zero())
    if any(use.what is not None for use in uses.values()):
        told(f"store     {' · '.join(in_words(name, use) for name, use in uses.items())}")
    return uses


def encode_standalone(cfg: DictConfig, everything: bool = False) -> tuple[MultimodalData, dict[str, StoreUsage]]:
    """What a run would compute before it trains; its data, which read the store, and what was taken from it.

    Args:
        cfg: of the run.
        everything: tokens are read, even if the run's fusion would not.
    """
    quiet()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    parts = build(cfg)
    if everything:
        parts.model.fusion.reads_tokens = True  # type: ignore[misc]
    return parts.data, encode_once(parts.data, parts.model, cfg.store, cfg.trainer)


def in_words(name: str, use: StoreUsage) -> str:
    """``image 5,968 reused``."""
    if use.what is None:
        return f"{name} not stored: {use.reason}"
    parts = [f"{use.reused:,} reused"] if use.reused else []
    parts += [f"{use.computed:,} {'encoded' if use.what == 'tokens' else 'prepared'} in {use.seconds:.1f} s"] * bool(
        use.computed
    )
    parts += [f"{use.left_out:,} left out ({use.reason})"] * bool(use.left_out)
    return f"{name} {', '.join(parts) or 'nothing to keep'}"


@rank_zero_only
def told(line: str) -> None:
    """A line to the terminal."""
    Console(highlight=False).print(f"  {line}", soft_wrap=True)


@contextmanager
def bar(what: str, count: int) -> Iterator[ProgressCallback]:
    """A bar on a terminal, nothing elsewhere."""
    if not on_terminal() or not is_rank_zero():
        yield lambda done: None
        return
    with Progress(transient=True) as progress:
        task = progress.add_task(what, total=count)
        yield lambda done: progress.advance(task, done)
