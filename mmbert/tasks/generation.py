"""Generation: a text for each sample, by a decoder that attends to the fused tokens of all modalities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torchmetrics import MetricCollection

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.masks import blank
from mmbert.core.ranges import Many, OneOf, Range
from mmbert.core.types import UNLABELLED, Loss, State, Tensors
from mmbert.tasks.base import Task
from mmbert.tasks.text_generation.decoder import load_decoder
from mmbert.tasks.text_generation.memory import FusedMemory
from mmbert.tasks.text_generation.references import packed_texts, references_in, references_or_none, unpacked_texts
from mmbert.tasks.text_generation.search import SearchOptions, search_texts
from mmbert.tasks.text_generation.texts import TextTokens
from mmbert.tasks.text_generation.vocabulary import learn_vocabulary
from mmbert.tasks.text_metrics.scores import TEXT_SCORES, checked_scores, text_scores
from mmbert.tasks.text_metrics.words import bleu_tokenizer, guess_language

#: What is computed without being asked for: all that needs no extra package.
DEFAULT_SCORES = ("bleu", "chrf", "rouge", "distinct", "exact_match")
#: A guess at the language looks at so many references.
GUESSED_FROM = 2000


class Generation(Task):
    """A text, learnt by teacher forcing and searched token by token: captions, summaries, translations, answers.

    The decoder is a BERT of transformers with cross-attention (``mmbert.tasks.text_generation.decoder``) over the
    joint vector and all fused tokens. A cell holds one reference or a list of several: training takes one of them at
    random, the loss of other splits the first, the metrics all.

    Targets: ``ids`` (B, T) int64, from the token that begins a text to the one that ends it, UNLABELLED after it;
    ``texts`` (B, N) uint8, the references themselves. Outputs, where targets are given: ``nll`` (B, T - 1), the
    negative log-likelihood of each token, and with label smoothing ``spread`` (B, T - 1), its mean over the vocabulary.
    In evaluation ``generated`` (B, max_length) int64, unless the loss alone is wanted or a gradient of it.

    Metrics, over all texts of a split: ``bleu``, ``chrf`` (sacrebleu), ``rouge1``, ``rouge2``, ``rougeL``,
    ``rougeLsum`` (rouge-score), ``cider`` (pycocoevalcap), ``distinct1``, ``distinct2``, ``exact_match``; see
    ``mmbert.tasks.text_metrics.scores``. Between epochs the validation split has the loss alone, unless one of them is
    monitored or ``metrics_each_epoch`` is set.

    Args:
        in_dim: width H of the fused tokens.
        column: the table's column with the references.
        dims: width by modality.
        decoder: where its weights come from: ``minilm`` (English), ``tiny`` (a random little one that reads bytes), a
            local folder with a BERT, or a name on the Hugging Face hub.
        pretrained: copy those weights; False = the same architecture with random ones.
        num_layers: only so many of its layers, the lowest; None = all.
        config: overrides of its configuration, such as ``{"hidden_size": 128}`` for one that is not pretrained.
        vocab_size: None = the decoder's own vocabulary; a number = one of at most so many pieces is learnt from the
            train split's references, with their capitals and accents.
        vocabulary: the pieces learnt.
        max_length: tokens of the longest text, the one that ends it included; longer references are cut for training.
        num_beams: beams of the search; 1 = greedy.
        length_penalty: of beams: above 0 favours long texts, below 0 short ones.
        no_repeat_ngram_size: no n-gram of this size occurs twice in a text; 0 = it may.
        do_sample: draw the tokens, reproducibly: a sample has the same text in any batch.
        temperature: of the draws.
        top_k: tokens that are drawn from; 0 = all.
        top_p: share of probability that is drawn from.
        seed: of the draws.
        label_smoothing: share of the target that is spread evenly over the vocabulary.
        scores: which metrics: some of ``TEXT_SCORES``.
        language: of the references, an ISO code such as ``zh``; None = told from their script.
        bleu_tokens: tokenizer of sacrebleu; None = by language: ``zh``, ``ja-mecab``, ``char`` or ``13a``.
        case_sensitive: whether capitals count in bleu, chrf and exact_match; None = if the vocabulary has any.
        metrics_each_epoch: whether texts are generated at every validation.
        weight: share of this task in a multi-task loss.
        lr_scale: factor on the learning rate.
        assets: folder of a saved decoder (set by ``rebuild_args``).

    Raises:
        ConfigError: an option is out of range, or the decoder cannot be one.
        WeightsError: the decoder cannot be had.
    """

    kind = "generation"
    reads_tokens = True

    def __init__(
        self,
        in_dim: int,
        column: str,
        dims: Mapping[str, int],
        decoder: str = "minilm",
        pretrained: bool = True,
        num_layers: Annotated[int | None, Range(1)] = None,
        config: dict[str, Any] | None = None,
        vocab_size: Annotated[int | None, Range(8)] = None,
        vocabulary: Sequence[str] | None = None,
        max_length: Annotated[int, Range(1)] = 32,
        num_beams: Annotated[int, Range(1)] = 1,
        length_penalty: float = 1.0,
        no_repeat_ngram_size: Annotated[int, Range(0)] = 0,
        do_sample: bool = False,
        temperature: Annotated[float, Range(above=0)] = 1.0,
        top_k: Annotated[int, Range(0)] = 0,
        top_p: Annotated[float, Range(above=0, at_most=1)] = 1.0,
        seed: Annotated[int, Range(0)] = 0,
        label_smoothing: Annotated[float, Range(0, below=1)] = 0.0,
        scores: Annotated[Sequence[str], Many(OneOf(*TEXT_SCORES))] = DEFAULT_SCORES,
        language: str | None = None,
        bleu_tokens: Annotated[str | None, OneOf("13a", "zh", "ja-mecab", "ko-mecab", "char", "intl", "none")] = None,
        case_sensitive: bool | None = None,
        metrics_each_epoch: bool = False,
        weight: float = 1.0,
        lr_scale: float = 1.0,
        assets: str | None = None,
    ) -> None:
        super().__init__(in_dim, column, weight, lr_scale)
        self.init_args.pop("assets", None)  # where this copy came from is no part of how it is built
        self.init_args["scores"] = list(scores)
        if do_sample and num_beams > 1:
            raise ConfigError(f"do_sample=true draws one text for each sample: set num_beams=1 (it is {num_beams}).")
        self.decoder, tokenizer = load_decoder(decoder, pretrained, num_layers, vocabulary, config, assets)
        self.tokens = TextTokens(tokenizer, vocabulary is not None, max_length)
        self.memory = FusedMemory(in_dim, int(self.decoder.config.hidden_size), dims)
        places = int(getattr(self.decoder.config, "max_position_embeddings", max_length))
        if max_length > places:
            raise ConfigError(f"max_length={max_length}: the decoder {decoder} has {places} positions.")
        self.search = SearchOptions(
            max_length, num_beams, length_penalty, no_repeat_ngram_size, do_sample, temperature, top_k, top_p, seed
        )
        self.label_smoothing = label_smoothing
        self.language = language or "ascii"
        self.bleu_tokens = bleu_tokens or bleu_tokenizer(self.language)
        self.case_sensitive = self.tokens.has_capitals if case_sensitive is None else case_sensitive
        self.scores = checked_scores(scores)
        self.measured_each_epoch = metrics_each_epoch
        self.make_metrics()  # a package that is missing is told before training

    @classmethod
    def fit_labels(
        cls, cells: Iterable[Any], column: str, vocab_size: int | None = None, language: str | None = None
    ) -> dict[str, Any]:
        """``language`` by the script of the train split's references, and ``vocabulary`` where one is to be learnt.

        Raises:
            DataError: no cell has a reference.
        """
        texts = [text for cell in cells if cell is not None for text in references_or_none(cell)]
        if not texts:
            raise DataError(f"Column '{column}' has no text in the train split: every cell is empty.")
        learnt = {} if vocab_size is None else {"vocabulary": learn_vocabulary(texts, vocab_size)}
        return {"language": guess_language(texts[:GUESSED_FROM]), **learnt}

    # labels

    def encode(self, cells: Mapping[str, Any], prepared: Mapping[str, Any], draw: int | None = None) -> Any:
        """The ids of one reference, and all references.

        Raises:
            DataError: a reference is empty, or the decoder's vocabulary knows nothing of it.
        """
        cell = cells[self.columns[0]]
        if cell is None:
            return None
        texts = references_in(cell)
        ids = [self.tokens.ids(text) for text in texts]
        return ids[0 if draw is None else draw % len(ids)], texts

    def collate(self, targets: Sequence[Any]) -> Tensors:
        """``ids`` (B, T) int64 and ``texts`` (B, N) uint8."""
        nothing = torch.full((2,), UNLABELLED)
        ids = [nothing if target is None else target[0] for target in targets]
        texts = packed_texts([None if target is None else target[1] for target in targets])
        return {"ids": pad_sequence(ids, batch_first=True, padding_value=UNLABELLED), "texts": texts}

    def labelled(self, targets: Tensors) -> Tensor:
        """(B,) bool."""
        return targets["ids"][:, 0] != UNLABELLED

    def count(self, targets: Tensors) -> Tensor:
        """() tokens, the ones that end a text included."""
        return (targets["ids"][:, 1:] != UNLABELLED).sum()

    def decode(self, targets: Tensors) -> list[Any]:
        """The reference, or the list of several."""
        found = unpacked_texts(targets["texts"])
        return [texts[0] if len(texts) == 1 else texts or None for texts in found]

    # head

    def forward(self, state: State, targets: Tensors | None = None) -> Tensors:
        """Attends to all fused tokens; see the class for the outputs."""
        memory, mask = self.memory(state.fused)
        outputs: Tensors = {}
        if targets is not None:
            outputs |= self.likelihoods(memory, mask, targets["ids"])
        learning = self.training or targets is not None and torch.is_grad_enabled()
        if not learning and not self.loss_only:
            outputs["generated"] = search_texts(self.decoder, memory, mask, self.search, self.tokens.special)
        return outputs

    def likelihoods(self, memory: Tensor, mask: Tensor, ids: Tensor) -> Tensors:
        """Teacher forcing: each token given those before it.

        Args:
            memory: (B, S, D).
            mask: (B, S) bool.
            ids: (B, T), UNLABELLED where there is none.

        Returns:
            ``nll`` and ``spread``, (B, T - 1) each, 0 where there is no token.
        """
        given = ids[:, :-1]
        logits = self.decoder(
            input_ids=torch.where(given == UNLABELLED, self.tokens.special.padding, given),
            encoder_hidden_states=memory,
            encoder_attention_mask=mask.long(),
            use_cache=False,
        ).logits
        shares = logits.float().log_softmax(-1)  # (B, T - 1, V)
        right = ids[:, 1:]
        known = right != UNLABELLED
        nll = -shares.gather(-1, right.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        found = {"nll": blank(nll, known)}
        if self.label_smoothing:
            found["spread"] = blank(-shares.mean(-1), known)
        return found

    def loss(self, outputs: Tensors, targets: Tensors) -> Loss:
        """Cross-entropy over tokens, with label smoothing as ``F.cross_entropy`` has it."""
        known = targets["ids"][:, 1:] != UNLABELLED
        each = blank(outputs["nll"], known)
        if self.label_smoothing:
            spread = blank(outputs["spread"], known)
            each = (1 - self.label_smoothing) * each + self.label_smoothing * spread
        return Loss(each.sum(), self.count(targets))

    def target_probability(self, outputs: Tensors, targets: Tensors) -> Tensor:
        """(B,): the geometric mean over the tokens' probabilities, 0 where there is no label."""
        known = targets["ids"][:, 1:] != UNLABELLED
        mean = blank(outputs["nll"], known).sum(1) / known.sum(1).clamp(min=1)
        return blank((-mean).exp(), self.labelled(targets))

    # metrics and predictions

    def make_metrics(self) -> MetricCollection:
        """The scores that were asked for."""
        made: dict[str, Any] = {**text_scores(self.scores, self.language, self.bleu_tokens, not self.case_sensitive)}
        return MetricCollection(made, compute_groups=[list(made)])

    def update(self, metrics: MetricCollection, outputs: Tensors, targets: Tensors) -> None:
        """Adds the labelled samples of a batch; nothing where no text was generated."""
        labelled = self.labelled(targets)
        if "generated" not in outputs:
            labelled = torch.zeros_like(labelled)
            answers = []
        else:
            answers = self.tokens.texts(outputs["generated"][labelled])
        metrics.update(answers, unpacked_texts(targets["texts"][labelled]))

    def metric_notes(self, metrics: MetricCollection) -> dict[str, str]:
        """Signatures of sacrebleu, and the words that ROUGE and CIDEr count."""
        return {str(name): str(metric.note) for name, metric in metrics.items() if metric.note}

    def predict(self, state: State, outputs: Tensors) -> list[dict[str, Any]]:
        """``prediction``, the text."""
        generated = outputs.get("generated")
        if generated is None:
            memory, mask = self.memory(state.fused)
            generated = search_texts(self.decoder, memory, mask, self.search, self.tokens.special)
        return [{"prediction": text} for text in self.tokens.texts(generated)]

    # saving

    def save_assets(self, folder: Path) -> None:
        """The decoder's config.json and the tokenizer's files."""
        self.decoder.config.save_pretrained(folder)  # type: ignore[union-attr,operator]
        self.tokens.tokenizer.save_pretrained(folder)

    @classmethod
    def rebuild_args(cls, args: dict[str, Any], folder: Path) -> dict[str, Any]:
        """The same decoder with random weights, from the files in ``folder``."""
        return {**args, "assets": str(folder)}
