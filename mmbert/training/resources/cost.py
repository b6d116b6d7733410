"""What a model costs: parameters, floating-point operations of one sample, milliseconds of a training step.

Operations are counted by torch's FlopCounterMode as the model runs: matrix products and convolutions, a multiplication
and an addition being two (``mmbert.core.flops`` says what is not counted).
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from mmbert.core.flops import count
from mmbert.core.init_args import class_path
from mmbert.core.types import Encoded, Inputs
from mmbert.data.datamodule import MultimodalData
from mmbert.data.loading.collate import Collate
from mmbert.encoders.base import Encoder
from mmbert.encoders.token_cache import TokenCache
from mmbert.model import MultimodalModel
from mmbert.training.resources.parameter_counts import count_parameters, count_trainable

#: Frozen encoders that were counted in this process, and what they gave: jobs of a sweep share them.
COUNTED: OrderedDict[Any, tuple[int, Encoded]] = OrderedDict()
COUNTED_LIMIT = 16


def cost_facts(model: MultimodalModel, data: MultimodalData) -> dict[str, int]:
    """Sizes and operations, for ``metrics.json``.

    Returns:
        ``parameters``, ``parameters_trained``, ``parameters_fusion`` (the strategy alone); ``flops_forward`` (the whole
        model) and ``flops_fusion`` (strategy and heads) of one sample, the row ``flops_row`` of the table: the first of
        validation that has as many modalities as any has there.
    """
    row, inputs = one_sample(data)
    encoding, rest = count_model(model, inputs)
    return {
        "parameters": count_parameters(model),
        "parameters_trained": count_trainable(model),
        "parameters_fusion": count_parameters(model.fusion)
        + sum(count_parameters(heads.decision) for heads in model.named_decision_heads().values()),
        "flops_forward": encoding + rest,
        "flops_fusion": rest,
        "flops_row": row,
    }


def one_sample(data: MultimodalData) -> tuple[int, dict[str, Inputs]]:
    """A validation row with all modalities, or with the most that any has: its number and, unstored, its tensors."""
    plain = copy.copy(data)
    plain.sources, plain.augment, plain.taken = {}, None, {}
    dataset = plain.dataset("val")
    columns = [data.column_of(name) for name in data.processors if name not in data.drop]
    rows = data.rows["val"]
    cells = [data.table.column(column, rows) for column in columns]
    there = [sum(cell is not None for cell in row) for row in zip(*cells, strict=True)]
    place = there.index(max(there))
    return int(rows[place]), Collate(data.processors)([dataset[place]]).inputs


def count_model(model: MultimodalModel, inputs: dict[str, Inputs]) -> tuple[int, int]:
    """Operations of all encoders, and of fusion and heads, in one forward pass in evaluation mode.

    Neither the model's mode nor a random state is changed.
    """
    modes = {module: module.training for module in model.modules()}
    device = next(model.parameters()).device
    model.eval()
    try:
        with torch.random.fork_rng(), torch.no_grad():
            total, encoded = 0, {}
            moved = {name: {key: tensor.to(device) for key, tensor in part.items()} for name, part in inputs.items()}
            for name, encoder in model.named_encoders().items():
                if name != model.fusion.injects_into:
                    flops, encoded[name] = counted_encoder(encoder, moved[name])
                    total += flops
            if model.fusion.injects_into is not None:
                given: list[Encoded] = []
                total += count(lambda: given.append(model.encode_injected(moved, encoded)))
                encoded[model.fusion.injects_into] = given[0]

            return total, count(lambda: model.decode(encoded))
    finally:
        for module, mode in modes.items():
            module.training = mode


def counted_encoder(encoder: Encoder, inputs: Inputs) -> tuple[int, Encoded]:
    """Operations and outputs of an encoder; a frozen one of the same options and input sizes is not run again."""
    sizes = tuple((key, tuple(tensor.shape)) for key, tensor in sorted(inputs.items()))
    real = tuple(inputs["mask"].sum(1).tolist())
    key = (class_path(encoder), repr(sorted(encoder.init_args.items())), count_parameters(encoder), sizes, real)
    device = inputs["mask"].device
    if encoder.constant and key in COUNTED:
        flops, kept = COUNTED[key]
        return flops, Encoded(kept.tokens.to(device), kept.mask.to(device), kept.pooled.to(device))
    given: list[Encoded] = []
    with without_token_caches(encoder):
        flops = count(lambda: given.append(encoder(inputs)))
    if encoder.constant:
        COUNTED[key] = (flops, Encoded(given[0].tokens.cpu(), given[0].mask.cpu(), given[0].pooled.cpu()))
        while len(COUNTED) > COUNTED_LIMIT:
            COUNTED.popitem(last=False)
    return flops, given[0]


@contextmanager
def without_token_caches(module: nn.Module) -> Iterator[None]:
    """Token caches of frozen encoders are neither read nor added to."""
    parts: list[Any] = list(module.modules())
    holders = [(part, part.token_cache) for part in parts if isinstance(getattr(part, "token_cache", None), TokenCache)]
    for part, _ in holders:
        part.token_cache = None
    try:
        yield
    finally:
        for part, cache in holders:
            part.token_cache = cache
