"""The words of ``methods=``."""

import pytest

from mmbert.core.errors import ConfigError
from mmbert.deploy.compress.methods import parse_methods


def test_words_are_changes_and_a_runtime_and_the_original_is_always_there():
    found = parse_methods(["structured+int8_onnx", "onnx", "without", "onnx"])
    assert [(method.word, method.changes, method.runtime) for method in found] == [
        ("original", (), None),
        ("structured+int8_onnx", ("structured",), "int8_onnx"),
        ("onnx", (), "onnx"),
        ("without", (), None),
    ]


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("strutured", "'strutured' is unknown. .*structured"),
        ("without+onnx", "stand alone"),
        ("onnx+structured", "first at most one"),
        ("structured+distil", "first at most one"),
        ("layers+layers", "each once"),
        ("onnx+int8_onnx", "first at most one"),
    ],
)
def test_other_words_are_refused(word, complaint):
    with pytest.raises(ConfigError, match=complaint):
        parse_methods([word])
