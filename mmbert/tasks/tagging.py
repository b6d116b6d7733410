"""Tagging: a tag for each word of a text, such as names of persons and places (NER) or parts of speech."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torchmetrics import MetricCollection

from mmbert.core.errors import ConfigError, DataError, InputError, nearest
from mmbert.core.ranges import Range
from mmbert.core.types import UNLABELLED, Loss, State, Tensors
from mmbert.tasks.base import Head, Task
from mmbert.tasks.class_options import checked_classes
from mmbert.tasks.spans.entity_counts import (
    CutWords,
    TagScore,
    entity_counts,
    entity_types,
    lenient_entities,
    strict_entities,
    type_keys,
    word_counts,
)
from mmbert.tasks.spans.tag_cells import tags_of_cell
from mmbert.tasks.spans.tag_schemes import (
    OUTSIDE,
    SCHEMES,
    Scheme,
    check_scheme,
    group_tag,
    guess_scheme,
    ungrouped_tags,
)
from mmbert.tasks.spans.units import UNITS, Unit, check_label_words, first_tokens, unit_extents, with_marks


class Tagging(Task):
    """One tag a word, learnt and read at the word's first token; its other tokens are ignored.

    Where several words lie in one token (``2023`` under ``unit=character``), the token learns the first word's tag and
    the others go on with the entity. A word without any token, because the encoder cuts long texts, is learnt nowhere
    and counts as tagged O: entities in it are missed.

    Targets: ``tags`` (B, W) int64 by word, UNLABELLED beyond the last; ``places`` (B, W) int64, each word's first
    token, -1 where it has none; ``learnt`` (B, W) int64, what that token has to learn, UNLABELLED where another word
    has taught it. Outputs: ``logits`` (B, L, C) by token, and their
    ``mask`` (B, L) bool; where it is False throughout, the text was taken away, and every word counts as tagged O.

    Metrics: ``f1_lenient`` and ``f1_strict`` (entities, micro average, equal to seqeval's ``f1_score`` by default and
    in strict mode), ``precision_lenient``, ``recall_lenient``, ``accuracy`` (share of words with the right tag),
    ``f1_lenient_TYPE`` and ``cut_words`` (labelled words without a token). With ``scheme=none`` there are no entities,
    and ``accuracy`` chooses the checkpoint.

    Args:
        in_dim: width H of the fused tokens.
        column: the table's column with the tags.
        tags: the C tags in the order of the logits; learnt from the train split.
        scheme: how tags spell entities; learnt from the train split. See ``mmbert.tasks.spans.tag_schemes``.
        unit: what carries a tag: ``white_space`` = what white space separates, ``punctuation`` = the same with
            punctuation marks apart, ``character`` = every character, as is usual for Chinese.
        reads: the text modality whose words are tagged.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        hidden_dim: width of a hidden layer in the head; 0 = a linear head.
        dropout: on the head's input and on its hidden layer.

    Raises:
        ConfigError: fewer than two tags, tags that are none of the scheme, or an option outside its range.
    """

    kind = "tagging"
    quotes_samples = False
    reads_tokens = True
    main_metric = "f1_lenient"

    def __init__(
        self,
        in_dim: int,
        column: str,
        tags: Sequence[str],
        scheme: Scheme | None = None,
        unit: Unit = "white_space",
        reads: str = "text",
        weight: float = 1.0,
        lr_scale: float = 1.0,
        hidden_dim: Annotated[int, Range(0)] = 0,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(in_dim, column, weight, lr_scale)
        self.tags = self.init_args["tags"] = checked_classes(tags, column, least=2)
        if unit not in UNITS:
            raise ConfigError(f"unit={unit} on column '{column}' is unknown. {nearest(unit, UNITS)}")
        if scheme is not None and scheme not in SCHEMES:
            raise ConfigError(f"scheme={scheme} on column '{column}' is unknown. {nearest(scheme, SCHEMES)}")
        self.scheme: Scheme = guess_scheme([[tag] for tag in self.tags]) if scheme is None else scheme
        check_scheme(self.scheme, self.tags, column)
        self.unit, self.reads = unit, reads
        self.aligned_to = (reads,)
        self.types = [] if self.scheme == "none" else entity_types(self.tags)
        if self.scheme == "none":
            self.main_metric = "accuracy"  # type: ignore[misc]
        self._numbers = {tag: number for number, tag in enumerate(self.tags)}
        self.head = Head(in_dim, len(self.tags), hidden_dim, dropout)

    @classmethod
    def fit_labels(cls, cells: Iterable[Any], column: str) -> dict[str, Any]:
        """``tags``, O first and the others in alphabetical order, and ``scheme``, from the train split's cells.

        Cells that are no tags are left to ``encode``, which names their rows.

        Raises:
            DataError: no cell holds tags, or all hold the same one.
        """
        rows = []
        for cell in cells:
            try:
                rows += [] if cell is None else [tags_of_cell(cell)[1]]
            except DataError:
                continue
        tags = sorted({tag for row in rows for tag in row}, key=lambda tag: (tag != OUTSIDE, tag))
        if not tags:
            raise DataError(f"Column '{column}' has no tags in the train split.")
        if len(tags) == 1:
            raise DataError(f"Column '{column}' has the one tag '{tags[0]}' in the train split: nothing to tell apart.")
        return {"tags": tags, "scheme": guess_scheme(rows)}

    @classmethod
    def check_cell(cls, cell: Any) -> None:
        """Refuses what is no list of tags."""
        tags_of_cell(cell)

    def check_label(self, cells: Mapping[str, Any], raws: Mapping[str, Any]) -> None:
        """See ``Task``.

        Raises:
            DataError: the cell is no list of tags, has not one for each word of the text, or an unknown one.
        """
        cell = cells[self.columns[0]]
        if cell is not None and self.reads in raws:
            self.word_tags(cell, raws[self.reads])

    def word_tags(self, cell: Any, text: str) -> list[str]:
        """The tags of a text's words.

        Raises:
            DataError: see ``check_label``.
        """
        named, tags = tags_of_cell(cell)
        if named is not None:
            check_label_words(named, text, self.unit)
        count = len(unit_extents(text, self.unit))
        if len(tags) != count:
            fits = [unit for unit in UNITS if len(unit_extents(text, unit)) == len(tags)]  # type: ignore[arg-type]
            hint = f" It has {len(tags)} with unit={fits[0]}." if fits else ""
            raise DataError(f"{len(tags)} tags for a text of {count} words (unit={self.unit}).{hint}")
        unknown = next((tag for tag in tags if tag not in self._numbers), None)
        if unknown is not None:
            raise DataError(f"the tag '{unknown}' does not occur in the train split. {nearest(unknown, self.tags)}")
        return tags

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> Any:
        """(W, 3) int64: ``tags``, ``places`` and ``learnt`` of the text's words.

        Raises:
            DataError: see ``check_label``.
        """
        cell, alignment = cells[self.columns[0]], prepared[self.reads]
        if cell is None or alignment is None:
            return None
        tags = self.word_tags(cell, alignment["text"])
        places = first_tokens(unit_extents(alignment["text"], self.unit), alignment)
        rows = []
        for place, group in groupby(range(len(tags)), key=places.__getitem__):
            words = list(group)
            taught = group_tag([tags[word] for word in words], self.scheme) if place >= 0 else None
            number = UNLABELLED if taught is None else self._numbers.get(taught, self._numbers[tags[words[0]]])
            rows += [[self._numbers[tags[word]], place, number if word == words[0] else UNLABELLED] for word in words]
        return torch.tensor(rows)

    def collate(self, targets: Sequence[Any]) -> Tensors:
        """``tags``, ``places`` and ``learnt``, (B, W) int64 each."""
        nothing = torch.tensor([[UNLABELLED, -1, UNLABELLED]])
        rows = pad_sequence([nothing if t is None else t for t in targets], True, UNLABELLED)  # (B, W, 3)
        return {"tags": rows[..., 0], "places": rows[..., 1].clamp(min=-1), "learnt": rows[..., 2]}

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool."""
        return (targets["tags"] != UNLABELLED).any(1)

    def count(self, targets: Tensors) -> Tensor:
        """() tokens that are taught a tag."""
        return (targets["learnt"] != UNLABELLED).sum()

    def decode(self, targets: Tensors) -> list[list[str] | None]:
        """Tags by word."""
        return [[self.tags[i] for i in row if i != UNLABELLED] or None for row in targets["tags"].tolist()]

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """Fused tokens of the text (B, L, H) -> ``logits`` (B, L, C) and ``mask`` (B, L) bool."""
        return {"logits": self.head(state.fused.tokens[self.reads]), "mask": state.fused.masks[self.reads]}

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """Cross-entropy, a sum over the tokens that are taught a tag."""
        taught = targets["learnt"] != UNLABELLED
        samples, _ = taught.nonzero(as_tuple=True)
        logits = outputs["logits"][samples, targets["places"][taught]].float()  # (N, C)
        return Loss(F.cross_entropy(logits, targets["learnt"][taught], reduction="sum"), self.count(targets))

    def target_probability(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): the mean probability of the right tags, 0 where there are none."""
        taught = targets["learnt"] != UNLABELLED
        samples, _ = taught.nonzero(as_tuple=True)
        shares = outputs["logits"][samples, targets["places"][taught]].float().softmax(-1)
        right = shares.gather(1, targets["learnt"][taught].unsqueeze(1)).squeeze(1)
        total = right.new_zeros(len(taught)).index_add(0, samples, right)
        return total / taught.sum(1).clamp(min=1)

    def make_metrics(self) -> MetricCollection:
        """See the class."""
        scores = ["accuracy", "cut_words"]
        if self.scheme != "none":
            scores = ["f1_lenient", "f1_strict", "precision_lenient", "recall_lenient", *scores]
        size = len(self.types)
        metrics: dict[str, Any] = {s: (CutWords if s == "cut_words" else TagScore)(s, size) for s in scores}
        metrics |= {key: TagScore("f1_lenient", size, place) for key, place in type_keys(tuple(self.types)).items()}
        return MetricCollection(metrics, compute_groups=[list(metrics)])

    def metric_notes(self, metrics: MetricCollection) -> dict[str, str]:
        """By which scheme entities are read."""
        if self.scheme == "none":
            return {"accuracy": "share of words with the right tag; the tags are plain classes (scheme=none)"}
        return {
            "f1_lenient": "entities as seqeval reads them by default, whatever the scheme",
            "f1_strict": f'entities as seqeval reads them with mode="strict" and the scheme {self.scheme}',
        }

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the counts of the labelled samples of a batch."""
        lenient = torch.zeros(3, len(self.types), dtype=torch.int64)
        strict, words = torch.zeros_like(lenient), torch.zeros(3, dtype=torch.int64)
        best, present = outputs["logits"].argmax(-1).tolist(), outputs["mask"].any(1, keepdim=True)
        places = torch.where(present, targets["places"], -1).tolist()
        for row, true in enumerate(self.decode(targets)):
            if true is None:
                continue
            here = places[row][: len(true)]
            predicted = self.spelt(here, best[row])
            words += word_counts(true, predicted, sum(place < 0 for place in here))
            if self.scheme != "none":
                read = [lenient_entities(tags, self.scheme) for tags in (true, predicted)]
                lenient += entity_counts(read[0], read[1], self.types)
                read = [strict_entities(tags, self.scheme) for tags in (true, predicted)]
                strict += entity_counts(read[0], read[1], self.types)
        metrics.update(lenient, strict, words)

    def spelt(self, places: Sequence[int], best: Sequence[int]) -> list[str]:
        """Tags by word, of each word's token and of each token's best tag; O where a word has no token."""
        tags: list[str] = []
        for place, group in groupby(places):
            size = len(list(group))
            tags += [OUTSIDE] * size if place < 0 else ungrouped_tags(self.tags[best[place]], size, self.scheme)
        return tags

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``, a tag for each word; ``words``; ``entities`` with type, text, start and end (characters).

        Raises:
            InputError: ``state.alignments`` lacks the text.
        """
        if self.reads not in state.alignments:
            raise InputError(
                f"Tags belong to words: predict needs state.alignments['{self.reads}'] (Batch.alignments)."
            )
        best = outputs["logits"].detach().argmax(-1).tolist()
        answers: list[dict[str, Any]] = []
        for alignment, row in zip(state.alignments[self.reads], best, strict=True):
            if alignment is None:
                answers.append({"prediction": [], "words": [], "entities": []})
                continue
            text, extents = alignment["text"], unit_extents(alignment["text"], self.unit)
            tags = self.spelt(first_tokens(extents, alignment), row)
            entities = []
            for kind, first, last in lenient_entities(tags, self.scheme) if self.scheme != "none" else []:
                begin, end = extents[first][0], with_marks(text, extents[last][1])
                entities.append({"type": kind, "text": text[begin:end], "start": begin, "end": end})
            words = [text[begin:end] for begin, end in extents]
            answers.append({"prediction": tags, "words": words, "entities": entities})
        return answers
