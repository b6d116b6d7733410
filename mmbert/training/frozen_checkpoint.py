"""Checkpoints without the weights of frozen encoders: they stay what they are, and are most of what a file would hold.

In their place stands a fingerprint. A checkpoint is loaded into a model with the same frozen weights or not at all.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from mmbert.core.errors import TrainingError
from mmbert.encoders.base import Encoder
from mmbert.encoders.pretrained.fingerprint import weights_fingerprint

#: Where in a checkpoint the fingerprints are, by encoder name.
FROZEN_FINGERPRINTS = "mmbert_frozen"
#: Before the names of an encoder's tensors in the state of the ``FusionModule``.
PLACE = "model.encoders.{}."


def remove_frozen(checkpoint: dict[str, Any], encoders: dict[str, Encoder], known: dict[str, str]) -> None:
    """Leaves the constant encoders' tensors out of a checkpoint that is about to be written.

    Args:
        checkpoint: as Lightning made it.
        encoders: of the model, by name.
        known: fingerprints that were taken before: a network of half a gigabyte takes a moment.
    """
    constant = {name: encoder for name, encoder in encoders.items() if encoder.constant}
    beginnings = tuple(PLACE.format(name) for name in constant)
    state = checkpoint["state_dict"]
    checkpoint["state_dict"] = {k: tensor for k, tensor in state.items() if not k.startswith(beginnings or ("\0",))}
    note_frozen(constant, known)
    checkpoint[FROZEN_FINGERPRINTS] = {name: known[name] for name in constant}


def note_frozen(encoders: dict[str, Encoder], known: dict[str, str]) -> None:
    """Adds the fingerprints of those encoders that are constant, and not known."""
    constant = {name: encoder for name, encoder in encoders.items() if encoder.constant}
    known |= {name: weights_fingerprint(encoder) for name, encoder in constant.items() if name not in known}


def restore_frozen(checkpoint: dict[str, Any], encoders: dict[str, Encoder], module: nn.Module) -> None:
    """Gives a checkpoint that was read the module's own frozen tensors, so that it can be loaded as a whole.

    Raises:
        TrainingError: the module's frozen weights are others than those that the run was begun with.
    """
    own: dict[str, Any] | None = None
    for name, fingerprint in checkpoint.get(FROZEN_FINGERPRINTS, {}).items():
        if name not in encoders or weights_fingerprint(encoders[name]) != fingerprint:
            raise TrainingError(
                f"The frozen encoder '{name}' has other weights than the run was begun with: what it is loaded from "
                "has changed. Put it back, or start a new run."
            )
        own = own or module.state_dict()
        beginning = PLACE.format(name)
        checkpoint["state_dict"] |= {key: tensor for key, tensor in own.items() if key.startswith(beginning)}
