"""Scores of generated texts, each by its reference package: BLEU, chrF, ROUGE, CIDEr; and two counts of our own.

bleu, chrf      sacrebleu (Post 2018, arXiv:1804.08771; Popović 2015), from 0 to 100
rouge1 … Lsum   rouge-score (Lin 2004), mean F1 from 0 to 1, of several references the best
cider           pycocoevalcap (Vedantam et al. 2015, arXiv:1411.5726), from 0 to 10; the weights of words are those
                of the references that are scored, so of a single sample it is 0
distinct1, 2    different n-grams as a share of all (Li et al. 2016, arXiv:1510.03055)
exact_match     share of answers that equal one of their references, white space aside
wer, cer        word and character error rate by jiwer, for speech that a decoder writes down
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from mmbert.core.errors import ConfigError, nearest
from mmbert.tasks.text_metrics.rouge_library import rouge_library
from mmbert.tasks.text_metrics.sentences import sentence_texts
from mmbert.tasks.text_metrics.text_error_rate import TextErrorRate
from mmbert.tasks.text_metrics.text_pairs import TextPairs, reference_streams
from mmbert.tasks.text_metrics.words import BY_WORD, WordTokenizer, words_of_rouge

#: Names of the scores that a task may be asked for; ``rouge`` and ``distinct`` stand for several.
TEXT_SCORES = ("bleu", "chrf", "rouge", "cider", "distinct", "exact_match", "wer", "cer")
ROUGE_TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


class Bleu(TextPairs):
    """Corpus BLEU by sacrebleu.

    Args:
        tokenizer: of sacrebleu: ``13a``, ``zh``, ``ja-mecab``, ``char``, ``intl``, ``none``.
        lowercase: compare without capitals.

    Raises:
        ConfigError: the tokenizer needs a package that is not installed.
    """

    def __init__(self, tokenizer: str = "13a", lowercase: bool = False) -> None:
        super().__init__()
        self.tokenizer, self.lowercase = tokenizer, lowercase
        self.made()

    def made(self) -> Any:
        """The scorer of sacrebleu."""
        from sacrebleu.metrics import BLEU

        try:
            return BLEU(tokenize=self.tokenizer, lowercase=self.lowercase)
        except (RuntimeError, ImportError) as error:
            extra = "pip install 'mmbert[japanese]'" if self.tokenizer == "ja-mecab" else f"the package for {error}"
            raise ConfigError(
                f"The BLEU tokenizer {self.tokenizer} is not installed: {extra}, or count characters with "
                "bleu_tokens=char."
            ) from error

    def score(self, answers: list[str], references: list[list[str]]) -> float:
        """The corpus score; ``note`` is then its signature."""
        scorer = self.made()
        value = scorer.corpus_score(answers, reference_streams(references)).score
        self.note = str(scorer.get_signature())
        return float(value)


class ChrF(TextPairs):
    """Corpus chrF by sacrebleu: F-score with β = 2 over n-grams of up to 6 characters.

    Args:
        lowercase: compare without capitals.
    """

    def __init__(self, lowercase: bool = False) -> None:
        super().__init__()
        self.lowercase = lowercase

    def score(self, answers: list[str], references: list[list[str]]) -> float:
        """The corpus score; ``note`` is then its signature."""
        from sacrebleu.metrics import CHRF

        scorer: Any = CHRF(lowercase=self.lowercase)
        value = scorer.corpus_score(answers, reference_streams(references)).score
        self.note = str(scorer.get_signature())
        return float(value)


class Rouge(TextPairs):
    """Mean F1 of one kind of ROUGE by rouge-score, without stemming.

    Args:
        kind: one of ``ROUGE_TYPES``; for ``rougeLsum`` every sentence is a line.
        language: of the references; rouge-score's own tokenizer is for English alone.
    """

    def __init__(self, kind: str, language: str) -> None:
        super().__init__()
        self.kind, self.language = kind, language

    def score(self, answers: list[str], references: list[list[str]]) -> float:
        """The mean over samples; of several references the best counts."""
        scorer = rouge_scorer([self.kind], self.language)
        self.note = rouge_note(self.language)
        total = 0.0
        for answer, known in zip(answers, references, strict=True):
            total += scorer.score_multi(list(map(by_line, known)), by_line(answer))[self.kind].fmeasure
        return total / len(answers)


def rouge_scorer(kinds: Sequence[str], language: str) -> Any:
    """The scorer of rouge-score with the tokenizer for a language."""
    scorer = rouge_library().rouge_scorer.RougeScorer
    return scorer(list(kinds), use_stemmer=False, tokenizer=words_of_rouge(language))


def rouge_note(language: str) -> str:
    """How ROUGE was computed."""
    words = "a-z0-9 (its own)" if words_of_rouge(language) is None else BY_WORD
    return f"rouge-score {version('rouge-score')}, F1, no stemming, words: {words}"


def by_line(text: str) -> str:
    """A text with each sentence on a line of its own."""
    return "\n".join(sentence_texts(text))


class Cider(TextPairs):
    """CIDEr by pycocoevalcap's Python part; texts are cut by ``WordTokenizer`` in place of its tokenizer in Java.

    Raises:
        ConfigError: the package is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made()

    def made(self) -> Any:
        """The scorer of pycocoevalcap."""
        try:
            from pycocoevalcap.cider.cider import Cider as Scorer
        except ImportError as error:
            raise ConfigError("CIDEr needs pycocoevalcap: pip install 'mmbert[captions]'.") from error
        return Scorer()

    def score(self, answers: list[str], references: list[list[str]]) -> float:
        """The mean over samples."""
        cut = WordTokenizer().tokenize
        known = {i: [" ".join(cut(text)) for text in texts] for i, texts in enumerate(references)}
        given = {i: [" ".join(cut(text))] for i, text in enumerate(answers)}
        self.note = f"pycocoevalcap {version('pycocoevalcap')}, words: {BY_WORD}"
        return float(self.made().compute_score(known, given)[0])


class Distinct(TextPairs):
    """Different n-grams of all answers as a share of all their n-grams; 0 if there are none.

    Args:
        size: n.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def score(self, answers: list[str], references: list[list[str]]) -> float:
        """Over all answers together."""
        cut, size = WordTokenizer().tokenize, self.size
        found = [tuple(words[i : i + size]) for words in map(cut, answers) for i in range(len(words) - size + 1)]
        return len(set(found)) / len(found) if found else 0.0


class TextExactMatch(TextPairs):
    """Share of answers that equal one of their references, runs of white space counting as one space.

    Args:
        lowercase: compare without capitals.
    """

    def __init__(self, lowercase: bool = False) -> None:
        super().__init__()
        self.lowercase = lowercase

    def score(self, answers: list[str], references: list[list[str]]) -> float:
        """The mean over samples."""

        def plain(text: str) -> str:
            joined = " ".join(text.split())
            return joined.lower() if self.lowercase else joined

        right = [plain(one) in set(map(plain, known)) for one, known in zip(answers, references, strict=True)]
        return sum(right) / len(right)


def checked_scores(names: Sequence[str]) -> list[str]:
    """The names of scores.

    Raises:
        ConfigError: one is unknown.
    """
    for name in names:
        if name not in TEXT_SCORES:
            raise ConfigError(f"scores has '{name}'. {nearest(name, TEXT_SCORES)}")
    return list(names)


def text_scores(names: Sequence[str], language: str, bleu_tokens: str, lowercase: bool) -> dict[str, TextPairs]:
    """The scores of some names, in the order of ``TEXT_SCORES``.

    Args:
        names: some of ``TEXT_SCORES``.
        language: of the references.
        bleu_tokens: tokenizer of sacrebleu.
        lowercase: compare without capitals.

    Raises:
        ConfigError: a package that one of them needs is not installed.
    """
    makers: dict[str, Any] = {
        "bleu": lambda: {"bleu": Bleu(bleu_tokens, lowercase)},
        "chrf": lambda: {"chrf": ChrF(lowercase)},
        "rouge": lambda: {kind: Rouge(kind, language) for kind in ROUGE_TYPES},
        "cider": lambda: {"cider": Cider()},
        "distinct": lambda: {f"distinct{size}": Distinct(size) for size in (1, 2)},
        "exact_match": lambda: {"exact_match": TextExactMatch(lowercase)},
        "wer": lambda: {"wer": TextErrorRate("word")},
        "cer": lambda: {"cer": TextErrorRate("character")},
    }
    return {name: metric for key in TEXT_SCORES if key in names for name, metric in makers[key]().items()}
