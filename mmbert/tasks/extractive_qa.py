"""Extractive question answering: the stretch of a text, or of a sound, that answers a question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchmetrics import MetricCollection

from mmbert.core.errors import ConfigError, DataError, InputError, nearest
from mmbert.core.ranges import Range
from mmbert.core.types import UNLABELLED, Loss, State, Tensors
from mmbert.tasks.base import Head, Task
from mmbert.tasks.spans.answer_cells import answer_places, answers_of_cell
from mmbert.tasks.spans.answer_metrics import F1, AnswerScore, CutAnswers, best_threshold
from mmbert.tasks.spans.answer_scores import CERTAINLY_NONE, scored_rows
from mmbert.tasks.spans.answer_targets import collated_targets, label_of_target, question_target
from mmbert.tasks.spans.best_spans import IMPOSSIBLE, best_spans, text_extent, token_extents
from mmbert.tasks.spans.squad_scores import RULES, SCORINGS, Scoring

Measure = Literal["characters", "seconds"]


class ExtractiveQA(Task):
    """Where an answer begins and ends in a text (characters) or in a sound (seconds), or that there is none.

    The head scores every fused token as beginning and end of the answer; what asks the question may be any other
    modality, or the same text. With ``no_answer`` the fused vector scores that there is none; that is answered where
    its score exceeds the best stretch's by more than the threshold. A stretch ends after the marks that belong to its
    last letter. An answer that the encoder's cut leaves out, wholly or in part, is learnt nowhere and counts as missed.

    Targets are told in ``mmbert.tasks.spans.answer_targets``. Outputs: ``first`` and ``last`` (B, L), ``mask`` (B, L)
    bool, and ``none`` (B, 2), the scores of no answer.

    Metrics, of a text: ``exact_match`` and ``f1`` as SQuAD's scripts have them (version 2.0 with ``no_answer``, else
    1.1) or CMRC 2018's, from 0 to 1; of a sound ``iou`` and ``f1`` over moments. With ``no_answer`` also the same over
    questions with an answer, ``no_answer_accuracy``, and ``best_``…, at the threshold that is best for the split
    itself. ``cut_answers``: how many reference answers the encoder's cut leaves out.

    Args:
        in_dim: width H of the fused tokens.
        column: the table's column with the answers: SQuAD's object, the answer's text, or a list of texts; with
            ``end_column`` where the answer begins.
        end_column: where the answer ends, one past its last character, or in seconds; -1 in both = there is none.
        reads: the modality that holds the answer.
        measure: ``characters`` of a text, or ``seconds`` of a sound.
        no_answer: whether questions may have no answer; learnt from the train split.
        threshold: of answering that there is none; null = the best F1 on validation, chosen after training.
        scoring: ``squad``, ``cmrc``, or ``auto``: CMRC 2018's for texts in scripts without spaces, else SQuAD's.
        longest: tokens of the longest answer.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        hidden_dim: width of a hidden layer in the head; 0 = a linear head.
        dropout: on the head's input and on its hidden layer.

    Raises:
        ConfigError: an option is outside its range, or options contradict each other.
    """

    kind = "extractive_qa"
    reads_tokens = True
    main_metric = "f1"
    threshold: Tensor

    def __init__(
        self,
        in_dim: int,
        column: str,
        end_column: str | None = None,
        reads: str = "text",
        measure: Measure = "characters",
        no_answer: bool = False,
        threshold: float | None = None,
        scoring: Scoring = "auto",
        longest: Annotated[int, Range(1)] = 30,
        weight: float = 1.0,
        lr_scale: float = 1.0,
        hidden_dim: Annotated[int, Range(0)] = 0,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(in_dim, column, weight, lr_scale)
        for name, value, choices in (("measure", measure, get_args(Measure)), ("scoring", scoring, SCORINGS)):
            if value not in choices:
                raise ConfigError(f"{name}={value} on column '{column}' is unknown. {nearest(value, choices)}")
        if measure == "seconds" and end_column is None:
            raise ConfigError(f"measure=seconds on column '{column}' needs end_column: where the answers end.")
        self.columns = (column,) if end_column is None else (column, end_column)
        self.reads, self.measure, self.scoring, self.longest = reads, measure, scoring, longest
        self.aligned_to, self.aligned_kinds = (reads,), ("text",) if measure == "characters" else ("audio",)
        self.no_answer = bool(no_answer)
        self.tunes = self.no_answer and threshold is None
        self.register_buffer("threshold", torch.tensor(float(threshold or 0.0), dtype=torch.float64))
        self.head = Head(in_dim, 2, hidden_dim, dropout)
        if not self.no_answer:  # what is added to every token's score changes no share, and would never learn
            self.head[-1] = nn.Linear(hidden_dim or in_dim, 2, bias=False)
        self.none = nn.Linear(in_dim, 2) if self.no_answer else None

    @classmethod
    def fit_labels(cls, cells: Iterable[Any], column: str, end_column: str | None = None) -> dict[str, Any]:
        """``no_answer``: whether a question of the train split has none.

        Raises:
            DataError: no cell is filled.
        """
        found, none = 0, False
        for cell in cells:
            if cell is None:
                continue
            found += 1
            try:
                none |= str(cell).strip() in ("-1", "-1.0") if end_column else not answers_of_cell(cell).texts
            except DataError:  # whoever encodes it names its row
                continue
        if not found:
            raise DataError(f"Column '{column}' has no answer in the train split: every cell is empty.")
        return {"no_answer": none}

    # labels

    def check_label(self, cells: Mapping[str, Any], raws: Mapping[str, Any]) -> None:
        """See ``Task``.

        Raises:
            DataError: the answer is none, does not stand in the text, lies outside it, or cuts a character.
        """
        whole = self.measure == "characters"  # else it is read without the sound, whose length is known later
        if (self.reads in raws or not whole) and any(cells[column] is not None for column in self.columns):
            answer_places(cells, self.columns, raws[self.reads] if whole else None, whole, self.no_answer)

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> Any:
        """The targets of one question, by name.

        Raises:
            DataError: see ``check_label``.
        """
        alignment = prepared[self.reads]
        if alignment is None or all(cells[column] is None for column in self.columns):
            return None
        text = alignment["text"] if self.measure == "characters" else None
        places = answer_places(cells, self.columns, text, self.measure == "characters", self.no_answer)
        return question_target(places, alignment, self.measure == "seconds")

    def collate(self, targets: Sequence[Any]) -> Tensors:
        """See the class."""
        return collated_targets(targets)

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool."""
        return targets["state"] != UNLABELLED

    def taught(self, targets: Tensors) -> Tensor:
        """(B,) bool: the questions that something is learnt from; not those whose answer the cut leaves out."""
        return (targets["state"] == 0) | (targets["first"] != UNLABELLED)

    def count(self, targets: Tensors) -> Tensor:
        """() questions that something is learnt from."""
        return self.taught(targets).sum()

    def decode(self, targets: Tensors) -> list[Any]:
        """The answer's text where that says all; else SQuAD's object; an empty list where there is none.

        With ``end_column`` ``[begin, end]``.
        """
        rows = range(len(targets["state"]))
        return [label_of_target(targets, row, len(self.columns) == 2, self.measure == "seconds") for row in rows]

    # head, loss, metrics, predictions

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """Fused tokens (B, L, H), vector (B, H) -> scores of tokens, and of no answer."""
        logits = self.head(state.fused.tokens[self.reads])  # (B, L, 2)
        outputs = {"first": logits[..., 0], "last": logits[..., 1], "mask": state.fused.masks[self.reads]}
        return outputs if self.none is None else {**outputs, "none": self.none(state.fused.pooled)}

    def log_shares(self, outputs: Tensors, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(N, L) or, with no answer as the last, (N, L + 1) log-probabilities of beginning and ending at a token."""
        found = []
        for number, name in enumerate(("first", "last")):
            logits = outputs[name][rows].float().masked_fill(~outputs["mask"][rows], IMPOSSIBLE)
            if self.none is not None:
                logits = torch.cat([logits, outputs["none"][rows, number : number + 1].float()], 1)
            found.append(logits.log_softmax(-1))
        return found[0], found[1]

    def log_likelihood(self, outputs: Tensors, targets: Tensors) -> tuple[Tensor, Tensor]:
        """The questions that something is learnt from (N,) int64, and the log-probability of their stretch (N,)."""
        rows = self.taught(targets).nonzero().squeeze(1)
        total = torch.zeros(len(rows), device=rows.device)
        for logs, name in zip(self.log_shares(outputs, rows), ("first", "last"), strict=True):
            place = torch.where(targets["state"][rows] == 0, logs.shape[1] - 1, targets[name][rows])
            total = total + logs.gather(1, place.unsqueeze(1)).squeeze(1)
        return rows, total

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """Cross-entropy of beginning and end, half of each, as BERT is trained for SQuAD; a sum over questions."""
        rows, logs = self.log_likelihood(outputs, targets)
        nothing = outputs["first"][rows].sum() * 0  # no question at all still has a graph
        return Loss(nothing - logs.sum() / 2, self.count(targets))

    def target_probability(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): the probability of the right stretch, 0 where nothing is learnt."""
        rows, logs = self.log_likelihood(outputs, targets)
        total = outputs["first"].new_zeros(len(targets["state"]), dtype=torch.float32)
        return total.index_copy(0, rows, logs.exp())

    def found_spans(self, outputs: Tensors, extents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each question's best stretch and how much better no answer is: first, last (B,) int64, (B,) float64.

        Args:
            outputs: of the head.
            extents: (B, L', 2), -1 where a token is special or there is none; L' may be less than the outputs' L.
        """
        length = outputs["mask"].shape[1]
        known = torch.zeros_like(outputs["mask"])
        known[:, : extents.shape[1]] = (extents[..., 0] >= 0).to(known.device)[:, :length]
        scores = [outputs[name].detach().float() for name in ("first", "last")]
        best, first, last = best_spans(scores[0], scores[1], outputs["mask"] & known, self.longest)
        none = outputs["none"].detach().float().sum(1) if self.none is not None else torch.full_like(best, IMPOSSIBLE)
        worse = torch.where(best > IMPOSSIBLE / 2, none.double() - best.double(), CERTAINLY_NONE)
        return first, last, worse

    def make_metrics(self) -> MetricCollection:
        """See the class."""
        scores = ["exact_match" if self.measure == "characters" else "iou", "f1"]
        names = [*scores, "cut_answers"]
        if self.no_answer:
            names += [f"{part}_{score}" for part in ("has_answer", "best") for score in scores]
            names += ["no_answer_accuracy"]
        kinds = {name: CutAnswers if name == "cut_answers" else AnswerScore for name in names}
        return MetricCollection({name: kind(name) for name, kind in kinds.items()}, compute_groups=[names])

    def answer_rows(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(N, 8) float64, one row a labelled question; see ``answer_metrics``."""
        found = self.found_spans(outputs, targets["extents"])
        rows = self.labelled(targets).nonzero().squeeze(1).tolist()
        return scored_rows(targets, rows, found, self.scoring, self.no_answer, float(self.threshold))

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the labelled questions of a batch."""
        metrics.update(self.answer_rows(outputs, targets))

    def metric_notes(self, metrics: MetricCollection) -> dict[str, str]:
        """By which rules answers are compared, and where the threshold comes from."""
        notes = {"f1": "over moments of the sound"}
        if self.measure == "characters":
            notes = {"f1": f"{RULES[self.scoring]} (version {'2.0' if self.no_answer else '1.1'}), from 0 to 1"}
        if self.no_answer:
            source = "fixed by the option" if not self.tunes else "the best F1 on validation"
            notes["no_answer_accuracy"] = f'"no answer" above a score of {float(self.threshold):.4g}, {source}'
        if any(getattr(metric, "any_several", False) for metric in metrics.values()):
            notes["exact_match"] = "an answer given as text alone that stands in its text several times is taken first"
        return notes

    def tuning_data(self, state: State, outputs: Tensors, targets: Tensors) -> Sequence[Any]:
        """Of each question its row of scores; None = unlabelled."""
        rows = iter(self.answer_rows(outputs, targets).tolist())
        return [next(rows) if known else None for known in self.labelled(targets).tolist()]

    def tune(self, samples: Sequence[Any]) -> dict[str, Any]:
        """The threshold with the best F1 on the validation split."""
        value, threshold = best_threshold(torch.tensor(samples, dtype=torch.float64), F1)
        self.threshold.fill_(threshold)
        return {"threshold": threshold, "validation_f1": value}

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``, the answer's text (of a sound ``[start, end]``) or None; ``start``, ``end``, ``score``.

        The score is the probability of the stretch, or of no answer.

        Raises:
            InputError: ``state.alignments`` lacks the modality.
        """
        if self.reads not in state.alignments:
            raise InputError(f"Answers lie in '{self.reads}': predict needs state.alignments (Batch.alignments).")
        alignments = state.alignments[self.reads]
        seconds = self.measure == "seconds"
        each = [np.full((1, 2), -1.0) if one is None else token_extents(one, seconds) for one in alignments]
        extents = pad_sequence([torch.from_numpy(one) for one in each], True, -1)
        first, last, worse = (tensor.cpu() for tensor in self.found_spans(outputs, extents))
        logs = [log.detach().cpu() for log in self.log_shares(outputs, torch.arange(len(alignments)))]
        answers: list[dict[str, Any]] = []
        for row, alignment in enumerate(alignments):
            none = float(worse[row])
            begin, end = float(extents[row, first[row], 0]), float(extents[row, last[row], 1])
            if alignment is None or none >= CERTAINLY_NONE or self.no_answer and none > float(self.threshold):
                score = float((logs[0][row, -1] + logs[1][row, -1]).exp()) if self.no_answer else 0.0
                answers.append({"prediction": None, "start": None, "end": None, "score": score})
                continue
            score = float((logs[0][row, first[row]] + logs[1][row, last[row]]).exp())
            answers.append({**self.answer(alignment, begin, end), "score": score})
        return answers

    def answer(self, alignment: Mapping[str, Any], begin: float, end: float) -> dict[str, Any]:
        """A stretch in the words of ``predict``."""
        if self.measure == "seconds":
            return {"prediction": [begin, end], "start": begin, "end": end}
        place, stop = text_extent(alignment["text"], int(begin), int(end))
        return {"prediction": alignment["text"][place:stop], "start": place, "end": stop}
