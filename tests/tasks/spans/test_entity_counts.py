"""Scores from counts equal seqeval's own on the whole set, however it is cut into batches."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval import metrics as seqeval
from torchmetrics import MetricCollection

from mmbert.tasks.spans.entity_counts import (
    TagScore,
    entity_counts,
    entity_types,
    lenient_entities,
    strict_entities,
    type_keys,
    word_counts,
)
from mmbert.tasks.spans.tag_schemes import LETTERS, seqeval_scheme, seqeval_tags

SCORES = ["f1_lenient", "f1_strict", "precision_lenient", "recall_lenient", "accuracy", "cut_words"]


def tags_of(scheme):
    return ["O", *(f"{letter}-{kind}" for letter in LETTERS[scheme] if letter != "O" for kind in ("PER", "geo-loc"))]


@st.composite
def answered(draw):
    scheme = draw(st.sampled_from(sorted(LETTERS)))
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=6))
    word = st.sampled_from(tags_of(scheme))
    rows = [draw(st.lists(word, min_size=2 * n, max_size=2 * n)) for n in lengths]
    return scheme, [row[::2] for row in rows], [row[1::2] for row in rows]


def scored(scheme, true, predicted, batch=1):
    types = entity_types(tags_of(scheme))
    metrics = {score: TagScore(score, len(types)) for score in SCORES}
    metrics |= {key: TagScore("f1_lenient", len(types), place) for key, place in type_keys(tuple(types)).items()}
    collection = MetricCollection(metrics, compute_groups=[list(metrics)])
    for start in range(0, len(true), batch):
        pairs = list(zip(true[start : start + batch], predicted[start : start + batch], strict=True))
        lenient = sum(entity_counts(lenient_entities(a, scheme), lenient_entities(b, scheme), types) for a, b in pairs)
        strict = sum(entity_counts(strict_entities(a, scheme), strict_entities(b, scheme), types) for a, b in pairs)
        collection.update(lenient, strict, sum(word_counts(a, b, 0) for a, b in pairs))
    return {name: float(value) for name, value in collection.compute().items()}


@given(case=answered(), batch=st.integers(1, 3))
@settings(deadline=None, max_examples=150)
def test_they_equal_seqeval_on_the_whole_set(case, batch):
    scheme, true, predicted = case
    found = scored(scheme, true, predicted, batch)
    read = [[seqeval_tags(row, scheme) for row in rows] for rows in (true, predicted)]
    strict = {"mode": "strict", "scheme": seqeval_scheme(scheme)}
    with warnings.catch_warnings(action="ignore"):
        assert found["f1_lenient"] == pytest.approx(seqeval.f1_score(*read), abs=1e-6)
        assert found["f1_strict"] == pytest.approx(seqeval.f1_score(*read, **strict), abs=1e-6)
        assert found["precision_lenient"] == pytest.approx(seqeval.precision_score(*read), abs=1e-6)
        assert found["recall_lenient"] == pytest.approx(seqeval.recall_score(*read), abs=1e-6)
        assert found["accuracy"] == pytest.approx(seqeval.accuracy_score(*read), abs=1e-6)
        report = seqeval.classification_report(*read, output_dict=True)
    for kind in ("PER", "geo-loc"):
        known = report.get(kind)
        value = found[f"f1_lenient_{kind}"]
        assert math.isnan(value) if known is None else value == pytest.approx(known["f1-score"], abs=1e-6)


def test_an_entity_that_begins_with_i_counts_for_one_and_not_for_the_other():
    found = scored("IOB2", [["B-PER", "I-PER"]], [["I-PER", "I-PER"]])
    assert (found["f1_lenient"], found["f1_strict"], found["accuracy"]) == (1.0, 0.0, 0.5)


def test_without_a_labelled_word_there_is_no_score():
    metric = TagScore("f1_strict", 2)
    zeros = torch.zeros(3, 2, dtype=torch.int64)
    metric.update(zeros, zeros, torch.zeros(3, dtype=torch.int64))
    assert math.isnan(float(metric.compute()))
    metric.update(zeros, zeros, torch.tensor([4, 5, 1]))  # words, but no entity: 0, as seqeval has it
    assert float(metric.compute()) == 0.0


def test_names_of_types_become_names_of_metrics():
    assert type_keys(("人名", "geo/loc", "geo.loc")) == {
        "f1_lenient_人名": 0,
        "f1_lenient_geo_loc": 1,
        "f1_lenient_geo_loc_2": 2,
    }
