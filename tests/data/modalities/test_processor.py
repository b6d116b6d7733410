"""The optional protocols of processors: which of mmbert's own processors are storable, and which align words."""

import pytest

from mmbert.data.modalities.processor import Aligned, Storable
from mmbert.encoders.processors.audio import AudioProcessor
from mmbert.encoders.processors.image import ImageProcessor
from mmbert.encoders.text import TextEncoder


class Minimal:
    """What a processor must have."""

    kind = "text"

    def prepare(self, raw):
        return raw

    def collate(self, prepared):
        return {}


@pytest.mark.parametrize(
    ("processor", "storable", "aligned"),
    [
        (lambda: AudioProcessor(8, 1.0, 1), True, True),
        (lambda: ImageProcessor((1, 1), (0, 0, 0), (1, 1, 1)), True, False),
        (lambda: TextEncoder("tiny").processor, True, True),
        (Minimal, False, False),
    ],
)
def test_optional_methods_are_recognised(processor, storable, aligned):
    made = processor()
    assert (isinstance(made, Storable), isinstance(made, Aligned)) == (storable, aligned)
