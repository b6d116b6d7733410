"""Extractive summaries: the sentences of a text that say most of what its summary says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torchmetrics import MetricCollection

from mmbert.core.errors import DataError, InputError
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import UNLABELLED, Loss, State, Tensors
from mmbert.data.tables.written_lists import written_list
from mmbert.tasks.base import Head, Task
from mmbert.tasks.summaries.selection import best_sentences, greedy_oracle, summary_lines
from mmbert.tasks.text_generation.references import packed_texts, reference_text, unpacked_texts
from mmbert.tasks.text_metrics.scores import ROUGE_TYPES, Rouge
from mmbert.tasks.text_metrics.sentences import sentence_spans
from mmbert.tasks.text_metrics.words import guess_language

#: What is measured: the model's summary, the first sentences of the text, and the oracle's.
SUMMARIES = {"": 0, "lead_": 1, "oracle_": 2}


class SummaryRouge(Rouge):
    """ROUGE of one of several summaries of each text.

    Args:
        kind: see ``Rouge``.
        language: see ``Rouge``.
        place: which of the summaries.
    """

    def __init__(self, kind: str, language: str, place: int) -> None:
        super().__init__(kind, language)
        self.place = place

    def score(self, answers: list[Any], references: list[list[str]]) -> float:
        """The mean over samples."""
        return super().score([each[self.place] for each in answers], references)


class ExtractiveSummary(Task):
    """Scores each sentence of the text; the best ones, in the order of the text, are its summary.

    Paper: Liu 2019, "Fine-tune BERT for Extractive Summarization" (BERTSum), arXiv:1903.10318, with its simple
    classifier. Differs from it: a sentence's score is the mean over its fused tokens, of one text as its encoder reads
    it, where BERTSum puts a [CLS] before each sentence and alternates the segments; other modalities enrich the tokens.

    A cell is a summary that somebody wrote, from which the sentences to learn follow by the greedy ROUGE oracle, or a
    list of sentences, counted from 0. Sentences that the encoder cuts off have no score and are never chosen.

    Targets: ``places`` (B, L) int64, the sentence of each token, -1 = none; ``chosen`` (B, S) int64, 1 or 0,
    UNLABELLED where there is no such sentence or none of its tokens; ``texts`` (B, N) uint8. Outputs: ``scores``
    (B, L).

    Metrics: mean F1 of ``rouge1``, ``rouge2``, ``rougeL``, ``rougeLsum``; the same with ``lead_`` for the first
    sentences (Lead-3) and with ``oracle_`` for the oracle, the most that choosing sentences can reach, nearly.

    Args:
        in_dim: width H of the fused tokens.
        column: the table's column with the summaries.
        num_sentences: of a summary.
        trigram_blocking: pass over a sentence that shares three words in a row with one already chosen.
        reads: the text modality that is summarised.
        language: of the summaries, an ISO code; None = told from their letters.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        hidden_dim: width of a hidden layer in the head; 0 = a linear head.
        dropout: on the head's input and on its hidden layer.
    """

    kind = "extractive_summary"
    target_score_name = "mean probability of what is right of each sentence, to choose it or to leave it"
    reads_tokens = True
    main_metric = "rougeL"

    def __init__(
        self,
        in_dim: int,
        column: str,
        num_sentences: Annotated[int, Range(1)] = 3,
        trigram_blocking: bool = True,
        reads: str = "text",
        language: str | None = None,
        weight: float = 1.0,
        lr_scale: float = 1.0,
        hidden_dim: Annotated[int, Range(0)] = 0,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(in_dim, column, weight, lr_scale)
        self.num_sentences, self.trigram_blocking, self.reads = num_sentences, trigram_blocking, reads
        self.language = language or "other"
        self.aligned_to = (reads,)
        self.head = Head(in_dim, 1, hidden_dim, dropout)

    @classmethod
    def fit_labels(cls, cells: Iterable[Any], column: str) -> dict[str, Any]:
        """``language`` by the letters of the train split's summaries.

        Raises:
            DataError: no cell has one.
        """
        known = [cell for cell in cells if cell is not None]
        if not known:
            raise DataError(f"Column '{column}' has no summary in the train split: every cell is empty.")
        texts = [str(cell) for cell in known[:2000] if listed_places(cell) is None]
        return {"language": guess_language(texts) if texts else "other"}

    # labels

    def check_label(self, cells: Mapping[str, Any], raws: Mapping[str, Any]) -> None:
        """See ``Task``.

        Raises:
            DataError: see ``encode``.
        """
        cell = cells[self.columns[0]]
        if cell is not None and self.reads in raws:
            text = raws[self.reads]
            self.wanted(cell, [text[begin:end] for begin, end in sentence_spans(text)])

    def wanted(self, cell: Any, sentences: Sequence[str]) -> tuple[list[int], str]:
        """The sentences to choose, and the summary that they are measured by.

        Raises:
            DataError: the cell is empty, no text, or names a sentence that there is not.
        """
        places = listed_places(cell)
        if places is None:
            reference = reference_text(cell)
            return list(greedy_oracle(tuple(sentences), reference, self.num_sentences, self.language)), reference
        if not places:
            raise DataError("the list of sentences is empty; leave the cell empty if there is no summary")
        wrong = next((place for place in places if not 0 <= place < len(sentences)), None)
        if wrong is not None:
            raise DataError(f"there is no sentence {wrong}: the text has {len(sentences)}, counted from 0")
        return sorted(set(places)), summary_lines(sentences, sorted(set(places)))

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> Any:
        """The sentence of each token (L,), which sentences to choose (S,), and the texts.

        Raises:
            DataError: the cell is no summary, or names a sentence that there is not.
        """
        cell, alignment = cells[self.columns[0]], prepared[self.reads]
        if cell is None or alignment is None:
            return None
        spans = sentence_spans(alignment["text"])
        sentences = [alignment["text"][begin:end] for begin, end in spans]
        wanted, reference = self.wanted(cell, sentences)
        places = token_sentences(spans, alignment)
        chosen = torch.zeros(len(sentences), dtype=torch.int64)
        chosen[wanted] = 1
        there = torch.zeros(len(sentences), dtype=torch.bool)
        there[places[places >= 0]] = True
        label = json.dumps(listed_places(cell))
        return (
            places,
            chosen.masked_fill(~there, UNLABELLED),
            [reference, label, summary_lines(sentences, wanted), *sentences],
        )

    def collate(self, targets: Sequence[Any]) -> Tensors:
        """``places`` (B, L), ``chosen`` (B, S), ``texts`` (B, N)."""
        nothing = (torch.tensor([-1]), torch.tensor([UNLABELLED]), None)
        places, chosen, texts = zip(*(nothing if target is None else target for target in targets), strict=True)
        return {
            "places": pad_sequence(list(places), batch_first=True, padding_value=-1),
            "chosen": pad_sequence(list(chosen), batch_first=True, padding_value=UNLABELLED),
            "texts": packed_texts(texts),
        }

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool."""
        return targets["texts"][:, 0] != 0

    def count(self, targets: Tensors) -> Tensor:
        """() sentences that have a token."""
        return (targets["chosen"] != UNLABELLED).sum()

    def decode(self, targets: Tensors) -> list[Any]:
        """The summary as it stands in the table."""
        rows = unpacked_texts(targets["texts"])
        return [(json.loads(row[1]) or row[0]) if row else None for row in rows]

    # head

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """Fused tokens of the text (B, L, H) -> ``scores`` (B, L)."""
        return {"scores": self.head(state.fused.tokens[self.reads]).squeeze(-1)}

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """Binary cross-entropy, a sum over sentences."""
        chosen = targets["chosen"]
        known = chosen != UNLABELLED
        scores = blank(sentence_means(outputs["scores"], targets["places"], chosen.shape[1]), known)
        each = F.binary_cross_entropy_with_logits(scores, chosen.clamp(min=0).float(), reduction="none")
        return Loss(blank(each, known).sum(), self.count(targets))

    def target_probability(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): mean over sentences of the probability of what is right of each, 0 where there is no summary."""
        chosen = targets["chosen"]
        known = chosen != UNLABELLED
        scores = sentence_means(outputs["scores"], targets["places"], chosen.shape[1])
        right = blank(torch.where(chosen == 1, scores, -scores).sigmoid(), known)
        return right.sum(1) / known.sum(1).clamp(min=1)

    # metrics and predictions

    def make_metrics(self) -> MetricCollection:
        """Each ROUGE of the model's, the first and the oracle's sentences."""
        made = {
            f"{prefix}{kind}": SummaryRouge(kind, self.language, place)
            for prefix, place in SUMMARIES.items()
            for kind in ROUGE_TYPES
        }
        return MetricCollection(dict(made), compute_groups=[list(made)])

    def metric_notes(self, metrics: MetricCollection) -> dict[str, str]:
        """The words that ROUGE counts."""
        return {"rougeL": note} if (note := metrics["rougeL"].note) else {}  # type: ignore[dict-item]

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the labelled samples of a batch."""
        size = targets["chosen"].shape[1]
        means = sentence_means(outputs["scores"].detach(), targets["places"], size)
        there = targets["chosen"] != UNLABELLED
        answers, references = [], []
        for row, texts in enumerate(unpacked_texts(targets["texts"])):
            if texts:
                reference, _, oracle, *sentences = texts
                places = self.choose(sentences, means[row], there[row])
                lead = range(min(self.num_sentences, len(sentences)))
                answers.append([summary_lines(sentences, places), summary_lines(sentences, lead), oracle])
                references.append([reference])
        metrics.update(answers, references)

    def choose(self, sentences: Sequence[str], means: Tensor, there: Tensor) -> list[int]:
        """The best sentences, of means (S,) and there (S,) bool."""
        scores = [float(means[place]) if bool(there[place]) else None for place in range(len(sentences))]
        return best_sentences(sentences, scores, self.num_sentences, self.trigram_blocking, self.language)

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``, the sentences as lines, and ``sentences``, which they are, counted from 0.

        Raises:
            InputError: ``state.alignments`` lacks the text.
        """
        if self.reads not in state.alignments:
            raise InputError(f"Summaries need state.alignments['{self.reads}'] (Batch.alignments).")
        answers = []
        for scores, alignment in zip(outputs["scores"].detach(), state.alignments[self.reads], strict=True):
            sentences: list[str] = []
            chosen: list[int] = []
            if alignment is not None:
                spans = sentence_spans(alignment["text"])
                sentences = [alignment["text"][begin:end] for begin, end in spans]
                places = F.pad(token_sentences(spans, alignment), (0, 0)).to(scores.device)
                means = sentence_means(scores[None, : len(places)], places[None], max(1, len(spans)))[0]
                there = torch.zeros(max(1, len(spans)), dtype=torch.bool)
                there[places[places >= 0].cpu()] = True
                chosen = self.choose(sentences, means, there)
            answers.append({"prediction": summary_lines(sentences, chosen), "sentences": chosen})
        return answers


def listed_places(cell: Any) -> list[int] | None:
    """The places of sentences in a cell that is a list of whole numbers, also as JSON; None of any other cell."""
    if isinstance(cell, str):
        cell = written_list(cell) if cell.lstrip().startswith("[") else None
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if not isinstance(cell, (list, tuple)) or not all(type(one) is int for one in cell):
        return None
    return list(cell)


def token_sentences(spans: Sequence[tuple[int, int]], alignment: Mapping[str, Any]) -> Tensor:
    """The sentence in which each token begins, (L,) int64; -1 of special tokens and between sentences."""
    begins = np.asarray(alignment["offsets"])[:, 0]
    starts, ends = np.array([span[0] for span in spans]), np.array([span[1] for span in spans])
    if not len(spans):
        return torch.full((len(begins),), -1)
    place = np.searchsorted(starts, begins, side="right") - 1
    inside = (place >= 0) & (begins < ends[place.clip(min=0)]) & (np.asarray(alignment["word_ids"]) >= 0)
    return torch.from_numpy(np.where(inside, place, -1).astype(np.int64))


def sentence_means(scores: Tensor, places: Tensor, count: int) -> Tensor:
    """Mean score over each sentence's tokens.

    Args:
        scores: (B, L') float, L' at least L where there are tokens.
        places: (B, L) int64, the sentence of each token, -1 = none.
        count: S.

    Returns:
        (B, S) float32, 0 of sentences without tokens.
    """
    size = min(scores.shape[1], places.shape[1])
    places, inside = places[:, :size], places[:, :size] >= 0
    given = blank(scores[:, :size].float(), inside)
    into = places.clamp(min=0)
    total = given.new_zeros(len(scores), count).scatter_add(1, into, given)
    number = given.new_zeros(len(scores), count).scatter_add(1, into, inside.float())
    return total / number.clamp(min=1)
