"""Every format by the ending of its file."""

import inspect

import pytest

from mmbert.data.tables.formats import FORMATS, Format


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_has_the_methods_of_the_protocol_with_their_arguments(ending):
    for name, method in vars(Format).items():
        if not name.startswith("_"):
            assert inspect.signature(getattr(type(FORMATS[ending]), name)) == inspect.signature(method)


def test_the_endings():
    assert list(FORMATS) == [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".xlsx"]
