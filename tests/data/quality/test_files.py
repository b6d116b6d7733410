"""Every cell is read once, in order; what fails becomes the cell's fault and stops nothing."""

from types import SimpleNamespace

import pytest

from mmbert.core.errors import DataError
from mmbert.data.modalities.base import CellFacts
from mmbert.data.quality import files
from mmbert.data.quality.files import all_facts, cell_facts


def inspect(cell, folder, options):
    if cell == "broken":
        raise DataError("broken: no picture")
    if cell == "huge":
        raise MemoryError
    return CellFacts(fault=f"{folder}/{cell}/{options['size']}")


@pytest.mark.parametrize("names_files", [True, False])
def test_facts_come_in_the_order_of_the_cells(tmp_path, monkeypatch, names_files):
    monkeypatch.setattr(files, "AHEAD", 3)
    modality = SimpleNamespace(names_files=names_files, inspect=inspect)
    cells = ["a", "broken", "b", "huge", "c", "d", "e"]
    faults = [facts.fault for facts in all_facts(iter(cells), tmp_path, modality, {"size": 8})]
    expected = [f"{tmp_path}/{cell}/8" for cell in cells]
    expected[1], expected[3] = "broken: no picture", "'huge': it needs more memory than this machine has"
    assert faults == expected


def test_any_other_error_is_ours_and_is_raised(tmp_path):
    def fails(cell, folder, options):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cell_facts("a", tmp_path, SimpleNamespace(names_files=False, inspect=fails), {})
