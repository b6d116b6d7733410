"""What a checkpoint holds of each process, and what becomes of it when a run goes on with another number of them.

All processes together go on with as many samples a step as before, so that a step means the same to the optimiser, the
schedule and the count of steps.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed as dist
import xxhash
from torch import Tensor

from mmbert.core.errors import ConfigError
from mmbert.data.loading.samplers import Seen, rank_and_world_size

#: In a checkpoint the list of every process's part.
STATE = "mmbert"
#: Batches that each process had seen of an epoch, of how many samples, and how many processes they were.
EpochPart = tuple[int, int, int]


def process_parts(checkpoint: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    """Every process's part, by rank.

    Raises:
        ConfigError: they are not there.
    """
    parts = checkpoint.get(STATE)
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise ConfigError(f"{path} lacks the state of each process: it is damaged.")
    return parts


def part_of(parts: Sequence[Mapping[str, Any]], rank: int, world: int) -> dict[str, Any]:
    """The part that a process goes on from.

    With another number of processes the first has all sums of the epoch's means, and a process that was not there has
    random numbers of its own, drawn from the first one's.
    """
    own = {**parts[min(rank, len(parts) - 1)], "world": len(parts)}
    if len(parts) == world:
        return own
    own["means"] = added([part["means"] for part in parts], 1.0 if rank == 0 else 0.0)
    if rank >= len(parts):
        own["random"] = None
        own["seed"] = xxhash.xxh32_intdigest(as_bytes(parts[0]["random"]["torch"]).numpy().tobytes(), seed=rank)
    return own


def added(means: Sequence[Mapping[str, Tensor]], times: float) -> dict[str, Tensor]:
    """Sums and weights of several processes, added up by name and multiplied."""
    names = {name: None for part in means for name in part}
    return {name: times * torch.stack([part[name] for part in means if name in part]).sum(0) for name in names}


def seen_of(held: Mapping[str, Any], batches: int, world: int) -> tuple[list[EpochPart], list[Seen]]:
    """What was seen of the epoch that is gone on with.

    Args:
        held: this process's part.
        batches: that were seen of the epoch, whoever saw them.
        world: how many processes there are now.

    Returns:
        What is to be kept for the next checkpoint: what other numbers of processes have seen; and all that was seen.
    """
    earlier: list[EpochPart] = [(count, size, processes) for count, size, processes in held.get("earlier", [])]
    last = (batches - sum(part[0] for part in earlier), int(held.get("batch_size") or 0), int(held["world"]))
    parts = [*earlier, last]
    kept = earlier if last[2] == world else parts
    return kept, [Seen(count * size, processes) for count, size, processes in parts]


def batch_size_of(trainer: pl.Trainer) -> int:
    """Samples of a batch of this process."""
    loader: Any = trainer.train_dataloader
    return int(loader.batch_size or 0)


def batch_size_now(parts: Sequence[Mapping[str, Any]], configured: int, world: int) -> int:
    """Samples that a batch of each process must have for a step to be as large as before.

    Args:
        parts: of the checkpoint.
        configured: ``data.batch_size``, which holds for the run as it was begun.
        world: how many processes there are now.

    Raises:
        ConfigError: they cannot share a step.
    """
    each = int(parts[0].get("batch_size") or configured)
    together = each * len(parts)
    if together % world:
        fitting = ", ".join(str(number) for number in range(1, together + 1) if together % number == 0)
        raise ConfigError(
            f"The interrupted run had {len(parts)} processes with batches of {each}: {world} cannot share {together} "
            f"samples a step. Numbers of processes that can (trainer.devices): {fitting}."
        )
    return together // world


def gathered(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Every process's state, by rank; every process must call it."""
    world = rank_and_world_size()[1]
    if world == 1:
        return [state]
    parts: list[Any] = [None] * world
    dist.all_gather_object(parts, state)
    return parts


def random_state() -> dict[str, Any]:
    """Where torch's, NumPy's and Python's random numbers stand in this process, as plain tensors and lists."""
    kind, keys, place, has_gauss, gauss = np.random.get_state()
    version, numbers, following = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys, np.int64)), int(place), int(has_gauss), float(gauss)],
        "python": [version, list(numbers), following],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Puts back what ``random_state`` gave."""
    torch.set_rng_state(as_bytes(state["torch"]))
    kind, keys, place, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), place, has_gauss, gauss))
    version, numbers, following = state["python"]
    random.setstate((version, tuple(numbers), following))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([as_bytes(part) for part in state["cuda"]])


def restore_random(part: Mapping[str, Any]) -> None:
    """Puts back a process's random state, or begins one where there was no such process."""
    if part["random"] is not None:
        set_random_state(part["random"])
        return
    torch.manual_seed(part["seed"])
    np.random.seed(part["seed"])
    random.seed(part["seed"])


def as_bytes(state: Tensor) -> Tensor:
    """A random state on the CPU, where torch wants it."""
    return state.cpu().to(torch.uint8)
