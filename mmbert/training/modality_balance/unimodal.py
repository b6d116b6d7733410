"""How well does one modality do alone? The others are taken away, and fusion and heads run again.

Absence is ordinary: every strategy takes samples that lack modalities, so that this works with all of them, and
needs no head of its own for each modality. Only samples that have the modality are used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mmbert.core.errors import ConfigError
from mmbert.core.types import Batch, Encoded, Tensors, rows_of
from mmbert.model import ModelOutput, MultimodalModel

#: How the names of what is logged of a modality on its own begin: ``alone/MODALITY/…``.
ALONE = "alone"


@contextmanager
def without_dropout(model: MultimodalModel) -> Iterator[None]:
    """Fusion and heads in evaluation mode, and back: nothing random is drawn and no running statistic is moved."""
    parts = [*model.fusion.modules(), *model.tasks.modules()]
    modes = [part.training for part in parts]
    model.fusion.eval()
    model.tasks.eval()
    try:
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


def decode_unimodal(
    model: MultimodalModel, batch: Batch, encoded: Mapping[str, Encoded], name: str
) -> tuple[ModelOutput, dict[str, Tensors]] | None:
    """What a model makes of a batch of which only one modality is left.

    Args:
        model: as it is, in its mode.
        batch: N of its B samples have the modality.
        encoded: the batch's modalities.
        name: of the modality that stays.

    Returns:
        The output for those N samples and their targets by task; None if there is no such sample.
    """
    rows = encoded[name].present.nonzero().squeeze(1)
    if not len(rows):
        return None
    if name == model.fusion.injects_into:  # the others were a part of it
        gone = {other: x.absent() for other, x in encoded.items()}
        encoded = {**encoded, name: model.encode_injected(batch.inputs, gone)}
    some = rows_of(dict(encoded), rows)
    left = {other: x if other == name else x.absent() for other, x in some.items()}
    targets = rows_of(batch.targets, rows)
    return model.decode(left, targets=targets), targets


def need_several(model: nn.Module, method: str) -> list[str]:
    """The model's modalities.

    Raises:
        ConfigError: there is only one, so that nothing can be balanced.
    """
    assert isinstance(model, MultimodalModel)
    names = list(model.fusion.dims)
    if len(names) < 2:
        raise ConfigError(
            f"balance_modalities={method} balances modalities, but this model has only '{names[0]}'. "
            "Leave it out: balance_modalities=none"
        )
    return names


def all_reduced(values: Tensor) -> Tensor:
    """The same tensor, added up over all processes; every process must call it."""
    dist = torch.distributed
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        dist.all_reduce(values)
    return values
