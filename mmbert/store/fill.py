"""Computes missing entries of an array store and writes them batch by batch: a kill loses only the current batch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmbert.core.errors import DataError, InputError
from mmbert.core.types import Encoded, Inputs
from mmbert.data.loading.cached import BFLOAT16
from mmbert.data.loading.dataset import Sample, SampleDataset
from mmbert.encoders.base import Encoder
from mmbert.store.array_store import ArrayStore, SegmentWriter

#: Bytes of a disk that stay free; of a disk of less than 20 GiB, a twentieth.
MIN_FREE_BYTES = 2**30
#: On the CPU, samples of at least LARGE_SAMPLE numbers are encoded CPU_CHUNK at a time: activations of more do not fit
#: the processor's caches, and memory of such large tensors is returned to the system and cleared again at each layer.
CPU_CHUNK, LARGE_SAMPLE = 8, 2**13
#: Called after each batch with the number of entries that it has done.
ProgressCallback = Callable[[int], None]


@dataclass(frozen=True)
class DiskBudget:
    """How much the store may write to disk.

    Attributes:
        folder: of the store, with all array stores.
        max_gib: their total size at most, in GiB.
    """

    folder: Path
    max_gib: float

    def exhausted(self) -> str:
        """The reason why nothing more may be written; empty while something may."""
        used = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        if used >= self.max_gib * 2**30:
            return f"store.max_gib={self.max_gib:g} is used up"
        disk = shutil.disk_usage(self.folder)
        if disk.free <= min(MIN_FREE_BYTES, disk.total / 20):
            return f"the disk of {self.folder} is nearly full: {disk.free / 2**30:.2f} GiB are free"
        return ""


@dataclass(frozen=True)
class LoaderOptions:
    """How samples are read and encoded.

    Attributes:
        batch_size: samples at a time.
        num_workers: processes that read and prepare them.
        device: of the encoder.
    """

    batch_size: int
    num_workers: int
    device: str


class SkipUnreadable(Dataset[Sample | None]):
    """The samples of a data set, with None in place of unreadable ones where the data set may skip them.

    Args:
        dataset: its ``skip`` decides whether unreadable samples are skipped or raise.
    """

    def __init__(self, dataset: SampleDataset) -> None:
        self.dataset, self.skip = dataset, dataset.skip
        dataset.skip = False

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample | None:
        try:
            return self.dataset[index]
        except (DataError, InputError):  # training will read it again, and list it
            if not self.skip:
                raise
            return None


class Unstorable(Exception):
    """An encoder's tokens cannot be stored."""


def fill_tokens(
    encoder: Encoder,
    dataset: SampleDataset,
    keys: np.ndarray,
    array_store: ArrayStore,
    loader_options: LoaderOptions,
    budget: DiskBudget,
    progress: ProgressCallback,
) -> int:
    """Encodes samples and writes tokens and vectors; returns how many were written.

    Args:
        encoder: frozen; runs in float32 in any precision of the training.
        dataset: has only this encoder's modality.
        keys: (n, 2) uint64, of the data set's samples.
        array_store: written to.
        loader_options: how samples are read and encoded.
        budget: once it is exhausted, the remaining samples are left out.
        progress: called after every batch.

    Raises:
        Unstorable: a sample's real tokens are not the first of their row.
    """
    (name,) = dataset.processors
    processor = encoder.processor

    def collate(samples: list[Sample | None]) -> tuple[Any, list[int]]:
        good = [number for number, sample in enumerate(samples) if sample is not None]
        return processor.collate([s.prepared[name] for s in samples if s is not None]) if good else None, good

    home = next((tensor.device for tensor in encoder.state_dict().values()), torch.device("cpu"))
    written = 0
    with SegmentWriter(array_store) as writer, random_state_kept(), torch.no_grad():
        encoder.to(loader_options.device)
        try:
            for chosen, (inputs, good) in batches(dataset, collate, loader_options):
                if inputs is not None:
                    parts = [encoder(part) for part in device_chunks(inputs, loader_options.device)]
                    pairs = [rows_to_store(part, array_store.long_type) for part in parts]
                    longs, fixed = ([row for pair in pairs for row in pair[place]] for place in (0, 1))
                    writer.put(keys[chosen[good]], longs, fixed)
                    written += len(good)
                progress(len(chosen))
                if budget.exhausted():
                    break
        finally:
            encoder.to(home)
    return written


def fill_prepared(
    dataset: SampleDataset,
    keys: np.ndarray,
    array_store: ArrayStore,
    loader_options: LoaderOptions,
    budget: DiskBudget,
    progress: ProgressCallback,
) -> int:
    """As ``fill_tokens``, for preprocessed samples; needs no encoder."""
    (name,) = dataset.processors

    def collate(samples: list[Sample | None]) -> tuple[Any, list[int]]:
        good = [number for number, sample in enumerate(samples) if sample is not None]
        return [sample.prepared[name] for sample in samples if sample is not None], good

    written = 0
    with SegmentWriter(array_store) as writer, random_state_kept():
        for chosen, (packed, good) in batches(dataset, collate, loader_options):
            longs, fixed = zip(*packed, strict=True) if packed else ((), ())
            writer.put(keys[chosen[good]], longs, fixed)
            written += len(good)
            progress(len(chosen))
            if budget.exhausted():
                break
    return written


def batches(
    dataset: SampleDataset, collate: Callable[..., Any], loader_options: LoaderOptions
) -> Iterator[tuple[np.ndarray, Any]]:
    """Batches of a data set in its order, each with the places (n,) of its samples."""
    loader: DataLoader[Any] = DataLoader(
        SkipUnreadable(dataset),
        batch_size=loader_options.batch_size,
        num_workers=loader_options.num_workers if len(dataset) > loader_options.batch_size else 0,
        collate_fn=collate,
        generator=torch.Generator(),
    )
    for number, batch in enumerate(loader):
        start = number * loader_options.batch_size
        yield np.arange(start, min(start + loader_options.batch_size, len(dataset))), batch


def device_chunks(inputs: Inputs, device: str) -> Iterator[Inputs]:
    """A batch on the device, in the chunks that are encoded at once: all of it, or on the CPU a few large samples."""
    samples = len(inputs["mask"])
    numbers = sum(tensor.numel() for tensor in inputs.values()) // max(1, samples)
    step = CPU_CHUNK if device == "cpu" and numbers >= LARGE_SAMPLE else samples
    for start in range(0, samples, step):
        yield {key: tensor[start : start + step].to(device) for key, tensor in inputs.items()}


def rows_to_store(encoded: Encoded, kind: np.dtype) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A batch of ``Encoded`` -> each sample's real tokens (L, D) and vector (D,), in the dtype on disk.

    Raises:
        Unstorable: padding lies between a sample's tokens.
    """
    lengths = encoded.mask.sum(1).tolist()
    if not bool((encoded.mask.int().diff(dim=1) <= 0).all()):
        raise Unstorable("its tokens have gaps between them")
    tokens, pooled = as_stored(encoded.tokens, kind), as_stored(encoded.pooled, kind)
    return [tokens[row, :length] for row, length in enumerate(lengths)], list(pooled)


def as_stored(tensor: Tensor, kind: np.dtype) -> np.ndarray:
    """float32 -> the numbers on disk; bfloat16 as its bits."""
    tensor = tensor.float().cpu()
    if kind == BFLOAT16:
        return tensor.bfloat16().view(torch.int16).numpy().view(BFLOAT16)
    return tensor.numpy().astype(kind, copy=False)


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restores torch's random state at its end: a run that fills the store trains as one that only reads it."""
    with torch.random.fork_rng():
        yield
