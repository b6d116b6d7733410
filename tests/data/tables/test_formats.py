"""Every format by the ending of its file."""

import inspect
import json

import pandas as pd
import pytest

from mmbert.data.tables import reading
from mmbert.data.tables.formats import FORMATS, Format, read_cells


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_has_the_methods_of_the_protocol_with_their_arguments(ending):
    for name, method in vars(Format).items():
        if not name.startswith("_"):
            assert inspect.signature(getattr(type(FORMATS[ending]), name)) == inspect.signature(method)


def test_the_endings():
    assert list(FORMATS) == [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".xlsx"]


@pytest.mark.parametrize("ending", FORMATS)
def test_some_cells_are_read_without_a_cache(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(reading, "BATCH_ROWS", 2)
    frame = pd.DataFrame({" said": list("vwxyz"), "n": list("12345")})
    path = tmp_path / f"a{ending}"
    writers = {".csv": frame.to_csv, ".tsv": frame.to_csv, ".parquet": frame.to_parquet, ".xlsx": frame.to_excel}
    if ending in writers:
        writers[ending](path, index=False)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    found = read_cells(path, [4, 1, 9], ["said", "gone", "said"])
    assert found == {1: {"said": "w"}, 4: {"said": "z"}}
