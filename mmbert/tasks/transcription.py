"""Speech recognition: what is said in a sound, by connectionist temporal classification (CTC) over its tokens.

Paper: Graves et al. 2006, "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent
Neural Networks". Loss: torch's ``ctc_loss``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torchmetrics import MetricCollection

from mmbert.core.errors import ConfigError, DataError, nearest
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Loss, State, Tensors
from mmbert.data.tables.cells import cell_excerpt, cell_text
from mmbert.tasks.base import Head, Task
from mmbert.tasks.speech.ctc_search import BLANK, best_path, frames_needed, prefix_beam_search
from mmbert.tasks.speech.error_rates import ErrorRate, error_counts
from mmbert.tasks.speech.rescoring import PseudoLikelihood, best_weight, rescored, weight_buffer
from mmbert.tasks.speech.transcripts import SYMBOL_UNITS, SymbolUnit, TranscriptForm, parts_words
from mmbert.tasks.speech.word_times import word_times

#: Weights of the second score that are tried on the validation split.
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
#: The folder of a saved model that holds the masked language model.
RESCORER = "masked_model"


class Transcription(Task):
    """Characters, or words, over the tokens of a sound.

    Targets: ``ids`` (B, N) int64, 0 beyond the end; ``length`` (B,) int64, 0 = unlabelled. Outputs: ``logits``
    (B, L, C + 1) by token, the blank first; ``frames`` (B,) int64, how many tokens are real.

    Metrics: ``wer`` and ``cer`` of the best path (greedy); with ``beam_size`` above 1 ``wer_beam`` and ``cer_beam`` of
    the best text of prefix beam search; with ``rescore_with`` ``wer_rescored`` and ``cer_rescored``. The last two kinds
    are left out of the validation between epochs. ``wer`` chooses the checkpoint, ``cer`` where white space parts no
    words. What is predicted is the best of the last search that is there.

    Args:
        in_dim: width H of the fused tokens.
        column: the table's column with the transcripts.
        symbols: the C characters, or words, in the order of the logits after the blank; learnt from the train split.
        dims: width by modality, for ``fused=false``.
        reads: the modality that is said.
        fused: read the tokens that the fusion strategy has enriched; False = the encoder's own, which nothing else
            can help or disturb.
        unit: what is given at a time: ``character`` or ``word``.
        lower_case: transcripts are learnt and measured in small letters.
        punctuation: marks are learnt and measured too.
        spaces: white space parts words; learnt from the train split's script: not in Chinese or Japanese.
        beam_size: prefixes in the beam; 1 = the best path alone.
        n_best: texts of the beam that are predicted and rescored.
        prune: the beam does not try symbols that are less probable than this.
        word_times: predict when each word is said, by forced alignment.
        rescore_with: a masked language model that rescores the n-best list: a folder, or a name on the hub.
        rescore_weights: of its score, from which the validation split chooses.
        weight: share of this task in a multi-task loss.
        hidden_dim: width of a hidden layer in the head; 0 = a linear head.
        dropout: on the head's input and on its hidden layer.

    Raises:
        ConfigError: an option is outside its range, or two do not fit.
        WeightsError: the masked language model cannot be had.
    """

    kind = "transcription"
    reads_tokens = True
    main_metric = "wer"
    higher_is_better = False
    aligned_kinds = ("audio",)
    rescore_weight: Tensor

    def __init__(
        self,
        in_dim: int,
        column: str,
        symbols: Sequence[str],
        dims: Mapping[str, int] | None = None,
        reads: str = "audio",
        fused: bool = True,
        unit: SymbolUnit = "character",
        lower_case: bool = True,
        punctuation: bool = False,
        spaces: bool | None = None,
        beam_size: Annotated[int, Range(1)] = 1,
        n_best: Annotated[int, Range(1)] = 1,
        prune: Annotated[float, Range(0, below=1)] = 0.0001,
        word_times: bool = False,
        rescore_with: str | None = None,
        rescore_weights: Sequence[float] = WEIGHTS,
        weight: float = 1.0,
        hidden_dim: Annotated[int, Range(0)] = 0,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
    ) -> None:
        super().__init__(in_dim, column, weight)
        self.symbols, self.reads, self.fused = list(symbols), reads, fused
        check_options(column, self.symbols, unit, beam_size, n_best, rescore_with, rescore_weights)
        if not fused and reads not in (dims or {}):
            raise ConfigError(f"reads={reads} of column '{column}' is no encoder. {nearest(reads, dims or {})}")
        self.aligned_to = (reads,)
        self.form = TranscriptForm(
            unit, lower_case, punctuation, parts_words(self.symbols) if spaces is None else spaces
        )
        self.beam_size, self.n_best, self.prune, self.word_times = beam_size, n_best, prune, word_times
        self.rescore_weights = [float(one) for one in rescore_weights]
        self._numbers = {symbol: number for number, symbol in enumerate(self.symbols, BLANK + 1)}
        if not self.form.spaces:
            self.main_metric = "cer"  # type: ignore[misc]
        self.head = Head(in_dim if fused else (dims or {})[reads], len(self.symbols) + 1, hidden_dim, dropout)
        self.rescorer = None if rescore_with is None else PseudoLikelihood(rescore_with)
        self.tunes = self.rescorer is not None
        self.register_buffer("rescore_weight", weight_buffer())

    @classmethod
    def fit_labels(
        cls,
        cells: Iterable[Any],
        column: str,
        unit: SymbolUnit = "character",
        lower_case: bool = True,
        punctuation: bool = False,
        spaces: bool | None = None,
    ) -> dict[str, Any]:
        """``symbols`` and ``spaces``, from the train split's transcripts.

        Raises:
            DataError: no cell holds a letter.
        """
        texts = [cell_text(cell) for cell in cells if cell is not None and not isinstance(cell, (list, dict))]
        parted = parts_words(texts) if spaces is None else spaces
        form = TranscriptForm(unit, lower_case, punctuation, parted)
        symbols = {symbol for text in texts for symbol in form.symbols(form.written(text))}
        if not symbols:
            raise DataError(f"Column '{column}' has no transcript in the train split.")
        return {"symbols": sorted(symbols), "spaces": parted}

    @classmethod
    def check_cell(cls, cell: Any) -> None:
        """Refuses lists and structures."""
        if isinstance(cell, (list, dict)):
            raise DataError(f"'{cell_excerpt(cell)}' is no text")

    def check_label(self, cells: Mapping[str, Any], raws: Mapping[str, Any]) -> None:
        """See ``Task``: everything but whether the sound is long enough."""
        if cells[self.columns[0]] is not None:
            self.numbers(cells[self.columns[0]])

    def numbers(self, cell: Any) -> list[int]:
        """A cell -> its symbols' numbers.

        Raises:
            DataError: it is no text, nothing is left of it, or it has a symbol that the train split has not.
        """
        self.check_cell(cell)
        text = cell_text(cell)
        symbols = self.form.symbols(self.form.written(text))
        if not symbols:
            raise DataError(f"nothing is left of the transcript '{cell_excerpt(text)}' ({self.form.note()})")
        strange = next((symbol for symbol in symbols if symbol not in self._numbers), None)
        if strange is not None:
            raise DataError(
                f"the transcript '{cell_excerpt(text)}' has the {self.form.unit} '{strange}', which no transcript of "
                "the train split has, so that it can never be recognised"
            )
        return [self._numbers[symbol] for symbol in symbols]

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> Tensor | None:
        """(N,) int64; None where there is no transcript, or no sound.

        Raises:
            DataError: see ``numbers``; or the sound has too few tokens for the transcript.
        """
        cell, alignment = cells[self.columns[0]], prepared[self.reads]
        if cell is None or alignment is None:
            return None
        numbers = self.numbers(cell)
        times, needed = alignment["times"], frames_needed(numbers)
        if len(times) < needed:
            step = float(times[-1][1] - times[-1][0]) if len(times) else 0.0
            raise DataError(
                f"the transcript '{cell_excerpt(cell_text(cell))}' needs {needed} tokens of sound, one for each of "
                f"{len(numbers)} {self.form.unit}s and for a pause between two that are the same, but the sound has "
                f"{len(times)} of {step * 1000:.0f} ms: is it the right one, or cut off (max_seconds)? An encoder with "
                f"more tokens a second helps: encoders.{self.reads}.hop_seconds, encoders.{self.reads}.time_strides"
            )
        return torch.tensor(numbers)

    def collate(self, targets: Sequence[Tensor | None]) -> Tensors:
        """``ids`` (B, N) and ``length`` (B,), int64."""
        rows = [torch.zeros(1, dtype=torch.int64) if target is None else target for target in targets]
        length = torch.tensor([0 if target is None else len(target) for target in targets])
        return {"ids": pad_sequence(rows, True), "length": length}

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool."""
        return targets["length"] > 0

    def count(self, targets: Tensors) -> Tensor:
        """() symbols."""
        return targets["length"].sum()

    def decode(self, targets: Tensors) -> list[str | None]:
        """Transcripts in the form in which they are learnt and measured."""
        rows = zip(targets["ids"].tolist(), targets["length"].tolist(), strict=True)
        return [self.text(ids[:length]) if length else None for ids, length in rows]

    def text(self, numbers: Iterable[int]) -> str:
        """Symbols' numbers -> a transcript."""
        return self.form.joined(self.symbols[number - 1] for number in numbers)

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """Tokens of the sound (B, L, H) -> ``logits`` (B, L, C + 1) and ``frames`` (B,)."""
        if self.fused:
            tokens, mask = state.fused.tokens[self.reads], state.fused.masks[self.reads]
        else:
            tokens, mask = state.encoded[self.reads].tokens, state.encoded[self.reads].mask
        return {"logits": self.head(blank(tokens, mask)), "frames": mask.sum(1)}

    def sample_losses(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,) float: -log p(transcript), 0 where there is none, or no sound to say it (one that was taken away)."""
        labelled = self.labelled(targets)
        logits = blank(outputs["logits"].float(), labelled)  # an unlabelled sample's logits never reach a gradient
        each = F.ctc_loss(
            logits.log_softmax(-1).transpose(0, 1),  # (L, B, C + 1)
            targets["ids"],
            outputs["frames"].clamp(min=1),
            targets["length"],
            blank=BLANK,
            reduction="none",
            zero_infinity=True,  # ``encode`` has refused what is too long
        )
        return blank(each, labelled & (outputs["frames"] > 0))

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """-log p(transcript) by CTC, its mean over symbols."""
        return Loss(self.sample_losses(outputs, targets).sum(), self.count(targets))

    def target_probability(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): the geometric mean of the symbols' probabilities, 0 where there is no transcript."""
        each = self.sample_losses(outputs, targets) / targets["length"].clamp(min=1)
        return blank((-each).exp(), self.labelled(targets) & (outputs["frames"] > 0))

    # searches

    def log_probabilities(self, outputs: Tensors) -> list[np.ndarray]:
        """(T, C + 1) float32 of each sample's T real tokens."""
        logs = outputs["logits"].detach().float().log_softmax(-1).cpu().numpy()
        return [row[:frames] for row, frames in zip(logs, outputs["frames"].tolist(), strict=True)]

    def search(self, logs: np.ndarray) -> list[tuple[list[int], float]]:
        """The n-best list of a sample by beam search: symbols' numbers and log-probability."""
        return prefix_beam_search(logs, max(self.beam_size, self.n_best), self.n_best, self.prune)

    def second_scores(
        self, found: Sequence[tuple[list[int], float]], device: torch.device
    ) -> list[tuple[float, float]]:
        """CTC's and the masked language model's score of each text of an n-best list."""
        assert self.rescorer is not None
        texts = [self.text(numbers) for numbers, _ in found]
        second = self.rescorer.scores(texts, device)
        return [(score, other) for (_, score), other in zip(found, second, strict=True)]

    def ordered(
        self, found: Sequence[tuple[list[int], float]], device: torch.device
    ) -> tuple[list[tuple[list[int], float]], list[float]]:
        """An n-best list in its last order, with the scores that made it."""
        weight = float(self.rescore_weight)
        if self.rescorer is None or weight < 0:
            return list(found), [score for _, score in found]
        scores = self.second_scores(found, device)
        order = rescored(scores, weight)
        return [found[place] for place in order], [scores[place][0] + weight * scores[place][1] for place in order]

    # metrics

    def make_metrics(self) -> MetricCollection:
        """See the class."""
        searches = {"": "greedy"} | ({"_beam": "beam"} if self.searches_beam else {})
        searches |= {"_rescored": "rescored"} if self.rescorer is not None else {}
        metrics: dict[str, Any] = {}
        for ending, name in searches.items():
            metrics[f"wer{ending}"] = ErrorRate("word", name)
            metrics[f"cer{ending}"] = ErrorRate("character", name)
        if not self.form.spaces:
            metrics = {name: metric for name, metric in metrics.items() if name.startswith("cer")}
        return MetricCollection(metrics, compute_groups=[[name] for name in metrics])

    @property
    def searches_beam(self) -> bool:
        """Whether answers come from beam search."""
        return self.beam_size > 1 or self.n_best > 1

    def metric_notes(self, metrics: MetricCollection) -> dict[str, str]:
        """The form of the texts that are compared, and which search they come from."""
        kept = f"{self.form.note()}; errors pooled over the split, counted by jiwer"
        searches = {
            "beam": f"beam of {max(self.beam_size, self.n_best)}",
            "rescored": f"{self.n_best}-best list rescored, weight {float(self.rescore_weight):g}",
        }
        return {name: f"{searches.get(name.partition('_')[2], 'best path')}; {kept}" for name in map(str, metrics)}

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the labelled samples of a batch."""
        references = self.decode(targets)
        kept = [place for place, text in enumerate(references) if text is not None]
        logs = self.log_probabilities(outputs)
        hypotheses = {"greedy": [self.text(best_path(logs[place])) for place in kept]}
        if self.searches_beam and not self.between_epochs:
            found = [self.search(logs[place]) for place in kept]
            hypotheses["beam"] = [self.text(texts[0][0]) for texts in found]
            if self.rescorer is not None and float(self.rescore_weight) >= 0:
                device = outputs["logits"].device
                hypotheses["rescored"] = [self.text(self.ordered(texts, device)[0][0][0]) for texts in found]
        metrics.update([references[place] for place in kept], hypotheses)

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``, the text; ``n_best``, texts with scores; and if asked for ``words`` with times in seconds."""
        answers: list[dict[str, Any]] = []
        for place, logs in enumerate(self.log_probabilities(outputs)):
            if self.searches_beam:
                found, scores = self.ordered(self.search(logs), outputs["logits"].device)
            else:
                found, scores = [(best_path(logs), float(logs.max(1, initial=-np.inf).sum()))], []
            answer: dict[str, Any] = {"prediction": self.text(found[0][0])}
            if scores:
                pairs = zip(found, scores, strict=True)
                answer["n_best"] = [{"text": self.text(ids), "score": round(score, 4)} for (ids, _), score in pairs]
            if self.word_times:
                answer["words"] = self.timed_words(logs, found[0][0], self.times(state, place, len(logs)))
            answers.append(answer)
        return answers

    def timed_words(self, logs: np.ndarray, ids: list[int], times: np.ndarray | None) -> list[dict[str, Any]]:
        """The words of a text with their times; without, where nothing says when tokens are."""
        names = [self.symbols[number - 1] for number in ids]
        if times is None:
            return [{"word": word} for word, _, _ in self.form.words(names)]
        return word_times(torch.from_numpy(logs), ids, names, self.form, times)

    def times(self, state: State, place: int, count: int) -> np.ndarray | None:
        """(count, 2) seconds of a sample's tokens; None where nothing says them."""
        alignment = state.alignments[self.reads][place] if self.reads in state.alignments else None
        if alignment is not None:
            return np.asarray(alignment["times"])
        grid = getattr(self.connected[self.reads].processor, "grid", None) if self.reads in self.connected else None
        return None if grid is None else grid.times(count).numpy()

    # the weight of the second score

    def tuning_data(self, state: State, outputs: Tensors, targets: Tensors) -> list[dict[str, Any] | None]:
        """Of each n-best list the scores, and the errors of its texts: by words, or characters where there are none."""
        unit: Any = "word" if self.form.spaces else "character"
        data: list[dict[str, Any] | None] = []
        for reference, logs in zip(self.decode(targets), self.log_probabilities(outputs), strict=True):
            if reference is None:
                data.append(None)
                continue
            found = self.search(logs)
            errors = [error_counts([reference], [self.text(numbers)], unit)[0] for numbers, _ in found]
            data.append({"scores": self.second_scores(found, outputs["logits"].device), "errors": errors})
        return data

    def tune(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Chooses the weight with the fewest errors; the smallest of several."""
        weight, errors = best_weight(samples, self.rescore_weights)
        self.rescore_weight.fill_(weight)
        tried = dict(zip(map(str, sorted(self.rescore_weights)), errors, strict=True))
        return {"rescore_weight": weight, "errors_by_weight": tried}

    # saving

    def save_assets(self, folder: Path) -> None:
        """The masked language model."""
        if self.rescorer is not None:
            self.rescorer.save(folder / RESCORER)

    @classmethod
    def rebuild_args(cls, args: dict[str, Any], folder: Path) -> dict[str, Any]:
        """See ``Task``."""
        return {**args, "rescore_with": str(folder / RESCORER)} if args.get("rescore_with") else args

    def without_weights(self) -> Self:
        """See ``Task``: without the masked language model too."""
        light = super().without_weights()
        light.rescorer = None
        return light


def check_options(
    column: str,
    symbols: Sequence[str],
    unit: str,
    beam_size: int,
    n_best: int,
    rescore_with: str | None,
    rescore_weights: Sequence[float],
) -> None:
    """Refuses what cannot be meant.

    Raises:
        ConfigError: names the option.
    """
    if unit not in SYMBOL_UNITS:
        raise ConfigError(f"unit={unit} on column '{column}' is unknown. {nearest(unit, SYMBOL_UNITS)}")
    if not symbols or len(set(symbols)) < len(symbols) or "" in symbols:
        raise ConfigError(f"symbols of column '{column}' must be different {unit}s, at least one.")
    if unit == "character" and (long := next((symbol for symbol in symbols if len(symbol) > 1), None)):
        raise ConfigError(f"symbols of column '{column}' names '{long}', no single character; or set unit=word.")
    if rescore_with is not None and n_best < 2:
        raise ConfigError(
            f"rescore_with={rescore_with} on column '{column}' puts an n-best list in a new order: set n_best=10."
        )
    if not rescore_weights or min(rescore_weights) < 0:
        raise ConfigError(
            f"rescore_weights={list(rescore_weights)} on column '{column}' must be numbers of at least 0."
        )
