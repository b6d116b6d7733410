"""Law of encoders: what the processor says of tokens holds for those that the encoder gives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmbert.core.errors import ConfigError
from mmbert.data.modalities.processor import Aligned
from mmbert.encoders.base import Encoder
from mmbert.testing.encoder_conventions import describe_value
from mmbert.testing.encoder_samples import EncoderCase, collated
from mmbert.testing.report import ContractViolation


def alignment_is_as_long_as_the_tokens(case: EncoderCase) -> None:
    """An ``Aligned`` processor says of each token which part of its sample it is; of sounds, in the order of time."""
    encoder = case.make().eval()
    processor = encoder.processor
    if not isinstance(processor, Aligned):
        return
    values = [*case.values(encoder), *case.unusual(encoder)]
    for value in values:
        try:
            given = processor.alignment(value)
        except ConfigError:
            return  # it says that it cannot
        with torch.no_grad():
            count = int(encoder(collated(encoder, [value])).mask.sum())
        for how, aligned in {"": given, **without_reading(processor, value, count)}.items():
            for name, tensor in aligned.items():
                if isinstance(tensor, Tensor) and len(tensor) != count:
                    raise ContractViolation(
                        f"of {describe_value(value)} the encoder gives {count} tokens, '{name}' of its alignment{how} "
                        f"{len(tensor)}",
                        "labels and moments would belong to other tokens: count as the network does",
                    )
            if "times" in aligned:
                check_times(encoder, aligned["times"], value)


def without_reading(processor: Any, value: Any, count: int) -> dict[str, dict[str, Any]]:
    """The alignments of what was prepared, and of what was stored, by a word for messages."""
    if not all(hasattr(processor, name) for name in ("alignment_of", "alignment_of_tokens")):
        return {}
    found = {
        " of what is prepared": processor.alignment_of(processor.prepare(value)),
        " of stored tokens": processor.alignment_of_tokens(count),
    }
    if hasattr(processor, "unpack"):
        packed = processor.unpack(*processor.pack(value))
        found[" of what is packed"] = processor.alignment_of(packed)
    return found


def check_times(encoder: Encoder, times: Tensor, value: Any) -> None:
    """Refuses moments that do not follow on one another from 0 on."""
    whole = bool((times[:, 0] < times[:, 1]).all()) and torch.equal(times[1:, 0], times[:-1, 1])
    if len(times) and not (whole and float(times[0, 0]) == 0):
        raise ContractViolation(
            f"the times of {describe_value(value)} are {times[:3].tolist()} …, of {type(encoder).__name__}",
            "beginning and end of each token in seconds, one after another, the first from 0 on",
        )
