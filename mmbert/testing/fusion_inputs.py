"""Inputs for trying out a fusion: hand-written ones, and random ones with padding and missing modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmbert.core.types import Encoded

#: widths and lengths that differ, so that a mix-up between modalities cannot go unnoticed
SMALL_DIMS = {"text": 6, "image": 5, "audio": 4, "video": 3, "depth": 7}
PADDED_LENGTHS = (4, 3, 5, 2, 6)


def encoded(values: Sequence[Sequence[float]] | Tensor, present: Sequence[bool] | None = None) -> Encoded:
    """One token a sample, whose vector is also the pooled one.

    Args:
        values: (B, D).
        present: (B,) which samples have the modality; None = all.
    """
    pooled = torch.as_tensor(values, dtype=torch.get_default_dtype())
    mask = torch.ones(len(pooled), dtype=torch.bool) if present is None else torch.tensor(list(present))
    return Encoded(pooled.unsqueeze(1), mask.unsqueeze(1), pooled)


def random_inputs(
    dims: Mapping[str, int],
    batch: int = 4,
    lengths: Mapping[str, int] | None = None,
    present: Tensor | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    scattered: bool = False,
) -> dict[str, Encoded]:
    """Random tokens, padded to different lengths within a batch.

    Args:
        dims: width by modality.
        batch: B.
        lengths: padded length L by modality; None = different ones.
        present: (B, M) bool, which sample has which modality; None = all of them.
        seed: of values and lengths.
        dtype: of the values.
        scattered: real tokens stand anywhere in the sequence, with padding before and between them.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = {}
    for number, (name, dim) in enumerate(dims.items()):
        longest = lengths[name] if lengths else PADDED_LENGTHS[number % len(PADDED_LENGTHS)]
        tokens = torch.randn(batch, longest, dim, generator=generator)
        real = torch.randint(1, longest + 1, (batch,), generator=generator)
        real[0] = longest
        here = torch.ones(batch, dtype=torch.bool) if present is None else present[:, number]
        mask = (torch.arange(longest) < real.unsqueeze(1)) & here.unsqueeze(1)
        if scattered:
            mask = mask.gather(1, torch.rand(batch, longest, generator=generator).argsort(1))
        inputs[name] = Encoded.from_tokens(torch.where(mask.unsqueeze(-1), tokens, 0.0).to(dtype), mask)
    return inputs


def fill_padding(inputs: Mapping[str, Encoded], junk: float, only: str | None = None) -> dict[str, Encoded]:
    """The same inputs with ``junk`` wherever nothing is real: in padding, and in absent modalities' vectors.

    Args:
        inputs: by modality.
        junk: the number to write.
        only: the one modality to fill_padding; None = all.
    """
    return {
        name: Encoded(
            x.tokens.masked_fill(~x.mask.unsqueeze(-1), junk),
            x.mask,
            x.pooled.masked_fill(~x.present.unsqueeze(1), junk),
        )
        if only in (None, name)
        else x
        for name, x in inputs.items()
    }


def describe_sample(inputs: Mapping[str, Encoded], row: int) -> str:
    """What a sample has, for a message: ``sample 2 (text: 3 of 4 tokens, no image)``."""
    parts = [
        f"{name}: {int(x.mask[row].sum())} of {x.mask.shape[1]} tokens" if bool(x.mask[row].any()) else f"no {name}"
        for name, x in inputs.items()
    ]
    return f"sample {row} ({', '.join(parts)})"


def pad(inputs: Mapping[str, Encoded], extra: int) -> dict[str, Encoded]:
    """The same inputs with ``extra`` further places of padding at the end of every sequence."""
    padded = {}
    for name, x in inputs.items():
        tokens = torch.nn.functional.pad(x.tokens, (0, 0, 0, extra))
        padded[name] = Encoded(tokens, torch.nn.functional.pad(x.mask, (0, extra)), x.pooled)
    return padded


def pick(inputs: Mapping[str, Encoded], rows: Sequence[int]) -> dict[str, Encoded]:
    """Some samples of a batch, in the order given."""
    index = torch.tensor(list(rows))
    return {name: Encoded(x.tokens[index], x.mask[index], x.pooled[index]) for name, x in inputs.items()}


def leaves(inputs: Mapping[str, Encoded]) -> tuple[dict[str, Encoded], dict[str, tuple[Tensor, Tensor]]]:
    """The same inputs on fresh tensors that collect gradients, and those tensors: (tokens, pooled) by modality."""
    made, tensors = {}, {}
    for name, x in inputs.items():
        tokens, pooled = x.tokens.detach().clone().requires_grad_(), x.pooled.detach().clone().requires_grad_()
        made[name], tensors[name] = Encoded(tokens, x.mask, pooled), (tokens, pooled)
    return made, tensors
