"""Replicas: a model for each thread that runs one, with the same weights."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mmbert.model import MultimodalModel

#: On a processor. Two batches at once, each with half of the cores, wait for each other's small operations less than
#: the threads of one batch do; how much is in benchmarks/README.md.
REPLICAS_ON_CPU = 2


def replicas_for(device: torch.device, threads: int) -> int:
    """How many models are worth having.

    Args:
        device: that the model computes on; a GPU takes one batch after the other.
        threads: that torch may compute with.
    """
    return REPLICAS_ON_CPU if device.type == "cpu" and threads >= REPLICAS_ON_CPU else 1


def load_replicas(load: Callable[[], MultimodalModel], count: int) -> list[MultimodalModel]:
    """Models that were loaded one by one, whose weights and buffers lie in memory once.

    A module may keep what it has computed, such as a gate to look at, until it is called again: threads that share it
    would take each other's. So every thread has modules of its own.

    Args:
        load: gives a model, each time a new one.
        count: of models.
    """
    first = load()
    models = [first]
    for _ in range(count - 1):
        replica = load()
        for module, twin in zip(first.modules(), replica.modules(), strict=True):
            twin._parameters.update(module._parameters)
            twin._buffers.update(module._buffers)
        models.append(replica)
    return models
