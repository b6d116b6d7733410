"""Files are found however the accents of their names are encoded, in the table and on the disk."""

import os
from pathlib import Path

import pytest

from mmbert.core.file_names import named_file

COMPOSED, DECOMPOSED = "\xe9t\xe9", "e\u0301te\u0301"


@pytest.mark.parametrize(
    ("folder_as", "file_as"), [(COMPOSED, COMPOSED), (COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)]
)
@pytest.mark.parametrize("asked", [COMPOSED, DECOMPOSED])
def test_each_part_of_a_path_is_found_in_either_form(tmp_path, folder_as, file_as, asked):
    (tmp_path / folder_as).mkdir()
    (tmp_path / folder_as / f"{file_as} 1.png").write_bytes(b"here")
    name = f"{asked}/{asked} 1.png"
    for folder, given in ((tmp_path, name), ("elsewhere", f"{tmp_path}/{name}")):
        found = named_file(folder, given)
        assert Path(found).read_bytes() == b"here"


def test_the_name_as_written_comes_first_and_stays_where_there_is_no_file(tmp_path):
    for name in (COMPOSED, DECOMPOSED):
        (tmp_path / name).write_text(name)
    assert Path(named_file(tmp_path, DECOMPOSED)).read_text() == DECOMPOSED
    assert named_file(tmp_path, f"{DECOMPOSED}/gone.png") == os.path.join(tmp_path, f"{DECOMPOSED}/gone.png")
    assert named_file(tmp_path, "plain.png") == os.path.join(tmp_path, "plain.png")
    assert named_file(tmp_path, "\xe9\x00") == os.path.join(tmp_path, "\xe9\x00")
