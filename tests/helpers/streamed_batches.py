"""Batches of the table of ``packed_sets``, as numbers that tell which text, picture and label came together."""

import numpy as np
import torch

from mmbert.data.loading import block_order, samplers
from mmbert.tasks.classification import Classification


class Colour:
    """Turns a picture into the number that its colour tells."""

    kind = "image"

    def prepare(self, raw):
        return torch.tensor([float(np.asarray(raw)[0, 0, :2] @ [1, 256])])

    def collate(self, prepared):
        found = [torch.full((1,), -1.0) if one is None else one for one in prepared]
        return {"number": torch.stack(found), "mask": torch.tensor([[one is not None] for one in prepared])}


class Letters(Colour):
    """Turns ``sample 12`` into 12."""

    kind = "text"

    def prepare(self, raw):
        return torch.tensor([float(raw.split()[1])])


def among_processes(patch):
    """``among(rank, world)``: as if this were one of several processes.

    Args:
        patch: ``pytest.MonkeyPatch``.
    """

    def become(rank, world):
        for module in (samplers, block_order):
            patch.setattr(module, "rank_and_world_size", lambda: (rank, world))

    return become


def opened_data(kind, path, **options):
    """Data of ``packed_sets``' table, in whatever form, bound to texts and pictures and the task ``label``."""
    data = kind(path, **{"batch_size": 4, "num_workers": 0, **options})
    task = Classification(4, "label", ["a", "b"])
    data.bind({"text": Letters(), "image": Colour()}, {"label": task.without_weights()})
    return data


def seen(loader):
    """(row, the text's number, the picture's, the label) of every sample, in order."""
    found = []
    for batch in loader:
        parts = [batch.inputs[name]["number"][:, 0].tolist() for name in ("text", "image")]
        found += zip(batch.rows.tolist(), *parts, batch.targets["label"]["label"].tolist(), strict=True)
    return found
