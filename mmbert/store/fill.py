"""What a shelf lacks is computed once and written as it comes: a kill loses the batch at hand and nothing else."""

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
from mmbert.store.array_store import ArrayStore, Writer

#: Bytes of a disk that stay free, or a twentieth of a small one: a share of a large disk may be more than anyone has.
LEFT_FREE = 2**30
#: Samples that pass a network at once on the CPU, of those with at least so many numbers: activations of more leave the
#: processor's caches, and memory of so large tensors is given back to the system and cleared anew at each layer.
FEW, LARGE = 8, 2**13
#: Called with the number of entries that are done.
Progress = Callable[[int], None]


@dataclass(frozen=True)
class DiskBudget:
    """How much may be written.

    Attributes:
        folder: of all shelves.
        max_gib: that they may take together.
    """

    folder: Path
    max_gib: float

    def lack(self) -> str:
        """Why nothing more may be written; empty while there is room."""
        used = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        if used >= self.max_gib * 2**30:
            return f"store.max_gib={self.max_gib:g} is used up"
        disk = shutil.disk_usage(self.folder)
        if disk.free <= min(LEFT_FREE, disk.total / 20):
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


class Readable(Dataset[Sample | None]):
    """The samples of a data set; None in the place of those that cannot be read, where these may be skipped.

    Args:
        dataset: its ``skip`` says whether they may.
    """

    def __init__(self, dataset: SampleDataset) -> None:
        self.dataset, self.skip = dataset, dataset.skip
        dataset.skip = False

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample | None:
        try:
            return self.dataset[index]
        except (DataError, InputError):  # the run will meet it again, and list it
            if not self.skip:
                raise
            return None


class Unstorable(Exception):
    """An encoder's tokens cannot be kept as they are."""


def fill_tokens(
    encoder: Encoder,
    dataset: SampleDataset,
    keys: np.ndarray,
    array_store: ArrayStore,
    work: LoaderOptions,
    room: DiskBudget,
    progress: Progress,
) -> int:
    """Encodes samples and writes tokens and vectors; returns how many were written.

    Args:
        encoder: frozen; in float32 whatever the precision of the training is.
        dataset: whose only encoder it is.
        keys: (n, 2) uint64, of the data set's samples.
        array_store: written to.
        work: how.
        room: when it is used up, the rest stays away.
        progress: told after every batch.

    Raises:
        Unstorable: its tokens are not the first of their row.
    """
    (name,) = dataset.processors
    processor = encoder.processor

    def collate(samples: list[Sample | None]) -> tuple[Any, list[int]]:
        good = [number for number, sample in enumerate(samples) if sample is not None]
        return processor.collate([s.prepared[name] for s in samples if s is not None]) if good else None, good

    home = next((tensor.device for tensor in encoder.state_dict().values()), torch.device("cpu"))
    written = 0
    with Writer(array_store) as writer, untouched(), torch.no_grad():
        encoder.to(work.device)
        try:
            for chosen, (inputs, good) in batches(dataset, collate, work):
                if inputs is not None:
                    parts = [encoder(part) for part in parts_of(inputs, work.device)]
                    pairs = [rows_of(part, array_store.long_type) for part in parts]
                    longs, fixed = ([row for pair in pairs for row in pair[place]] for place in (0, 1))
                    writer.put(keys[chosen[good]], longs, fixed)
                    written += len(good)
                progress(len(chosen))
                if room.lack():
                    break
        finally:
            encoder.to(home)
    return written


def fill_prepared(
    dataset: SampleDataset,
    keys: np.ndarray,
    array_store: ArrayStore,
    work: LoaderOptions,
    room: DiskBudget,
    progress: Progress,
) -> int:
    """As ``fill_tokens``, for what the preprocessing makes of a sample."""
    (name,) = dataset.processors

    def collate(samples: list[Sample | None]) -> tuple[Any, list[int]]:
        good = [number for number, sample in enumerate(samples) if sample is not None]
        return [sample.prepared[name] for sample in samples if sample is not None], good

    written = 0
    with Writer(array_store) as writer, untouched():
        for chosen, (packed, good) in batches(dataset, collate, work):
            longs, fixed = zip(*packed, strict=True) if packed else ((), ())
            writer.put(keys[chosen[good]], longs, fixed)
            written += len(good)
            progress(len(chosen))
            if room.lack():
                break
    return written


def batches(
    dataset: SampleDataset, collate: Callable[..., Any], work: LoaderOptions
) -> Iterator[tuple[np.ndarray, Any]]:
    """Batches of a data set in its order, each with the places (n,) of its samples."""
    loader: DataLoader[Any] = DataLoader(
        Readable(dataset),
        batch_size=work.batch_size,
        num_workers=work.num_workers if len(dataset) > work.batch_size else 0,
        collate_fn=collate,
        generator=torch.Generator(),
    )
    for number, batch in enumerate(loader):
        start = number * work.batch_size
        yield np.arange(start, min(start + work.batch_size, len(dataset))), batch


def parts_of(inputs: Inputs, device: str) -> Iterator[Inputs]:
    """A batch on the device as what passes the network at once: all of it, or on the CPU a few large samples."""
    samples = len(inputs["mask"])
    numbers = sum(tensor.numel() for tensor in inputs.values()) // max(1, samples)
    step = FEW if device == "cpu" and numbers >= LARGE else samples
    for start in range(0, samples, step):
        yield {key: tensor[start : start + step].to(device) for key, tensor in inputs.items()}


def rows_of(encoded: Encoded, kind: np.dtype) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A batch of ``Encoded`` -> each sample's real tokens (L, D) and vector (D,), as they are kept.

    Raises:
        Unstorable: padding lies between a sample's tokens.
    """
    lengths = encoded.mask.sum(1).tolist()
    if not bool((encoded.mask.int().diff(dim=1) <= 0).all()):
        raise Unstorable("its tokens have gaps between them")
    tokens, pooled = as_kept(encoded.tokens, kind), as_kept(encoded.pooled, kind)
    return [tokens[row, :length] for row, length in enumerate(lengths)], list(pooled)


def as_kept(tensor: Tensor, kind: np.dtype) -> np.ndarray:
    """float32 -> the numbers on disk; bfloat16 as its bits."""
    tensor = tensor.float().cpu()
    if kind == BFLOAT16:
        return tensor.bfloat16().view(torch.int16).numpy().view(BFLOAT16)
    return tensor.numpy().astype(kind, copy=False)


@contextmanager
def untouched() -> Iterator[None]:
    """Leaves torch's random numbers as they were: a run that fills a shelf trains as one that finds it full."""
    with torch.random.fork_rng():
        yield
