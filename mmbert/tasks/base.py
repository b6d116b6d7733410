"""The contract of a task: labels, head, loss, metrics and predictions in one object."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from mmbert.core.init_args import SavesInitArgs
from mmbert.core.ranges import Range
from mmbert.core.types import Encoded, Inputs, Loss, OutputSpec, State, Tensors
from mmbert.data.labels import by_rows
from mmbert.encoders.base import Encoder


class Task(SavesInitArgs, nn.Module):
    """Base of all tasks: over samples, tokens, pairs or sentences.

    Targets and outputs are named tensors with the samples first. A label may be missing: the sample then adds nothing
    to the task's loss and metrics. The task knows *what* is measured, training knows *when*.

    In the loader's workers ``encode``, ``collate`` and ``change_inputs`` run on a copy without parameters and
    submodules (``without_weights``).

    Args:
        in_dim: width H of what the head reads.
        column: the table's column with the labels; None = the task needs no label.
        weight: share of this task in the summed loss (``balance=fixed``).
        lr_scale: factor on the learning rate of this task's parameters.

    Attributes:
        kind: how predictions are stored and drawn: ``classification``, ``multilabel``, ``regression``, or any other
            word for predictions that JSON can hold.
        quotes_samples: whether targets or predictions hold parts of samples (texts, spans), which a private run keeps
            to itself. Of the three kinds named above they never do.
        reads_tokens: whether the head reads token sequences, of ``state.fused.tokens`` or of ``state.encoded``.
        main_metric: key in ``make_metrics`` by which checkpoints are chosen, or ``loss``.
        higher_is_better: of ``main_metric``.
        shown_metrics: keys of ``make_metrics`` that the table at the end of a run and the learning curves show, the
            loss always beside them; None = all. ``metrics.json`` and trackers have every one.
        columns: the table's columns that ``encode`` reads; () = the task needs no label.
        aligned_to: modalities whose alignment of tokens with the raw text or sound ``encode`` needs.
        aligned_kinds: kinds of input that these may be.
        compares_samples: whether the loss is over pairs of the samples of a batch, so that totals of batches add up
            only approximately to that of one batch that holds them all.
        fits_head: whether ``fit_head`` fits a part of the head to all training samples, before each validation.
        changes_inputs: modalities that ``change_inputs`` changes. They are encoded anew where they are changed: in
            training, and in evaluation if all tasks change inputs.
        tunes: whether ``tune`` chooses something on the validation split once the best checkpoint is restored.
        measured_each_epoch: whether the validation between epochs takes the metrics too, not the loss alone. A task
            whose metrics are costly (it generates) sets it to False; a metric that chooses the checkpoint or stops the
            training is taken all the same.
        loss_only: True while nothing but the loss will be read of the outputs: ``forward`` may leave out what only
            metrics and predictions need, and ``update`` must then add nothing. Training sets it.
        between_epochs: True while the validation between epochs is measured: a costly metric by which no checkpoint is
            chosen may be left out there. Training sets it.
        connected: the model's encoders by name, once it is built; empty before, and in the loader's workers.
        exchanges: whether ``exchanged`` gives what the model fuses once more for this task.
        target_score_name: what ``target_score`` is, in words.
        chance: the main metric of an answer that is the same for all samples; None = it depends on them.
    """

    kind: ClassVar[str] = "other"
    quotes_samples: ClassVar[bool] = True
    reads_tokens: ClassVar[bool] = False
    main_metric: ClassVar[str] = "loss"
    higher_is_better: ClassVar[bool] = True
    compares_samples: bool = False
    fits_head: ClassVar[bool] = False
    shown_metrics: tuple[str, ...] | None = None
    columns: tuple[str, ...] = ()
    aligned_to: tuple[str, ...] = ()
    aligned_kinds: tuple[str, ...] = ("text",)
    changes_inputs: tuple[str, ...] = ()
    exchanges: bool = False
    tunes: bool = False
    measured_each_epoch: bool = True
    loss_only: bool = False
    between_epochs: bool = False
    target_score_name: ClassVar[str] = "probability of the label"
    chance: ClassVar[float | None] = None

    def __init__(
        self,
        in_dim: int,
        column: str | None = None,
        weight: Annotated[float, Range(0)] = 1.0,
        lr_scale: Annotated[float, Range(0)] = 1.0,
    ) -> None:
        super().__init__()
        self.in_dim = in_dim
        self.column = column
        self.columns = () if column is None else (column,)
        self.weight = weight
        self.lr_scale = lr_scale
        # a plain dictionary: the encoders' parameters are the encoders' own, whoever else reads them
        self.connected: dict[str, Encoder] = {}

    def connect(self, encoders: Mapping[str, Encoder]) -> None:
        """Called once by the model that the task becomes a part of, also by one that is loaded.

        Here a task learns what it needs of the encoders (a vocabulary, the shape of inputs) and may build modules that
        depend on it; weights that it shares with an encoder it reads from ``connected`` and does not register.

        Args:
            encoders: by name, complete but for the weights of a model that is being loaded.

        Raises:
            ConfigError: an encoder does not give what the task needs.
        """
        self.connected = dict(encoders)

    def connect_tasks(self, tasks: Mapping[str, Task]) -> None:
        """Called once by the model after ``connect``, for a task that reads what another one computes.

        Args:
            tasks: all of the model's by name, itself too. They are kept in plain containers, not registered.

        Raises:
            ConfigError: the task that it needs is not there.
        """

    @classmethod
    def fit_labels(cls, cells: Iterable[Any], column: str) -> dict[str, Any]:
        """Arguments of ``__init__`` that follow from the train split's label cells (classes, mean and spread).

        Args:
            cells: the column's values in the train split; None where a label is missing.
            column: its name, for messages.

        Raises:
            DataError: no cell carries a label, or a cell is not of the task's type.
        """
        return {}

    @classmethod
    def check_cell(cls, cell: Any) -> None:
        """Refuses a cell that can be no label of any such task; with ``on_error=skip`` nothing is learnt from it.

        Raises:
            DataError: says what is wrong with the value.
        """

    # labels

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> Any:
        """One sample's label, in any form that ``collate`` takes; None = unlabelled.

        Args:
            cells: by column of ``columns``; None where a cell is empty or the table lacks the column.
            prepared: by modality of ``aligned_to``, of a text: ``input_ids`` (L,) int64, ``word_ids`` (L,) int64, the
                word of each token counted from 0, -1 for special tokens, and ``offsets`` (L, 2) int64, where each token
                begins and ends in the raw text, in characters; and ``text``, the raw text. Of a sound: ``times`` (L, 2)
                float64, when each token begins and ends, in seconds. L is the number of the sample's tokens in
                ``Encoded``. None where the sample lacks the modality.
            draw: from which random choices of a training sample follow; None = there are none.

        Raises:
            DataError: a cell is no label of this task. The message says what is wrong with the value; the caller adds
                file, row and column.
        """
        if self.columns:
            raise NotImplementedError(f"{type(self).__name__} reads columns, so it must implement encode and collate.")
        return True

    def check_label(self, cells: Mapping[str, Any], raws: Mapping[str, Any]) -> None:
        """Refuses, before training, a label that ``encode`` would; of tasks that are aligned or read several columns.

        Args:
            cells: by column of ``columns``; None where a cell is empty or the table lacks the column.
            raws: by modality of ``aligned_to`` the raw text, as far as the sample has one.

        Raises:
            DataError: as ``encode``, as far as this shows without tokens.
        """

    @by_rows
    def collate(self, targets: Sequence[Any]) -> Tensors:
        """What ``encode`` gave of each of B samples -> targets, (B, ...) each.

        Of a task without columns ``counted`` (B,) bool, False for the copies that only fill up a batch.
        """
        return {"counted": torch.tensor([target is not None for target in targets])}

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool: which samples carry a label for this task."""
        return targets["counted"]

    def set_input_columns(self, columns: Mapping[str, str]) -> None:
        """Tells a built task the table's column by modality, where it is measured on another table than it learnt from.

        For tasks that read the columns of the inputs (``input_columns``); others ignore it.
        """

    def count(self, targets: Tensors) -> Tensor:
        """() how much of the targets is labelled, in the units of ``loss(...).count``, which it must equal.

        Known before the forward pass, so that accumulated batches can be weighed. Where the count depends on the
        outputs (pairs of modalities that are present), the number of samples is near enough.
        """
        return self.labelled(targets).sum()

    def decode(self, targets: Tensors) -> list[Any]:
        """Targets of B samples -> their labels in the table's words, None where unlabelled."""
        return [None] * len(self.labelled(targets))

    def change_inputs(
        self, inputs: Mapping[str, Inputs], draws: Sequence[int], targets: Tensors
    ) -> tuple[dict[str, Inputs], Tensors]:
        """Changes what the model reads of a batch, as masked language models do; only with ``changes_inputs``.

        Args:
            inputs: by modality of ``changes_inputs``, what the encoder's processor collated; not to be edited.
            draws: a number for each of B samples, from which its random choices follow.
            targets: what ``collate`` made of the batch; a sample that is not labelled there gets no target here.

        Returns:
            The changed inputs, and targets that follow from the change; they join those of ``collate``.
        """
        raise NotImplementedError

    def exchanged(self, state: State, targets: Tensors) -> tuple[dict[str, Encoded], Tensor]:
        """The batch with parts of samples exchanged after they were encoded; only with ``exchanges``.

        The model fuses it once more, where a loss is taken, and gives what ``forward`` makes of that among the outputs
        under ``exchanged_NAME``; no other task reads it.

        Args:
            state: of the batch.
            targets: of the same.

        Returns:
            The encoded modalities, and (B,) bool, which samples were changed; it joins the outputs as ``exchanged``.
        """
        raise NotImplementedError

    # head, loss, metrics, predictions

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """The head: outputs, (B, ...) each.

        Args:
            state: the fused and the encoded modalities.
            targets: given where a loss will be taken, for teacher forcing; nothing else may depend on them.
        """
        raise NotImplementedError

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """Sum of the loss over what is labelled, and how much that is; 0 and 0 with a graph if nothing is."""
        raise NotImplementedError

    def target_probability(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,) in [0, 1]: the probability of each sample's label, 0 where there is none; ``ogm_ge`` reads it."""
        raise NotImplementedError

    def target_score(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): how well each sample's label is answered, the greater the better, 0 where there is no answer.

        ``mmbert-explain`` shares it out to the modalities.
        """
        return self.target_probability(outputs, targets)

    @property
    def answers_in(self) -> tuple[str, ...]:
        """The modalities without which a sample has no answer: it is given for their parts."""
        return self.aligned_to

    def fit_head(self, outputs: Tensors, targets: Tensors) -> None:
        """Fits the part of the head that no gradient trains, kept in buffers; only with ``fits_head``.

        Args:
            outputs: of all N training samples, in evaluation mode, without gradients, in the order of their rows.
            targets: of the same.
        """
        raise NotImplementedError

    def make_metrics(self) -> MetricCollection:
        """A fresh set of metrics; training keeps one for each split."""
        return MetricCollection({})

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds a batch to the metrics, labelled samples alone."""

    def metric_notes(self, metrics: MetricCollection) -> dict[str, str]:
        """How a metric was computed, where its name alone does not say it, such as sacrebleu's signature.

        Args:
            metrics: those of ``make_metrics``, computed.

        Returns:
            One line by metric; they are printed with the results and kept in ``metrics.json``.
        """
        return {}

    def undefined_metrics(self, targets: Tensors) -> dict[str, str]:
        """The metrics that have no value over these targets whatever is predicted, each with the reason.

        Args:
            targets: of all samples of a split, some of them labelled.
        """
        return {}

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """One dictionary a sample: ``prediction`` in the labels' own words, for classes ``probabilities`` {class: p}.

        Args:
            state: for tasks that generate, and for those that answer in words of the input: ``state.alignments`` holds
                what ``encode`` is given of each sample.
            outputs: what ``forward`` gave.
        """
        raise NotImplementedError

    # what is chosen on the validation split after training: a threshold, a temperature

    def tuning_data(self, state: State, outputs: Tensors, targets: Tensors) -> Sequence[Any]:
        """What ``tune`` needs of each of B samples; None = unlabelled. Only with ``tunes``.

        The entries are gathered over batches and processes, so they should be small, and on the CPU.
        """
        raise NotImplementedError

    def tune(self, samples: Sequence[Any]) -> dict[str, Any]:
        """Chooses, and keeps in buffers, what ``predict`` and the metrics use from then on; only with ``tunes``.

        Args:
            samples: what ``tuning_data`` gave of every labelled sample of the validation split, at least one, in the
                order of the table.

        Returns:
            What was chosen, by option, for ``metrics.json``: strings, numbers, lists and dictionaries of them.
        """
        raise NotImplementedError

    # for other parts of mmbert

    @property
    def output_spec(self) -> OutputSpec | None:
        """What the outputs are, so that those of several heads can be joined; None = they cannot be."""
        return None

    def save_assets(self, folder: Path) -> None:
        """Writes the files, other than weights, from which ``rebuild_args`` builds the same task offline."""

    @classmethod
    def rebuild_args(cls, args: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Arguments that rebuild the task without any download.

        Args:
            args: the saved ``init_args``.
            folder: what ``save_assets`` wrote; it does not exist if that wrote nothing.
        """
        return args

    def without_weights(self) -> Self:
        """A copy for the loader's workers: no parameters, no submodules; buffers stay on the device where they are."""
        light = copy.copy(self)
        object.__setattr__(light, "_parameters", {})
        object.__setattr__(light, "_modules", {})
        object.__setattr__(light, "_buffers", dict(self._buffers))
        light.connected = {}
        return light


class Head(nn.Sequential):
    """Fused vector -> logits: linear, or with one hidden layer.

    Args:
        in_dim: width H.
        out_dim: number of outputs.
        hidden_dim: width of the hidden layer; 0 = a single linear layer.
        dropout: on the head's input and on the hidden layer.
    """

    def __init__(self, in_dim: int, out_dim: int, hidden_dim: int = 0, dropout: float = 0.0) -> None:
        if hidden_dim:
            super().__init__(
                nn.Dropout(dropout),
                nn.Linear(in_dim, hidden_dim),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(hidden_dim, out_dim),
            )
        else:
            super().__init__(nn.Dropout(dropout), nn.Linear(in_dim, out_dim))
