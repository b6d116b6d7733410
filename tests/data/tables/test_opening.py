"""What is no table is refused before anything is read of it."""

import re
from pathlib import Path

import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.huggingface import HuggingFaceTable
from mmbert.data.tables.opening import arrow_files
from mmbert.data.tables.table import Table


def test_a_name_that_is_no_table_is_refused_with_the_nearest(tmp_path):
    (tmp_path / "data.csv").write_text("text\na\n")
    (tmp_path / "empty.csv").touch()
    assert arrow_files(tmp_path / "data.csv")
    with pytest.raises(DataError, match="no such file.*data.csv"):
        arrow_files(tmp_path / "dat.csv")
    with pytest.raises(DataError, match="is empty"):
        arrow_files(tmp_path / "empty.csv")
    with pytest.raises(DataError, match="is a folder"):
        arrow_files(tmp_path)
    with pytest.raises(ConfigError, match="data.path is empty"):
        arrow_files(Path())


@pytest.mark.parametrize(("given", "said"), [(["a.csv", "b.csv"], "2 names"), ({"a": 1}, "{'a': 1}"), (5, "5")])
@pytest.mark.parametrize("kind", [Table, HuggingFaceTable])
def test_several_tables_are_no_path(kind, given, said):
    with pytest.raises(ConfigError, match=rf"^data.path is {re.escape(said)}; it must name one table or data set"):
        kind(given)
