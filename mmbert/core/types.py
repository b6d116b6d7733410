"""The things that travel between layers, and the legend of shape letters.

    B  samples in a batch          L  tokens in a sequence (padded)     M  modalities
    D  width of an encoder         H  width of the fused vector         C  classes
    V  views of a strategy that joins decisions; as a rule V = M

Absence has one spelling everywhere: a mask row without a single True. An absent modality keeps its key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from mmbert.core.masks import masked_mean

#: The tensors one encoder reads, by name. ``mask`` is always there: (B, L) bool, L = 1 for pictures.
Inputs = dict[str, Tensor]

#: What a page or a tracker makes of an input: words, a picture, a player, or nothing but its name.
ShownAs = Literal["text", "image", "audio", "none"]

#: Target of a sample that carries no class label for a task; float targets say it with NaN.
UNLABELLED = -100


@dataclass(frozen=True)
class InputFile:
    """An input of a sample as a tracker is given it.

    Attributes:
        path: of the file that it lies in.
        shown_as: what to make of it.
    """

    path: str
    shown_as: ShownAs

    def __str__(self) -> str:
        return self.path


@dataclass
class Batch:
    """What the data layer hands to a model.

    Attributes:
        inputs: tensors by encoder name; each holds ``mask`` (B, L) bool, a row of False = modality absent.
        targets: labels by task name: (B,) int64 classes, or float (B,) or (B, C); missing = UNLABELLED or NaN.
        rows: (B,) int64, the samples' row numbers in their table, the first row being 0.
        skipped: rows that could not be read, and why; in their places stand samples that count nowhere.
    """

    inputs: dict[str, Inputs]
    targets: dict[str, Tensor]
    rows: Tensor
    skipped: tuple[tuple[int, str], ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch on another device."""
        return self.mapped(lambda t: t.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory (torch's DataLoader calls this)."""
        return self.mapped(lambda t: t.pin_memory())

    def mapped(self, move: Callable[[Any], Any]) -> Batch:
        """The same batch with every tensor changed; one that holds more than these changes that too."""
        inputs = {name: {key: move(t) for key, t in tensors.items()} for name, tensors in self.inputs.items()}
        targets = {name: move(t) for name, t in self.targets.items()}
        return Batch(inputs, targets, move(self.rows), self.skipped)


@dataclass(frozen=True)
class Encoded:
    """What an encoder returns and a fusion receives.

    Attributes:
        tokens: (B, L, D) float.
        mask: (B, L) bool, True = a real token; a row of False throughout = the sample lacks this modality.
        pooled: (B, D) float, one vector a sample.
        reached: whether a fusion has changed it on its way through the encoder (``mmbert.core.injection``).
    """

    tokens: Tensor
    mask: Tensor
    pooled: Tensor
    injected: bool = False

    @classmethod
    def from_tokens(cls, tokens: Tensor, mask: Tensor) -> Encoded:
        """Pooled is the mean over real tokens."""
        return cls(tokens, mask, masked_mean(tokens, mask))

    @property
    def present(self) -> Tensor:
        """(B,) bool: which samples have this modality."""
        return self.mask.any(1)

    def absent(self) -> Encoded:
        """The same as if no sample had this modality."""
        return replace(self, mask=torch.zeros_like(self.mask))

    def kept(self, samples: Tensor) -> Encoded:
        """The same as if only samples (B,) bool had this modality, of those that have it."""
        return replace(self, mask=self.mask & samples.unsqueeze(1))

    def rows(self, index: Tensor) -> Encoded:
        """Some of the samples, in the order of ``index`` (N,) int64."""
        return replace(self, tokens=self.tokens[index], mask=self.mask[index], pooled=self.pooled[index])


@dataclass(frozen=True)
class Fused:
    """What a fusion returns and tasks read.

    Attributes:
        pooled: (B, H) float.
        tokens: (B, L_m, H) float by modality; empty when no task reads tokens.
        masks: (B, L_m) bool by the same keys.
        auxiliary_losses: scalars that training adds to the tasks' losses.
        diagnostics: gates, attention weights; filled only when asked for.
        views: (B, H) by view, of a strategy that lets every task judge them one by one and joins the judgements
            (``mmbert.fusion.decision_level``); empty for all others. Zeros where a sample lacks the view.
        view_masks: (B,) bool by the same keys: which samples have the view.
    """

    pooled: Tensor
    tokens: dict[str, Tensor] = field(default_factory=dict)
    masks: dict[str, Tensor] = field(default_factory=dict)
    auxiliary_losses: dict[str, Tensor] = field(default_factory=dict)
    diagnostics: dict[str, Tensor] = field(default_factory=dict)
    views: dict[str, Tensor] = field(default_factory=dict)
    view_masks: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class OutputSpec:
    """What the outputs of a task's head are, as far as one has to know it to join several of them.

    Attributes:
        kind: ``classes``, logits (B, C) of one softmax; ``properties``, logits (B, C) of C sigmoids; ``numbers``, (B,).
        size: C; 1 for numbers.
        centre: of numbers, about where they lie, in the table's unit.
        scale: of numbers, how far they spread, above 0.
        plain_loss: the task's loss is the mean over labelled samples of what each gives by itself, every class
            counting alike and every label being taken at its word.
        column: the task's, for messages.
    """

    kind: Literal["classes", "properties", "numbers"]
    size: int
    centre: float = 0.0
    scale: float = 1.0
    plain_loss: bool = True
    column: str = ""
