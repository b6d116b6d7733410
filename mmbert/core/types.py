"""The things that travel between layers, and the legend of shape letters.

    B  samples in a batch          L  tokens in a sequence (padded)     M  modalities
    D  width of an encoder         H  width of the fused vector         C  classes
    V  views of a strategy that joins decisions; as a rule V = M

Absence has one spelling everywhere: a mask row without a single True. An absent modality keeps its key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from mmbert.core.masks import masked_mean
from mmbert.core.precision import exact_dtype

#: Named tensors whose first dimension is the samples: a task's targets, and its outputs.
Tensors = dict[str, Tensor]

#: What a page or a tracker makes of an input: words, a picture, a player, or nothing but its name.
ShownAs = Literal["text", "image", "audio", "none"]

#: The tensors one encoder reads, by name. ``mask`` is always there: (B, L) bool, L = 1 for pictures.
Inputs = Tensors

#: Class index of a sample (or token) without a label; targets that are floats are NaN there.
UNLABELLED = -100

Tree = TypeVar("Tree")


def rows_of(tree: Tree, index: Tensor) -> Tree:
    """Some of the samples of a tensor, of an ``Encoded``, or of a dictionary of these, however deep.

    Args:
        tree: every tensor in it has the samples first.
        index: (N,) int64, or (B,) bool.
    """
    if isinstance(tree, Mapping):
        return {key: rows_of(value, index) for key, value in tree.items()}  # type: ignore[return-value]
    if isinstance(tree, Encoded):
        return tree.rows(index)  # type: ignore[return-value]
    assert isinstance(tree, Tensor)
    return tree[index]  # type: ignore[return-value]


def map_leaves(tree: Tree, change: Callable[[Any], Any]) -> Tree:
    """A dictionary, however deep, with every leaf changed; or the changed leaf itself."""
    if isinstance(tree, Mapping):
        return {key: map_leaves(value, change) for key, value in tree.items()}  # type: ignore[return-value]
    changed: Tree = change(tree)
    return changed


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
        targets: by task name what the task's ``collate`` made of its labels.
        rows: (B,) int64, the samples' row numbers in their table, the first row being 0; -1 = a copy that only fills
            up a batch: no loss, metric or prediction counts it.
        skipped: rows that could not be read, and why; such copies stand in their places.
        alignments: by modality that a task is aligned to, for each sample which token is which part of its raw value
            (``Task.encode``), None where it lacks the modality. They stay on the CPU.
    """

    inputs: dict[str, Inputs]
    targets: dict[str, Tensors]
    rows: Tensor
    skipped: tuple[tuple[int, str], ...] = ()
    alignments: dict[str, Sequence[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch on another device; numbers that it cannot hold in float64 become float32."""
        exact = exact_dtype(device)

        def move(tensor: Any) -> Any:
            held = tensor.to(exact) if tensor.dtype is torch.float64 else tensor
            return held.to(device, non_blocking=non_blocking)

        return self.mapped(move)

    def pin_memory(self) -> Batch:
        """The same batch in page-locked memory (torch's DataLoader calls this)."""
        return self.mapped(lambda t: t.pin_memory())

    def mapped(self, move: Callable[[Any], Any]) -> Batch:
        """The same batch with every tensor changed; one that holds more than these changes that too."""
        inputs, targets = map_leaves(self.inputs, move), map_leaves(self.targets, move)
        return Batch(inputs, targets, move(self.rows), self.skipped, self.alignments)


@dataclass(frozen=True)
class Encoded:
    """What an encoder returns and a fusion receives.

    Attributes:
        tokens: (B, L, D) float.
        mask: (B, L) bool, True = a real token; a row of False throughout = the sample lacks this modality.
        pooled: (B, D) float, one vector a sample.
        injected: whether a fusion has changed it on its way through the encoder (``mmbert.core.injection``).
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
        views: (B, H) by view, of a strategy that gives every task a head for each and joins the heads' outputs
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


class State(NamedTuple):
    """What a task's head may read.

    Attributes:
        fused: the joint representation.
        encoded: the modalities before fusion, by name.
        inputs: what the encoders read, by name; empty where that is not known. Of tokens from the store it is those.
        alignments: where predictions are made, by modality that the task is aligned to, what ``Task.encode`` is given
            of each sample, None where it lacks the modality; empty elsewhere.
    """

    fused: Fused
    encoded: dict[str, Encoded]
    inputs: Mapping[str, Inputs] = {}
    alignments: Mapping[str, Sequence[Any]] = {}


class Loss(NamedTuple):
    """A loss that can be added up over batches, gradient accumulation and processes.

    Attributes:
        total: () sum over what is labelled: samples, tokens, pairs.
        count: () how many of them there are, or the sum of their weights.
    """

    total: Tensor
    count: Tensor  # type: ignore[assignment]  # tuples have a method of this name

    @property
    def mean(self) -> Tensor:
        """() the mean over what is labelled; where nothing is, 0 with a graph, never NaN."""
        return self.total / torch.where(self.count > 0, self.count, 1)


@dataclass(frozen=True)
class OutputSpec:
    """What a task's head gives and how its labels are written, as far as decision-level fusion must know it.

    Attributes:
        kind: ``classification``, logits (B, C) of one softmax with targets (B,) int64, UNLABELLED where missing;
            ``multilabel``, logits (B, C) of C sigmoids with targets (B, C) of 0 and 1, NaN where missing;
            ``regression``, numbers (B,) with targets (B,), NaN where missing.
        size: C; 1 for numbers.
        centre: of numbers, about where they lie, in the table's unit.
        scale: of numbers, how far they spread, above 0.
        plain_loss: the task's loss is the mean over labelled samples of what each gives by itself: no class weights,
            no label smoothing.
        column: the task's, for messages.
        output: name of that tensor among the task's outputs.
        target: name of that tensor among its targets.
    """

    kind: Literal["classification", "multilabel", "regression"]
    size: int
    centre: float = 0.0
    scale: float = 1.0
    plain_loss: bool = True
    column: str = ""
    output: str = "logits"
    target: str = "label"
