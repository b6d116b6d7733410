"""Records of cells by column: read, checked and made noisy."""

import numpy as np
import pytest

from mmbert.core.errors import DataError
from mmbert.data.augment.corruptions import Degradation
from mmbert.data.modalities.tabular import MODALITY as TABULAR
from mmbert.encoders.processors.tabular import TabularProcessor

COLUMNS = {"age": {"mean": 3.0, "std": 2.0}, "sex": {"categories": ["f", "m"]}}


def test_reading():
    assert TABULAR.read({"age": 3, "sex": " "}, "") == {"age": 3, "sex": None}
    processor = TabularProcessor(COLUMNS)
    assert TABULAR.from_python('{"age": 3}', processor) == TABULAR.from_python({"age": 3}, processor) == {"age": 3}
    for value, why in (("age 3", "no JSON object"), ("[3]", "no record"), (3, "no record"), ("3", "no record")):
        with pytest.raises(DataError, match=why):
            TABULAR.from_python(value, processor)
    assert TABULAR.content({"a": 1, "b": "x"}, "") == TABULAR.content({"b": "x", "a": 1}, "")
    assert TABULAR.content({"a": 1}, "") != TABULAR.content({"a": "1"}, "")


def test_a_cell_is_held_against_what_train_has():
    facts = TABULAR.inspect({"age": "3.5", "sex": "f"}, None, {"columns": COLUMNS})
    assert facts.quantities == {"filled": 2, "age": 3.5} and not facts.remarks and facts.digest == b""
    (remark,) = TABULAR.inspect({"age": None, "sex": "x"}, None, {"columns": COLUMNS}).remarks
    assert "'sex' has a word that train lacks" in remark
    with pytest.raises(DataError, match="column 'age': old is no number"):
        TABULAR.inspect({"age": "old", "sex": "f"}, None, {"columns": COLUMNS})
    assert TABULAR.inspect({"age": "old"}, None, {}).quantities == {"filled": 1}


def test_noise_is_measured_in_deviations_of_train_and_makes_words_unknown():
    processor = TabularProcessor(COLUMNS)
    raw = {"age": 5.0, "sex": "m"}

    def damaged(level, seed):
        return TABULAR.corrupted(raw, processor, level, np.random.default_rng(seed), Degradation())

    scores = np.array([[damaged(level, seed).numbers[0] for seed in range(500)] for level in (0.5, 1.0)])
    np.testing.assert_allclose((scores - 1.0).std(1), [0.5, 1.0], rtol=0.1)  # (5 - 3) / 2 = 1
    np.testing.assert_allclose(scores[1] - 1, 2 * (scores[0] - 1), atol=1e-5)  # the same draws at each level
    unknown = np.mean([damaged(0.25, seed).codes[1] == 0 for seed in range(500)])
    assert 0.19 < unknown < 0.31 and raw == {"age": 5.0, "sex": "m"}
    empty = TABULAR.corrupted({"age": None, "sex": "m"}, processor, 1.0, np.random.default_rng(0), Degradation())
    assert empty.missing.tolist() == [True, False]


def test_an_example_escapes_its_cells():
    assert TABULAR.example_html({"a": "<b>", "c": None}, None) == "<small>a: &lt;b&gt;</small>"
