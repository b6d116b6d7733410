"""Which sentences of a text make its summary: the best by ROUGE, the first, or those with the highest scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from mmbert.tasks.text_metrics.rouge_library import rouge_library
from mmbert.tasks.text_metrics.words import words_of_rouge

#: n-grams of this size occur once in a summary under trigram blocking.
BLOCKED = 3


@lru_cache(maxsize=2**14)
def greedy_oracle(sentences: tuple[str, ...], reference: str, most: int, language: str) -> tuple[int, ...]:
    """Sentences that are added one by one as long as ROUGE-1 + ROUGE-2 (F1) against a reference grows.

    Paper: Nallapati et al. 2017, arXiv:1611.04230; the sum of the two is BERTSum's (Liu 2019, arXiv:1903.10318).

    Args:
        sentences: of the text.
        reference: a summary that somebody wrote.
        most: sentences at most.
        language: by which words are cut.

    Returns:
        Their places in the text, ascending; none if no sentence shares a word with the reference.
    """
    known = [ngrams(reference, size, language) for size in (1, 2)]
    each = [[ngrams(sentence, size, language) for size in (1, 2)] for sentence in sentences]
    chosen: list[int] = []
    best = 0.0
    while len(chosen) < min(most, len(sentences)):
        values = {}
        for place in set(range(len(sentences))) - set(chosen):
            taken = [sum((each[i][n] for i in (*chosen, place)), Counter()) for n in (0, 1)]
            values[place] = sum(overlap_f1(one, other) for one, other in zip(taken, known, strict=True))
        place = max(sorted(values), key=lambda one: values[one])
        if values[place] <= best:
            break
        best = values[place]
        chosen.append(place)
    return tuple(sorted(chosen))


def ngrams(text: str, size: int, language: str) -> Counter[tuple[str, ...]]:
    """How often each n-gram of words occurs."""
    cutter = words_of_rouge(language) or rouge_library().tokenizers.DefaultTokenizer()
    words = cutter.tokenize(text)
    return Counter(tuple(words[i : i + size]) for i in range(len(words) - size + 1))


def overlap_f1(first: Counter[tuple[str, ...]], second: Counter[tuple[str, ...]]) -> float:
    """F1 of n-grams that two texts share, counted as often as they occur in both; 0 if one of them has none."""
    common = (first & second).total()
    return 2 * common / (first.total() + second.total()) if common else 0.0


def best_sentences(
    sentences: Sequence[str], scores: Sequence[float | None], most: int, block: bool, language: str
) -> list[int]:
    """The sentences with the highest scores, in the order of the text.

    Args:
        sentences: of the text.
        scores: of each; None = it cannot be chosen.
        most: sentences at most.
        block: whether a sentence that shares a trigram with one already chosen is passed over.
        language: by which words are cut.
    """
    known = [(score, place) for place, score in enumerate(scores) if score is not None]
    chosen: list[int] = []
    seen: set[tuple[str, ...]] = set()
    for _, place in sorted(known, key=lambda one: (-one[0], one[1])):
        if len(chosen) == most:
            break
        here = set(ngrams(sentences[place], BLOCKED, language)) if block else set()
        if not here & seen:
            chosen.append(place)
            seen |= here
    return sorted(chosen)


def summary_lines(sentences: Sequence[str], places: Iterable[int]) -> str:
    """Some sentences, each on a line of its own."""
    return "\n".join(sentences[place] for place in places)
