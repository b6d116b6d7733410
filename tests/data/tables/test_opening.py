"""What is no table is refused before anything is read of it."""

from pathlib import Path

import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.data.tables.opening import arrow_files


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
