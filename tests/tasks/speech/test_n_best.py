"""N-best lists: what beam search finds, and the order that two scores make."""

import numpy as np
import pytest
import torch

from mmbert.core.errors import ConfigError
from mmbert.tasks.speech.alphabet import Alphabet
from mmbert.tasks.speech.ctc_search import prefix_beam_search
from mmbert.tasks.speech.n_best import NBestSearch, check_rescoring
from mmbert.tasks.speech.transcripts import TranscriptForm

CPU = torch.device("cpu")
LETTERS = Alphabet(["a", "b"], TranscriptForm())


class Prefers:
    """A second score that a person can compute: -10 for every letter but one."""

    def __init__(self, letter):
        self.letter = letter

    def scores(self, texts, device):
        return [-10.0 * sum(letter != self.letter for letter in text) for text in texts]


def logs(seed=0):
    return np.log(np.random.default_rng(seed).dirichlet([1, 1, 1], size=5)).astype(np.float32)


def test_without_a_second_score_or_a_weight_the_list_is_beam_searchs():
    search = NBestSearch(LETTERS, 4, 3, 0.0, None)
    found = search.found(logs())
    assert found == prefix_beam_search(logs(), 4, 3) and search.beams and search.width == 4
    assert search.ordered(found, 1.0, CPU) == found
    assert NBestSearch(LETTERS, 4, 3, 0.0, Prefers("a")).ordered(found, -1.0, CPU) == found
    assert not NBestSearch(LETTERS, 1, 1, 0.0, None).beams and NBestSearch(LETTERS, 1, 3, 0.0, None).width == 3


def test_the_order_is_that_of_the_weighted_sum():
    search = NBestSearch(LETTERS, 8, 5, 0.0, Prefers("b"))
    found = search.found(logs())
    sums = {tuple(ids): score - 0.5 * 10 * ids.count(1) for ids, score in found}
    ordered = search.ordered(found, 0.5, CPU)
    assert {tuple(ids): score for ids, score in ordered} == pytest.approx(sums)
    assert [score for _, score in ordered] == sorted(sums.values(), reverse=True)
    best = search.hypotheses([logs()], 0.5, CPU)
    assert best == {"beam": [LETTERS.text(found[0][0])], "rescored": [LETTERS.text(ordered[0][0])]}
    assert set(search.hypotheses([logs()], -1.0, CPU)) == {"beam"}
    assert search.written(ordered)[0] == {"text": best["rescored"][0], "score": round(ordered[0][1], 4)}


def test_errors_of_a_list_are_counted_by_words_or_by_characters():
    for spaces, expected in ((True, lambda text: int(text != "ab")), (False, lambda text: distance(text, "ab"))):
        search = NBestSearch(Alphabet(["a", "b"], TranscriptForm(spaces=spaces)), 8, 4, 0.0, Prefers("b"))
        found = search.found(logs())
        sample = search.tuning_sample(logs(), "ab", CPU)
        assert sample["errors"] == [expected(LETTERS.text(ids)) for ids, _ in found]
        assert sample["scores"] == [(score, -10.0 * ids.count(1)) for ids, score in found]


def distance(one, other):
    """Levenshtein's."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        row, above = [i], row
        for j, wanted in enumerate(other, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (letter != wanted)))
    return row[-1]


def test_options_that_do_not_fit_are_refused():
    check_rescoring("said", 2, "bert", [0.0])
    with pytest.raises(ConfigError, match="set n_best=10"):
        check_rescoring("said", 1, "bert", [0.0])
    for weights in ([], [0.5, -0.1]):
        with pytest.raises(ConfigError, match="rescore_weights"):
            check_rescoring("said", 2, None, weights)
