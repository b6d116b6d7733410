"""Vectors of classes are the means over their prompts, and probabilities a softmax over cosines."""

import numpy as np
import pytest
from scipy.special import softmax

from mmbert.core.errors import ConfigError
from mmbert.search.embedder import Embedder
from mmbert.search.zero_shot import class_probabilities, class_vectors
from retrieval_model import retrieval_model


@pytest.fixture(scope="module")
def embedder():
    return Embedder(retrieval_model())


def test_a_class_is_the_mean_over_its_prompts_of_length_1(embedder):
    found = class_vectors(embedder, ["cat", "dog"], ["a picture of a {}", "{}"])
    for name, vector in zip(["cat", "dog"], found, strict=True):
        mean = np.mean([embedder.vectors("text", [text])[0] for text in (f"a picture of a {name}", name)], axis=0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_probabilities_are_a_softmax_over_scaled_cosines():
    vectors, classes = np.eye(3, dtype=np.float32)[:2], np.eye(3, dtype=np.float32)
    expected = softmax(20 * vectors @ classes.T, axis=1)
    np.testing.assert_allclose(class_probabilities(vectors, classes, 20.0), expected, atol=1e-9)


@pytest.mark.parametrize(("classes", "prompts"), [(["a"], ["{}"]), (["a", "a"], ["{}"]), (["a", "b"], ["none"])])
def test_bad_classes_and_prompts_are_refused(embedder, classes, prompts):
    with pytest.raises(ConfigError):
        class_vectors(embedder, classes, prompts)
