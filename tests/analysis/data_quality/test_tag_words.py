"""Label errors of words: cleanlab's own answer for tokens, planted errors, and real taggings of a tiny run."""

import numpy as np
import pytest
import torch
from cleanlab.token_classification.filter import find_label_issues
from cleanlab.token_classification.rank import get_label_quality_scores

from mmbert.analysis.data_quality.folds import make_folds
from mmbert.analysis.data_quality.label_errors import find_label_errors
from mmbert.analysis.data_quality.out_of_sample import predict_out_of_sample
from mmbert.analysis.data_quality.report import row_table, summary
from mmbert.analysis.data_quality.scored import all_label_errors
from mmbert.analysis.data_quality.tag_words import TaggedWords, objects, worst_words
from mmbert.training.build import build
from mmbert.training.cross_fit import fit_on_rows


def noisy(seed=0, rows=120, tags=3):
    """Tags, what a model says of them, and which are wrong: a tenth."""
    random = np.random.default_rng(seed)
    labels, said, wrong = [], [], []
    for _ in range(rows):
        count = int(random.integers(1, 8))
        truth = random.integers(tags, size=count)
        logits = 3.0 * np.eye(tags)[truth] + random.standard_normal((count, tags))
        flips = random.random(count) < 0.1
        labels.append(np.where(flips, (truth + random.integers(1, tags, count)) % tags, truth))
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        said.append(TaggedWords([str(word) for word in range(count)], p))
        wrong.append(flips)
    return objects(labels), objects(said), wrong


def test_words_are_judged_as_cleanlab_judges_tokens():
    labels, said, wrong = noisy()
    found = find_label_errors("tagging", labels, said, np.ones(len(labels), bool))
    given, p = [tags.tolist() for tags in labels], [words.probabilities for words in said]
    of_rows, of_words = get_label_quality_scores(given, p, token_score_method="normalized_margin")
    issues = find_label_issues(given, p)
    for row, word in enumerate(found.word):
        flagged = [w for r, w in issues if r == row]
        assert found.flagged[row] == bool(flagged)
        expected = min(flagged or range(len(given[row])), key=lambda w: of_words[row].iloc[w])
        assert found.quality[row] == pytest.approx(of_words[row].iloc[expected])
        assert found.quality[row] == pytest.approx(of_words[row].iloc[word])
    assert (
        found.quality[~found.flagged] == pytest.approx(of_rows[~found.flagged])
    ) and 0.1 < found.flagged.mean() < 0.9
    hit = [wrong[row][found.word[row]] for row in np.flatnonzero(found.flagged)]
    assert np.mean(hit) > 0.7 and abs(found.estimate - sum(map(np.sum, wrong))) < 0.5 * sum(map(np.sum, wrong))


def test_the_worst_word_by_hand():
    quality = np.array([0.9, 0.2, 0.4, 0.1, 0.8])
    flagged = np.array([False, False, False, False, True])
    # a row of three words, of which the second is the worst; one of two, of which the second is taken for an error
    assert worst_words(quality, flagged, np.array([3, 2])).tolist() == [1, 1]


@pytest.mark.slow
def test_words_and_tags_of_a_run_are_those_of_the_table(compose_tiny, digits):
    words = (
        "trainer.max_epochs=1",
        "+task@tasks.tags=tagging",
        "tasks.tags.column=tags",
        "tasks.tags.unit=punctuation",
    )
    cfg = compose_tiny(*words)
    parts = build(cfg)
    task = parts.model.named_tasks()["tags"]
    cfg.tasks.tags.tags, cfg.tasks.tags.scheme = list(task.tags), task.scheme

    def fit(rows, scratch):
        return fit_on_rows(cfg, rows, scratch)

    folds = list(make_folds(np.arange(60), np.zeros(60, int), None, 2, 0))
    found = predict_out_of_sample(folds, fit, {"tags": task}, ["text", "image", "audio"], torch.device("cpu"))
    of_task = found.tasks["tags"]
    errors = all_label_errors(found)
    table = row_table(found, ["train"] * 60, errors, {}, [])
    rows = np.flatnonzero(of_task.labelled)
    assert len(rows) > 30
    for row in rows:
        text = str(parts.data.table.cell(int(row), "text"))
        said = of_task.predicted[row]
        tags = task.word_tags(parts.data.table.cell(int(row), "tags"), text)
        assert "".join(said.words) == "".join(text.split()) and table["tags/given"][row] == " ".join(tags)
        assert said.probabilities.shape == (len(tags), len(task.tags))
        np.testing.assert_allclose(said.probabilities.sum(1), 1, atol=1e-5)
    content = summary(found, ["train"] * 60, errors, {}, [])["label_errors"]["tags"]
    worst = content["worst"][0]
    at = worst["row"]
    place = int(errors["tags"].word[at])
    assert worst["word"] == of_task.predicted[at].words[place] == table["tags/word"][at]
    assert worst["given"] == table["tags/given"][at].split(" ")[place] and 0 < content["agreement"] <= 1
    closed = summary(found, ["train"] * 60, errors, {}, [], samples=False)
    assert "word" not in closed["label_errors"]["tags"]["worst"][0]
    assert "tags/word" not in row_table(found, ["train"] * 60, errors, {}, [], False)
