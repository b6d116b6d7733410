"""What was planted and learnt is what explanations point at: a word that gives the answer away, a bright corner."""

import numpy as np
import pytest
import torch

from explained_models import real_model
from mmbert.analysis.parts.answers import explained_tasks
from mmbert.analysis.parts.explain import PathOptions, explain_parts
from mmbert.analysis.parts.words import word_sums
from mmbert.core.types import Batch

pytestmark = pytest.mark.slow  # two trainings
TELLING = ("river", "cloud")  # of the first two classes; the third is what has neither
FILLING = ("some", "other", "plain", "words", "here", "again", "once", "more")
CORNER = 4  # pixels of 16


def planted_batch(model, size, where, seed):
    """Samples whose label is in a word of the text, at any place, or in which corner of the picture is bright.

    The third class has neither: nobody can answer the others by what is not there.
    """
    draws = np.random.default_rng(seed)
    labels = draws.integers(3, size=size)
    texts, pictures = [], []
    for label in labels:
        words = list(draws.choice(FILLING, 5))
        picture = torch.from_numpy(draws.standard_normal((3, 16, 16)).astype(np.float32) * 0.2)
        if label == 2:
            pass
        elif where == "text":
            words[draws.integers(5)] = TELLING[label]
        else:
            top, left = corner(label)
            picture[:, top : top + CORNER, left : left + CORNER] += 3
        texts.append(" ".join(words))
        pictures.append(picture)
    encoders = model.named_encoders()
    prepared = {
        "text": [encoders["text"].processor.prepare(text) for text in texts],
        "image": pictures,
        "audio": [None] * size,
    }
    inputs = {name: encoder.processor.collate(prepared[name]) for name, encoder in encoders.items()}
    aligned = {"text": [encoders["text"].processor.alignment(text) for text in texts]}
    targets = {"answer": {"label": torch.from_numpy(labels), "has_label": torch.ones(size, dtype=torch.bool)}}
    return Batch(inputs, targets, torch.arange(size), (), aligned), labels, texts


def corner(label):
    """Top and left of the corner of a class."""
    return 12 * int(label), 12 - 12 * int(label)


def trained(where):
    """A tiny model that has learnt the plant: all its answers on new samples are right."""
    model = real_model().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(60):
        batch, labels, _ = planted_batch(model, 24, where, seed=100 + step)
        outputs = model(batch.inputs)
        loss = torch.nn.functional.cross_entropy(outputs.outputs["answer"]["logits"], torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def explained(where):
    model = trained(where)
    batch, labels, texts = planted_batch(model, 12, where, seed=1)
    told = []
    answers, options = explained_tasks(model, [], []), PathOptions(16, 32)
    found = explain_parts(model, [batch], answers, torch.device("cpu"), options, told.append)
    assert told == [task.name for task in answers]
    names = [sample.answers[0].answer for sample in found]
    assert names == ["abc"[label] for label in labels]
    return found, labels, texts


def test_a_word_that_gives_the_answer_away_is_the_most_telling_word_and_the_text_the_most_telling_modality():
    found, labels, texts = explained("text")
    for sample, label, text in zip(found, labels, texts, strict=True):
        if label == 2:
            continue
        parts = sample.answers[0].parts
        words = word_sums(text, sample.alignments["text"]["offsets"], parts["text"])
        assert max(words, key=lambda word: word.value).text == TELLING[label], text
        assert parts["text"].sum() > 5 * abs(parts["image"].sum())


def test_a_corner_that_gives_the_answer_away_holds_the_most_telling_pixels():
    found, labels, _ = explained("image")
    for sample, label in zip(found, labels, strict=True):
        if label == 2:
            continue
        parts = sample.answers[0].parts
        top, left = corner(label)
        sums = np.abs(parts["image"]).reshape(4, CORNER, 4, CORNER).sum((1, 3))
        assert np.unravel_index(sums.argmax(), sums.shape) == (top // CORNER, left // CORNER)
        assert parts["image"].sum() > 5 * abs(parts["text"].sum())
