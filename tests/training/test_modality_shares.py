"""Shares by modality: which samples count, heads averaged, and the summary by hand."""

import numpy as np
import torch

from mmbert.core.types import Batch
from mmbert.training.modality_shares import ModalityShares, summarise_shares

NAN = float("nan")


def batch(present, rows):
    masks = torch.tensor(present, dtype=torch.bool)
    return Batch({"a": {"mask": masks[:, :1]}, "b": {"mask": masks[:, 1:]}}, {}, torch.tensor(rows))


def test_only_present_modalities_of_real_samples_count():
    shares = ModalityShares(["a", "b"])
    gate = torch.tensor([[0.25, 0.75], [0.5, 0.5], [0.0, 0.0], [0.9, 0.1]])
    heads = torch.stack([gate, gate + 0.5], 2)
    other = torch.zeros(4, 3)
    shares.add(batch([[1, 1], [1, 0], [1, 1], [1, 1]], [0, 1, 2, -1]), {"gate": gate, "heads": heads, "other": other})
    shares.add(batch([[0, 1]], [3]), {"gate": torch.tensor([[0.0, 1.0]])})
    found = shares.values()
    assert set(found) == {"gate", "heads"}
    np.testing.assert_allclose(found["gate"], [[0.25, 0.75], [0.5, NAN], [NAN, NAN], [NAN, 1.0]])
    np.testing.assert_allclose(found["heads"], [[0.5, 1.0], [0.75, NAN], [0.25, 0.25]])
    shares.reset()
    assert shares.values() == {}


def test_the_summary():
    values = np.array([[1.0, NAN, NAN], [3.0, 5.0, NAN]])
    assert summarise_shares(["a", "b", "c"], {"gate": values}) == {
        "gate": {
            "modalities": ["a", "b", "c"],
            "mean": [2.0, 5.0, None],
            "std": [2.0**0.5, None, None],  # of 1 and 3: ((1 + 1) / (2 - 1)) ** 0.5
            "samples": [2, 1, 0],
        }
    }
