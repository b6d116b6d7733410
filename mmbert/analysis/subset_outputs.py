"""What a model's tasks make of a split with every subset of its modalities: each batch is encoded once.

A modality that is taken away gets an empty mask, as one that a sample never had. A sample that lacks modalities has,
with a subset of all, what it has with those of them that are present. No fusion sees a sample without any modality:
what stands for "nothing is known" is the task's business (``task_games``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mmbert.analysis.conditions import remaining_samples, with_injected
from mmbert.analysis.cooperative_game import subset_members
from mmbert.core.types import Batch, Encoded, Tensors, rows_of
from mmbert.model import ModelOutput, MultimodalModel


class SubsetReader(Protocol):
    """Takes what a task makes of the samples with one subset of the modalities, batch by batch."""

    def add(self, subset: int, samples: np.ndarray, present: np.ndarray, output: ModelOutput, targets: Tensors) -> None:
        """Takes n samples.

        Args:
            subset: its number (``cooperative_game``), from 1.
            samples: (n,) int64, their places in the split.
            present: (n, M) bool, the modalities that they have, in the subset or not.
            output: of the model.
            targets: of the task.
        """
        ...


def read_subsets(
    model: MultimodalModel, batches: Iterable[Batch], readers: Mapping[str, SubsetReader], device: torch.device
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """Runs the model with every non-empty subset of the modalities.

    Args:
        model: in evaluation mode, on the device.
        batches: of a split.
        readers: by task.
        device: the model's.

    Returns:
        (N,) rows of the table; (N, M) bool, which modalities each sample has; and rows that could not be read, and why.
    """
    dims = list(model.fusion.dims)
    rows: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    present: list[np.ndarray] = [np.zeros((0, len(dims)), dtype=bool)]
    skipped: dict[int, str] = {}
    count = 0
    with torch.inference_mode():
        for given in batches:
            skipped |= dict(given.skipped)
            batch = given.to(device)
            real = batch.rows >= 0
            there = torch.stack([batch.inputs[name]["mask"].any(1) for name in dims], 1)  # (B, M)
            _read_batch(model, batch, there, readers, count)
            rows.append(batch.rows[real].cpu().numpy())
            present.append(there[real].cpu().numpy())
            count += int(real.sum())
    return np.concatenate(rows), np.concatenate(present), skipped


def _read_batch(
    model: MultimodalModel, batch: Batch, there: Tensor, readers: Mapping[str, SubsetReader], count: int
) -> None:
    """Encodes a batch once, fuses it for each subset, and hands the outputs on; ``count`` samples came before."""
    injected, real = model.fusion.injects_into, batch.rows >= 0
    places = count + real.cumsum(0) - 1  # (B,) of the real ones in the split
    encoded: dict[str, Encoded] = {
        name: encoder(batch.inputs[name]) for name, encoder in model.named_encoders().items() if name != injected
    }
    for subset, members in enumerate(subset_members(there.shape[1])):
        kept = torch.from_numpy(members).to(there.device) & real.unsqueeze(1)  # (B, M)
        chosen: Any = {name: encoded[name] for name in model.fusion.dims if name != injected}
        if injected is not None:
            chosen = with_injected(model, batch.inputs, chosen, kept)
        rows, left = remaining_samples(chosen, kept)
        if not len(rows):
            continue
        targets = rows_of(batch.targets, rows)
        output = model.decode(left, targets=targets)
        samples, present = places[rows].cpu().numpy(), there[rows].cpu().numpy()
        for name, reader in readers.items():
            reader.add(subset, samples, present, output, targets[name])
