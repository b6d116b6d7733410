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
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torchmetrics import MetricCollection

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import Loss, State, Tensors
from mmbert.tasks.base import Head, Task
from mmbert.tasks.speech.alphabet import Alphabet, check_symbols, check_transcript, learnt_alphabet
from mmbert.tasks.speech.ctc_loss import ctc_losses
from mmbert.tasks.speech.ctc_search import best_path
from mmbert.tasks.speech.error_rates import error_rates
from mmbert.tasks.speech.n_best import NBestSearch, check_rescoring
from mmbert.tasks.speech.rescoring import PseudoLikelihood, best_weight, weight_buffer
from mmbert.tasks.speech.transcripts import SymbolUnit, TranscriptForm, parts_words
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
        fused: read the tokens that the fusion strategy has enriched; False = the encoder's own.
        unit: what is given at a time: ``character`` or ``word``.
        lower_case: transcripts are learnt and measured in small letters.
        punctuation: marks are learnt and measured too.
        spaces: white space parts words; learnt from the train split's script: not in Chinese or Japanese.
        beam_size: prefixes in the beam; 1 = the best path alone.
        n_best: texts of the beam that are predicted and rescored.
        prune: the beam does not try symbols that are less probable than this.
        word_times: predict when each word is said, by forced alignment.
        rescore_with: a masked language model that rescores the n-best list: the folder of a run of ``task=mlm``, that
            of a model of transformers, or a name on the hub.
        rescore_weights: of its score, from which the validation split chooses.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        hidden_dim: width of a hidden layer in the head; 0 = a linear head.
        dropout: on the head's input and on its hidden layer.
        assets: folder with a copy of the masked language model, which is read in place of ``rescore_with``.

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
        lr_scale: float = 1.0,
        hidden_dim: Annotated[int, Range(0)] = 0,
        dropout: Annotated[float, Range(0, below=1)] = 0.1,
        assets: str | None = None,
    ) -> None:
        super().__init__(in_dim, column, weight, lr_scale)
        self.init_args.pop("assets", None)  # where this copy came from is no part of how it is built
        symbols = self.init_args["symbols"] = [str(symbol) for symbol in symbols]  # [0,1,2] as it is typed
        check_symbols(column, symbols, unit)
        check_rescoring(column, n_best, rescore_with, rescore_weights)
        if not fused and reads not in (dims or {}):
            raise ConfigError(f"reads={reads} of column '{column}' is no encoder. {nearest(reads, dims or {})}")
        self.reads, self.fused = reads, fused
        self.aligned_to = (reads,)
        parted = parts_words(symbols) if spaces is None else spaces
        self.form = TranscriptForm(unit, lower_case, punctuation, parted)
        self.alphabet = Alphabet(symbols, self.form)
        self.word_times = word_times
        if not parted:
            self.main_metric = "cer"  # type: ignore[misc]
        self.head = Head(in_dim if fused else (dims or {})[reads], len(symbols) + 1, hidden_dim, dropout)
        self.rescore_weights = [float(one) for one in rescore_weights]
        rescorer = None if rescore_with is None else PseudoLikelihood(assets or rescore_with)
        self.search = NBestSearch(self.alphabet, beam_size, n_best, prune, rescorer)
        self.tunes = rescorer is not None
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
        return learnt_alphabet(cells, column, unit, lower_case, punctuation, spaces)

    @classmethod
    def check_cell(cls, cell: Any) -> None:
        """Refuses lists and structures."""
        check_transcript(cell)

    def check_label(self, cells: Mapping[str, Any], raws: Mapping[str, Any]) -> None:
        """See ``Task``: everything but whether the sound is long enough."""
        if cells[self.columns[0]] is not None:
            self.alphabet.numbers(cells[self.columns[0]])

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> Tensor | None:
        """(N,) int64; None where there is no transcript, or no sound.

        Raises:
            DataError: see ``Alphabet.numbers_said_in``.
        """
        cell, alignment = cells[self.columns[0]], prepared[self.reads]
        if cell is None or alignment is None:
            return None
        return torch.tensor(self.alphabet.numbers_said_in(cell, alignment["times"], self.reads))

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
        return [self.alphabet.text(ids[:length]) if length else None for ids, length in rows]

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """Tokens of the sound (B, L, H) -> ``logits`` (B, L, C + 1) and ``frames`` (B,)."""
        if self.fused:
            tokens, mask = state.fused.tokens[self.reads], state.fused.masks[self.reads]
        else:
            tokens, mask = state.encoded[self.reads].tokens, state.encoded[self.reads].mask
        return {"logits": self.head(blank(tokens, mask)), "frames": mask.sum(1)}

    def sample_losses(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,) float: see ``ctc_losses``."""
        return ctc_losses(outputs["logits"], outputs["frames"], targets["ids"], targets["length"])

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """-log p(transcript) by CTC, its mean over symbols."""
        return Loss(self.sample_losses(outputs, targets).sum(), self.count(targets))

    def target_probability(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): the geometric mean of the symbols' probabilities, 0 where there is no transcript."""
        each = self.sample_losses(outputs, targets) / targets["length"].clamp(min=1)
        return blank((-each).exp(), self.labelled(targets) & (outputs["frames"] > 0))

    def log_probabilities(self, outputs: Tensors) -> list[np.ndarray]:
        """(T, C + 1) float32 of each sample's T real tokens."""
        logs = outputs["logits"].detach().float().log_softmax(-1).cpu().numpy()
        return [row[:frames] for row, frames in zip(logs, outputs["frames"].tolist(), strict=True)]

    # metrics

    def make_metrics(self) -> MetricCollection:
        """See the class."""
        searches = {"": "greedy"} | ({"_beam": "beam"} if self.search.beams else {})
        searches |= {"_rescored": "rescored"} if self.search.rescorer is not None else {}
        return error_rates(searches, self.form.spaces)

    def metric_notes(self, metrics: MetricCollection) -> dict[str, str]:
        """The form of the texts that are compared, and which search they come from."""
        kept = f"{self.form.note()}; errors pooled over the split, counted by jiwer"
        searches = {
            "beam": f"beam of {self.search.width}",
            "rescored": f"{self.search.n_best}-best list rescored, weight {float(self.rescore_weight):g}",
        }
        return {name: f"{searches.get(name.partition('_')[2], 'best path')}; {kept}" for name in map(str, metrics)}

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the labelled samples of a batch."""
        references = self.decode(targets)
        kept = [place for place, text in enumerate(references) if text is not None]
        logs = self.log_probabilities(outputs)
        hypotheses = {"greedy": [self.alphabet.text(best_path(logs[place])) for place in kept]}
        if self.search.beams and not self.between_epochs:
            weight, device = float(self.rescore_weight), outputs["logits"].device
            hypotheses |= self.search.hypotheses([logs[place] for place in kept], weight, device)
        metrics.update([references[place] for place in kept], hypotheses)

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``, the text; ``n_best``, texts with scores; and if asked for ``words`` with times in seconds."""
        weight, device = float(self.rescore_weight), outputs["logits"].device
        answers: list[dict[str, Any]] = []
        for place, logs in enumerate(self.log_probabilities(outputs)):
            found = self.search.ordered(self.search.found(logs), weight, device) if self.search.beams else []
            best = found[0][0] if found else best_path(logs)
            answer: dict[str, Any] = {"prediction": self.alphabet.text(best)}
            if found:
                answer["n_best"] = self.search.written(found)
            if self.word_times:
                times = self.times(state, place, len(logs))
                answer["words"] = word_times(torch.from_numpy(logs), best, self.alphabet.named(best), self.form, times)
            answers.append(answer)
        return answers

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
        device = outputs["logits"].device
        return [
            None if reference is None else self.search.tuning_sample(logs, reference, device)
            for reference, logs in zip(self.decode(targets), self.log_probabilities(outputs), strict=True)
        ]

    def tune(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Chooses the weight with the fewest errors; the smallest of several."""
        weight, errors = best_weight(samples, self.rescore_weights)
        self.rescore_weight.fill_(weight)
        tried = dict(zip(map(str, sorted(self.rescore_weights)), errors, strict=True))
        return {"rescore_weight": weight, "errors_by_weight": tried}

    # saving

    def save_assets(self, folder: Path) -> None:
        """The masked language model."""
        if self.search.rescorer is not None:
            self.search.rescorer.save(folder / RESCORER)

    @classmethod
    def rebuild_args(cls, args: dict[str, Any], folder: Path) -> dict[str, Any]:
        """See ``Task``."""
        return {**args, "assets": str(folder / RESCORER)} if args.get("rescore_with") else args

    def without_weights(self) -> Self:
        """See ``Task``: without the masked language model too."""
        light = super().without_weights()
        light.search = NBestSearch(self.alphabet, 1, 1, 0.0, None)
        return light
