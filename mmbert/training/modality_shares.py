"""Gates and attention per modality, averaged over the samples of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from mmbert.core.precision import exact_dtype
from mmbert.core.types import Batch

#: How the names of what is logged each epoch begin: ``diagnostics/val/NAME/MODALITY``.
LOGGED_PREFIX = "diagnostics"


class ModalityShares:
    """A fusion's diagnostics by sample and modality, collected over a split.

    Args:
        modalities: M names, in the fusion's order.
    """

    def __init__(self, modalities: Sequence[str]) -> None:
        self.modalities = list(modalities)
        self.collected: dict[str, list[np.ndarray]] = {}

    def add(self, batch: Batch, diagnostics: Mapping[str, Tensor]) -> None:
        """A batch's samples, those that only fill up a process's share left out.

        Args:
            batch: its masks say which modalities a sample has.
            diagnostics: by name; those of other shapes than (B, M) and (B, M, H) are passed over.
        """
        size = (len(batch), len(self.modalities))
        chosen = {name: t for name, t in diagnostics.items() if t.ndim in (2, 3) and tuple(t.shape[:2]) == size}
        if not chosen:
            return
        present = torch.stack([batch.inputs[name]["mask"].any(1) for name in self.modalities], 1)  # (B, M)
        counted = present & (batch.rows >= 0).unsqueeze(1)
        for name, tensor in chosen.items():
            values = tensor.detach().to(exact_dtype(tensor.device))
            values = values.mean(2) if values.ndim == 3 else values
            spoken = torch.where(present, values, 0).ne(0).any(1, keepdim=True)
            kept = torch.where(counted & spoken, values, torch.nan)  # (B, M)
            self.collected.setdefault(name, []).append(kept[(batch.rows >= 0)].cpu().numpy())

    def values(self) -> dict[str, np.ndarray]:
        """By name (N, M), over all processes; NaN where a sample has no value for a modality.

        Every process must call it.
        """
        mine = {name: np.concatenate(parts) for name, parts in self.collected.items()}
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return mine
        parts: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(parts, mine)
        names = dict.fromkeys(name for part in parts for name in part)
        return {name: np.concatenate([part[name] for part in parts if name in part]) for name in names}

    def reset(self) -> None:
        """Clears everything, for the next epoch."""
        self.collected = {}


def summarise_shares(modalities: Sequence[str], values: Mapping[str, np.ndarray]) -> dict[str, dict[str, list[Any]]]:
    """By name ``modalities``, ``mean``, ``std`` (n - 1 in its denominator) and ``samples``, a number for each modality.

    Args:
        modalities: M names.
        values: by name (N, M), NaN where nothing counts. What is undefined is None.
    """
    summaries: dict[str, dict[str, list[Any]]] = {}
    for name, table in values.items():
        columns = [column[~np.isnan(column)] for column in table.T]
        summaries[name] = {
            "modalities": list(modalities),
            "mean": [float(column.mean()) if len(column) else None for column in columns],
            "std": [float(column.std(ddof=1)) if len(column) > 1 else None for column in columns],
            "samples": [len(column) for column in columns],
        }
    return summaries
