"""Label cells, texts and fused inputs for trying out a task, and batches made of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmbert.core.errors import InputError
from mmbert.core.types import Encoded, Fused, Inputs, Loss, State, Tensors, rows_of
from mmbert.data.loading.collate import as_arrays
from mmbert.data.modalities.registry import modality_of
from mmbert.encoders.base import Encoder
from mmbert.encoders.features import FeatureEncoder
from mmbert.encoders.processors.token_grid import token_times
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.mean import MeanFusion
from mmbert.tasks.base import Task

#: Widths of the modalities, and of the fused vector.
TASK_DIMS = {"text": 6, "image": 5, "audio": 4}
IN_DIM = 16
#: Middle of the first token, and from one to the next, in seconds.
TOKEN_TIMES = [0.02, 0.04]
#: Cells by a task's ``kind``: label cells, and a cell that is no label.
CELLS: dict[str, list[Any]] = {
    "classification": ["b", "a", "c", "a", "b", "c", "a", "b"],
    "multilabel": ["red|round", "", "blue", "blue|red", "round", "red", "blue|round", "red"],
    "regression": [3.5, -1.25, 0.0, 12.0, 3.5, 7.0, -4.0, 2.5],
    "tagging": [
        ["O", "B-ACT", "I-ACT", "O"],
        ["B-ACT"],
        ["O", "O", "O", "B-OBJ", "O"],
        ["O", "B-OBJ"],
        ["B-OBJ"],
        ["O", "B-ACT", "I-ACT", "I-ACT"],
        ["O"],
        ["B-OBJ", "I-OBJ"],
    ],
    "extractive_qa": [
        "or not",
        "be",
        {"text": ["question", "the question"], "answer_start": [12, 8]},
        [],
        "rub",
        {"text": ["to sleep"], "answer_start": [7]},
        [],
        "more",
    ],
}
#: One text for each of the cells above; words of one and of two tokens.
TEXTS = [
    "to be or not",
    "be",
    "that is the question here",
    "aye there",
    "rub",
    "to die to sleep",
    "perchance",
    "no more",
]
#: Of the samples of a task that changes inputs.
FIRST_DRAW = 40
#: Word pieces of the made-up tokenizer have at most so many letters.
PIECE = 4


@dataclass(frozen=True)
class TaskCase:
    """A task class with its options, and what it is tried on.

    Attributes:
        build: options -> the task, built anew.
        cells: one mapping a sample, cells by column; None where a label is missing does not occur here.
        texts: one a sample, for tasks whose labels are aligned to words.
        dims: width by modality.
        wrong: a cell that is no label, for every column; None = none is known.
        encoders: by name, that the task is connected to; empty for tasks that change no inputs.
    """

    build: Callable[..., Task]
    cells: Sequence[Mapping[str, Any]]
    texts: Sequence[str]
    dims: Mapping[str, int]
    wrong: Any = None
    encoders: Mapping[str, Encoder] = field(default_factory=dict)

    def make(self, seed: int = 0, **options: Any) -> Task:
        """The task, built with the random state of ``seed`` and further options."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            task = self.build(**options)
            if self.encoders:
                task.connect(self.encoders)
            return task

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.cells)

    def state(self, task: Task, present: Tensor | None = None, seed: int = 0) -> State:
        """Random encoded modalities, as long as the samples' texts where a task is aligned to one, and their fusion.

        Of a task that changes inputs they are what its encoders make of the changed inputs, and a little noise.

        Args:
            task: which modalities it is aligned to.
            present: (B, M) bool, which sample has which modality; None = all of them.
            seed: of the values.
        """
        generator = torch.Generator().manual_seed(seed)
        encoded = {}
        inputs = self.changed(task)[0] if self.encoders else {}
        for number, (name, dim) in enumerate(self.dims.items()):
            lengths = torch.tensor([len(pieces(text)) for text in self.texts])
            if name not in task.aligned_to:
                lengths = torch.randint(2, 7, (self.size,), generator=generator)
            mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
            given = None
            if name in inputs:
                with torch.no_grad():
                    given = self.encoders[name].eval()(inputs[name])
                mask = given.mask
            tokens = torch.randn(*mask.shape, dim, generator=generator)
            if given is not None:
                tokens = given.tokens + 0.1 * tokens
            if present is not None:
                mask = mask & present[:, number : number + 1]
            encoded[name] = Encoded.from_tokens(torch.where(mask.unsqueeze(-1), tokens, 0.0), mask)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            fused = MeanFusion(dict(self.dims), task.in_dim).eval()(encoded)
        alignments: dict[str, list[Any]] = {}
        for name in task.aligned_to:
            there = encoded[name].present.tolist()
            alignments[name] = [  # arrays, as batches have them
                as_arrays(alignment(text)) if here else None for text, here in zip(self.texts, there, strict=True)
            ]
        return State(fused, encoded, inputs, alignments)

    def changed(self, task: Task, labelled: bool = True) -> tuple[dict[str, Inputs], Tensors]:
        """What a task that changes inputs makes of all samples: inputs of every encoder, and targets.

        Args:
            task: connected to the encoders.
            labelled: whether the samples count; False = they only fill up a batch.
        """
        inputs = made_up_inputs(self.encoders, self.texts)
        targets = task.collate([self.encode(task, row) if labelled else None for row in range(self.size)])
        read = {name: inputs[name] for name in task.changes_inputs}
        draws = range(FIRST_DRAW, FIRST_DRAW + self.size)
        changed, found = task.change_inputs(read, draws, targets)
        return {**inputs, **changed}, {**targets, **found}

    def prepared(self, task: Task, row: int) -> dict[str, Any]:
        """What ``Task.encode`` is given of a sample's text, by modality it is aligned to."""
        return dict.fromkeys(task.aligned_to, alignment(self.texts[row]))

    def encode(self, task: Task, row: int) -> Any:
        """One sample's label."""
        return task.encode(self.cells[row], self.prepared(task, row))

    def targets(self, task: Task, rows: Iterable[int | None]) -> Tensors:
        """Labels of a batch; None = a sample without any."""
        if self.encoders:
            of = {labelled: self.changed(task, labelled)[1] for labelled in (True, False)}
            chosen = [(row is not None, place % self.size if row is None else row) for place, row in enumerate(rows)]
            return {
                name: torch.stack([of[labelled][name][row] for labelled, row in chosen]) if chosen else tensor[:0]
                for name, tensor in of[True].items()
            }
        return task.collate([None if row is None else self.encode(task, row) for row in rows])

    def all_targets(self, task: Task) -> Tensors:
        """Labels of all samples."""
        return self.targets(task, range(self.size))


def cells_of(task: type[Task] | Callable[..., Task], given: Sequence[Any] | None, column: str) -> list[dict[str, Any]]:
    """The label cells that a task is tried on, by column.

    A dictionary is cells by column, or, of a task with the one column ``column``, which it does not name, a cell.

    Raises:
        InputError: there are none, or too few.
    """
    kind = getattr(task, "kind", "other")
    if given is None and kind not in CELLS:
        return [{} for _ in TEXTS]
    cells = CELLS[kind] if given is None else given
    if len(cells) < 4:
        raise InputError(f"{len(cells)} cells are too few to try a task on: give 4 or more.")
    wanted = inspect.signature(task).parameters.get("column")
    one_column = wanted is not None and wanted.default is inspect.Parameter.empty
    return [
        dict(cell) if isinstance(cell, Mapping) and (column in cell or not one_column) else {column: cell}
        for cell in cells
    ]


def texts_of(given: Sequence[str] | None, size: int) -> list[str]:
    """One text a sample.

    Raises:
        InputError: there are fewer or more than samples.
    """
    if given is None:
        return [TEXTS[row % len(TEXTS)] for row in range(size)]
    if len(given) != size:
        raise InputError(f"There are {len(given)} texts for {size} cells: give one for each.")
    return list(given)


def pieces(text: str) -> list[tuple[int, int, int]]:
    """A made-up tokenizer: a special token at each end, and words cut into pieces; (word, begin, end) of each."""
    found, place = [(-1, 0, 0)], 0
    for word, letters in enumerate(text.split()):
        place = text.index(letters, place)
        for begin in range(0, len(letters), PIECE):
            found.append((word, place + begin, place + min(begin + PIECE, len(letters))))
        place += len(letters)
    return [*found, (-1, 0, 0)]


def made_up_encoders(dims: Mapping[str, int]) -> dict[str, Encoder]:
    """Encoders for tasks that change inputs: a tiny BERT called ``text``, and ready features for every other name.

    Args:
        dims: width by modality; the tiny BERT has its own.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {name: TextEncoder("tiny") if name == "text" else FeatureEncoder(dim) for name, dim in dims.items()}


def made_up_inputs(encoders: Mapping[str, Encoder], texts: Sequence[str]) -> dict[str, Inputs]:
    """Inputs of one sample for each text: the texts themselves, and made-up samples of every other kind."""
    inputs = {}
    for number, (name, encoder) in enumerate(encoders.items()):
        processor = encoder.processor
        values: list[Any] = list(texts)
        if name != "text":
            found = modality_of(encoder).made_up(processor, np.random.default_rng(number))[0]
            values = [found[row % len(found)] for row in range(len(texts))]
        inputs[name] = processor.collate([processor.prepare(value) for value in values])
    return inputs


def alignment(text: str) -> dict[str, Any]:
    """``input_ids`` (L,), ``word_ids`` (L,), ``offsets`` (L, 2) and ``times`` (L, 2) of a text, and the text."""
    table = torch.tensor(pieces(text))
    ids, times = torch.arange(len(table)) + 5, token_times(len(table), *TOKEN_TIMES)
    return {"input_ids": ids, "word_ids": table[:, 0], "offsets": table[:, 1:], "times": times, "text": text}


def state_rows(state: State, rows: Sequence[int]) -> State:
    """Some of the samples, in the order given."""
    index = torch.tensor(list(rows))
    fused = state.fused
    trees = {name: rows_of(getattr(fused, name), index) for name in ("tokens", "masks", "views", "view_masks")}
    inputs = {name: rows_of(part, index) for name, part in state.inputs.items()}
    alignments = {name: [each[row] for row in rows] for name, each in state.alignments.items()}
    encoded = rows_of(state.encoded, index)
    return State(replace(fused, pooled=fused.pooled[index], **trees), encoded, inputs, alignments)


def padded_state(state: State, extra: int, junk: float) -> State:
    """The same samples with ``extra`` more places of padding in every sequence, and ``junk`` in all padding."""

    def longer(tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        size, _, width = tokens.shape
        mask = torch.cat([mask, mask.new_zeros(size, extra)], 1)
        tokens = torch.cat([tokens, tokens.new_zeros(size, extra, width)], 1)
        return tokens.masked_fill(~mask.unsqueeze(-1), junk), mask

    fused = {name: longer(tokens, state.fused.masks[name]) for name, tokens in state.fused.tokens.items()}
    encoded = {name: longer(x.tokens, x.mask) for name, x in state.encoded.items()}
    return State(
        Fused(
            state.fused.pooled,
            {name: tokens for name, (tokens, _) in fused.items()},
            {name: mask for name, (_, mask) in fused.items()},
        ),
        {name: Encoded(*parts, state.encoded[name].pooled) for name, parts in encoded.items()},
        state.inputs,
        state.alignments,
    )


def loss_tensors(loss: Loss) -> dict[str, Tensor]:
    """Its sum and its count, by name."""
    return {"loss.total": loss.total, "loss.count": torch.as_tensor(loss.count).float()}


def float_tensors(tensors: Tensors) -> Tensors:
    """Those that are floats."""
    return {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}


def labelled_task(case: TaskCase) -> bool:
    """Whether the task's loss is a sum over labels; a loss over pairs within the batch is not."""
    task = case.make()
    return bool(task.columns) and not task.compares_samples
