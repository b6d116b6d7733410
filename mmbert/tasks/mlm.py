"""Masked language modelling: some tokens of the text are hidden, and the model says what they were.

    loss = - Σ over hidden tokens of log softmax(E · head(h))[right word]      E: the encoder's own word embeddings

Paper: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers", arXiv:1810.04805; with pictures and
sounds as context as in Lu et al. 2019, "ViLBERT", arXiv:1908.02265. Differs from the latter: h is the text encoder's
own hidden state with a projection of the fused tokens added, which begins as zero: training begins with the language
model that the checkpoint is, and learns how much the other modalities help. Without context it is BERT's objective.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchmetrics import MetricCollection

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.masks import blank
from mmbert.core.ranges import Range
from mmbert.core.types import UNLABELLED, Inputs, Loss, State, Tensors
from mmbert.data.augment.augmentation import sample_random
from mmbert.data.tables.cells import cell_text
from mmbert.encoders.base import Encoder
from mmbert.encoders.pretrained.masked_lm import LanguageModelHead, language_model_head
from mmbert.tasks.base import Task
from mmbert.tasks.masking.choice import chosen_tokens, with_masks
from mmbert.tasks.masking.metrics import Perplexity, TokenAccuracy
from mmbert.tasks.masking.vocabulary import Vocabulary, vocabulary_of
from mmbert.tasks.masking.words import words_of_lengths, words_of_pieces, words_of_segmenter

#: Words that a prediction tells of each hidden place.
CANDIDATES = 5
#: In targets: tokens that a segmentation says nothing of.
NO_WORD = -2


class MaskedLanguageModel(Task):
    """Tokens of the text that were hidden, by the language model head of the text encoder's architecture.

    Targets: ``words`` (B, L) int64, the right piece at every hidden token, UNLABELLED elsewhere, and ``hidden`` (B, L)
    bool, where [MASK] stands; outputs, where there are targets: ``masked_logits`` (B, K, V) for the K tokens of the
    sample that has most of them.

    Metrics: ``accuracy`` and ``perplexity`` (exp of the mean loss), over hidden tokens.

    Args:
        in_dim: width H of the fused tokens.
        dims: width by modality.
        text: the encoder whose tokens are hidden, a BERT of transformers that is trained.
        share: of a text's tokens that are to be predicted.
        masked: of these, the share that becomes the mask token.
        replaced: of these, the share that becomes another token; the rest stays as it is.
        whole_words: hide all pieces of a word together.
        segmentation: a column with the same text, white space between its words, for languages that write none.
        segmenter: ``jieba`` finds the words of Chinese texts; None = every Chinese character is a word.
        context: the other modalities help; None = if there are others.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.

    Raises:
        ConfigError: the encoder is no such BERT, or options contradict each other.
    """

    kind = "masked_language_model"
    target_score_name = "geometric mean of the probabilities of the hidden words"
    reads_tokens = True
    higher_is_better = False

    def __init__(
        self,
        in_dim: int,
        dims: Mapping[str, int],
        text: str = "text",
        share: Annotated[float, Range(at_most=1, above=0)] = 0.15,
        masked: Annotated[float, Range(0, 1)] = 0.8,
        replaced: Annotated[float, Range(0, 1)] = 0.1,
        whole_words: bool = False,
        segmentation: str | None = None,
        segmenter: Literal["jieba"] | None = None,
        context: bool | None = None,
        weight: float = 1.0,
        lr_scale: float = 1.0,
    ) -> None:
        super().__init__(in_dim, None, weight, lr_scale)
        if text not in dims:
            raise ConfigError(f"a masked language model reads the encoder '{text}'. {nearest(text, dims)}")
        if masked + replaced > 1:
            raise ConfigError(f"masked={masked} and replaced={replaced} are shares of one whole: together at most 1.")
        if segmentation is not None and segmenter is not None:
            raise ConfigError("segmentation and segmenter exclude each other: both say what the words are.")
        self.text, self.share, self.shares = text, share, (masked, replaced)
        self.whole_words = whole_words or segmentation is not None or segmenter is not None
        self.segmenter = segmenter
        self.changes_inputs = (text,)
        if segmentation is not None:
            self.columns, self.aligned_to = (segmentation,), (text,)
        used = len(dims) > 1 if context is None else context
        self.context = nn.Linear(in_dim, dims[text], bias=False) if used else None
        if self.context is not None:
            nn.init.zeros_(self.context.weight)
        self.head: LanguageModelHead | None = None
        self.vocabulary: Vocabulary | None = None

    def connect(self, encoders: Mapping[str, Encoder]) -> None:
        """Takes the vocabulary and the architecture's head; its weights are the checkpoint's, if that has them.

        Raises:
            ConfigError: the text encoder is no BERT of transformers, or is not trained.
        """
        super().connect(encoders)
        encoder: Any = encoders[self.text]
        tokenizer = getattr(encoder.processor, "tokenizer", None)
        if tokenizer is None or not hasattr(encoder, "network"):
            raise ConfigError(
                f"tasks: a masked language model needs a text encoder of transformers, such as text=minilm; "
                f"'{self.text}' is a {type(encoder).__name__}."
            )
        if not any(parameter.requires_grad for parameter in encoder.parameters()):
            raise ConfigError(
                f"tasks: a masked language model trains the text encoder, but encoders.{self.text}.frozen is true: set "
                f"encoders.{self.text}.frozen=false."
            )
        self.vocabulary = vocabulary_of(tokenizer, len(self.embeddings))
        args = encoder.init_args
        self.head, _ = language_model_head(encoder.network, str(args["name"]), bool(args.get("pretrained", True)))

    @property
    def embeddings(self) -> Tensor:
        """(V, E): the text encoder's word embeddings, which the head shares."""
        encoder: Any = self.connected[self.text]
        weight: Tensor = encoder.network.get_input_embeddings().weight
        return weight

    # which tokens are hidden

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> Any:
        """True; with a segmentation the word of each token, (L,) int64, NO_WORD where the cell is empty.

        Raises:
            DataError: the segmentation is not of this text.
        """
        if not self.columns or prepared[self.text] is None:
            return True
        text, cell = prepared[self.text], cells[self.columns[0]]
        known = (text["word_ids"] >= 0).numpy()
        if cell is None:
            return torch.full((len(known),), NO_WORD)
        offsets = text["offsets"].numpy()
        return torch.from_numpy(words_of_lengths(offsets[:, 1] - offsets[:, 0], known, cell_text(cell)))

    def collate(self, targets: Sequence[Any]) -> Tensors:
        """``counted`` (B,) bool; with a segmentation ``word_of`` (B, L) int64 too."""
        collated = super().collate(targets)
        if self.columns:
            nothing = torch.full((1,), NO_WORD)
            rows = [target if isinstance(target, Tensor) else nothing for target in targets]
            collated["word_of"] = pad_sequence(rows, True, NO_WORD)
        return collated

    def change_inputs(
        self, inputs: Mapping[str, Inputs], draws: Sequence[int], targets: Tensors
    ) -> tuple[dict[str, Inputs], Tensors]:
        """Hides tokens; a sample's choice follows from its draw alone."""
        assert self.vocabulary is not None, "connect gives the vocabulary"
        text = inputs[self.text]
        ids, real = text["input_ids"].numpy(), text["mask"].numpy()
        chosen, changed = np.zeros_like(real), ids.copy()
        for row, draw in enumerate(draws):
            if not targets["counted"][row]:
                continue
            random = sample_random(draw, "tasks.mlm")
            known = real[row] & ~self.vocabulary.special[ids[row]]
            chosen[row] = chosen_tokens(self._words(ids[row], known, targets, row), self.share, random)
            changed[row] = with_masks(ids[row], chosen[row], self.vocabulary, self.shares, random)
        words = torch.from_numpy(np.where(chosen, ids, UNLABELLED))
        hidden = torch.from_numpy(chosen & (changed == self.vocabulary.mask_id))
        return {self.text: {**text, "input_ids": torch.from_numpy(changed)}}, {"words": words, "hidden": hidden}

    def _words(self, ids: np.ndarray, known: np.ndarray, targets: Tensors, row: int) -> np.ndarray:
        """(L,) int64: the tokens that are hidden together."""
        assert self.vocabulary is not None
        if not self.whole_words:
            return np.where(known, np.arange(len(ids)), -1)
        if self.segmenter is not None:
            return words_of_segmenter(ids, known, self.vocabulary)
        words = words_of_pieces(ids, known, self.vocabulary)
        if "word_of" in targets:
            given = targets["word_of"][row].numpy()[: len(ids)]
            given = np.pad(given, (0, len(ids) - len(given)), constant_values=NO_WORD)
            if (given >= 0).any():
                return np.where(known, given, -1)
        return words

    # targets

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool: which samples have hidden tokens."""
        return (targets["words"] != UNLABELLED).any(1) if "words" in targets else torch.zeros_like(targets["counted"])

    def count(self, targets: Tensors) -> Tensor:
        """() tokens to be predicted; 0 where no inputs were changed, as in evaluation beside other tasks."""
        return (targets["words"] != UNLABELLED).sum() if "words" in targets else targets["counted"].sum() * 0

    def decode(self, targets: Tensors) -> list[Any]:
        """The pieces behind the [MASK]s of each text, None where there is none."""
        if "words" not in targets:
            return super().decode(targets)
        rows = zip(targets["words"], targets["hidden"], strict=True)
        return [self._pieces(words[hidden].tolist()) or None for words, hidden in rows]

    def _pieces(self, ids: Sequence[int]) -> list[str]:
        assert self.vocabulary is not None
        return [self.vocabulary.pieces[number] for number in ids]

    # head, loss, metrics, predictions

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """tokens (B, L, D) and (B, L, H) -> ``masked_logits`` (B, K, V) of the tokens to be predicted, if any are."""
        if targets is None or "words" not in targets:
            return {}
        places, _ = places_of(targets["words"] != UNLABELLED)
        return {"masked_logits": self.logits(state, places)}

    def logits(self, state: State, places: Tensor) -> Tensor:
        """(B, K, V) at some tokens, places (B, K) int64."""
        assert self.head is not None, "connect gives the head"
        hidden = at_places(state.encoded[self.text].tokens, places)
        if self.context is not None:
            hidden = hidden + self.context(at_places(state.fused.tokens[self.text], places))
        logits: Tensor = self.head(hidden, self.embeddings)
        return logits

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """Cross-entropy over the tokens to be predicted."""
        if "masked_logits" not in outputs:  # nothing was hidden: 0 with a graph
            total = sum(parameter.sum() for parameter in self.parameters()) * 0.0
            return Loss(torch.as_tensor(total, dtype=torch.float32), self.count(targets))
        logits, words = self._labelled_tokens(outputs, targets)
        # the head's other answers keep the graph whole, with a gradient of 0
        rest = torch.where(torch.isfinite(outputs["masked_logits"]), outputs["masked_logits"], 0.0).float().sum() * 0.0
        return Loss(F.cross_entropy(logits, words, reduction="sum") + rest, self.count(targets))

    def _labelled_tokens(self, outputs: Tensors, targets: Tensors) -> tuple[Tensor, Tensor]:
        """(N, V) float32 and (N,) int64: of every token to be predicted, its logits and its word."""
        logits = outputs["masked_logits"]
        places, there = places_of(targets["words"] != UNLABELLED, logits.shape[1])
        return logits[there].float(), targets["words"].gather(1, places)[there]

    @property
    def answers_in(self) -> tuple[str, ...]:
        """See ``Task``."""
        return (self.text,)

    def target_probability(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): the geometric mean of the hidden words' probabilities, 0 where there are none."""
        if "masked_logits" not in outputs:
            return torch.zeros(len(targets["counted"]), device=targets["counted"].device)
        logits = outputs["masked_logits"].float()
        places, there = places_of(targets["words"] != UNLABELLED, logits.shape[1])
        words = blank(targets["words"].gather(1, places), there)
        logs = blank(logits.log_softmax(-1).gather(2, words.unsqueeze(2)).squeeze(2), there)
        return blank((logs.sum(1) / there.sum(1).clamp(min=1)).exp(), there.any(1))

    def make_metrics(self) -> MetricCollection:
        """``accuracy`` and ``perplexity``."""
        return MetricCollection(
            {"accuracy": TokenAccuracy(), "perplexity": Perplexity()}, compute_groups=[["accuracy"], ["perplexity"]]
        )

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the tokens to be predicted."""
        if "masked_logits" in outputs:
            metrics.update(*self._labelled_tokens(outputs, targets))

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``, the most probable piece for each [MASK]; ``candidates``, {piece: probability} for each."""
        assert self.vocabulary is not None
        read = state.inputs.get(self.text, {})
        tokens = state.encoded[self.text]
        if "input_ids" not in read:  # from the store: what was read is not known, and nothing in it was hidden
            return [{"prediction": [], "candidates": []} for _ in tokens.mask]
        places, there = places_of((read["input_ids"] == self.vocabulary.mask_id) & read["mask"])
        best = self.logits(state, places).detach().float().softmax(-1).topk(min(CANDIDATES, self.vocabulary.size))
        answers = []
        for shares, ids, real in zip(best.values.tolist(), best.indices.tolist(), there.tolist(), strict=True):
            found = [
                dict(zip(self._pieces(pieces), share, strict=True))
                for share, pieces, one in zip(shares, ids, real, strict=True)
                if one
            ]
            answers.append({"prediction": [next(iter(one)) for one in found], "candidates": found})
        return answers


def places_of(wanted: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
    """Where a mask (B, L) is True: places (B, K) int64 and (B, K) bool, which of them are real.

    Args:
        wanted: the mask.
        most: K; None = as many as the sample has that has most of them, at least 1.
    """
    if most is None:
        most = max(1, int(wanted.sum(1).max())) if wanted.numel() else 1
    places = wanted.int().argsort(dim=1, descending=True, stable=True)[:, :most]
    return places, wanted.gather(1, places)


def at_places(tokens: Tensor, places: Tensor) -> Tensor:
    """tokens (B, L, D), places (B, K) -> (B, K, D)."""
    return tokens.gather(1, places.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
