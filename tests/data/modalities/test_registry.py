"""Which kind of input an encoder or a processor reads: by a name, or by an object of its own."""

import pytest

from mmbert.core.errors import ConfigError
from mmbert.data.modalities.image import MODALITY as IMAGE
from mmbert.data.modalities.registry import all_kinds, modality_named, modality_of
from mmbert.data.modalities.text import MODALITY as TEXT
from mmbert.data.modalities.text import TextModality


class Reader:
    kind = "image"


class OwnReader:
    modality = TextModality()


def test_a_kind_is_found_by_its_name_or_is_an_object():
    assert modality_of(Reader) is modality_of(Reader()) is IMAGE
    assert modality_named("text") is TEXT
    assert modality_of(OwnReader()) is OwnReader.modality
    assert all_kinds() == ["audio", "features", "image", "series", "tabular", "text", "video"]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (type("Reader", (), {}), "Reader does not say what it reads"),
        (type("Reader", (), {"kind": "imag"}), "There is no kind of input 'imag'.*image"),
        (type("Reader", (), {"kind": "base"}), "There is no kind of input 'base'"),
        (type("Reader", (), {"modality": "image"})(), "Reader.modality must be an object .* not 'image'"),
    ],
)
def test_a_part_without_a_kind_is_named(part, message):
    with pytest.raises(ConfigError, match=message):
        modality_of(part)
