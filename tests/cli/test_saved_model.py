"""What commands that look into a saved model share."""

import pytest

from mmbert.cli.saved_model import folder_of_run, number_up_to, one_split
from mmbert.core.errors import ConfigError

DATA = {"_target_": "mmbert.data.synthetic.Synthetic"}


def test_the_files_go_to_the_run_unless_the_data_are_others(finished_run, tmp_path):
    assert folder_of_run(finished_run / "model", other_data=False).path == finished_run
    assert folder_of_run(finished_run / "model", other_data=True).path.parts[0] == "outputs"
    assert folder_of_run(tmp_path, other_data=False).path.parts[0] == "outputs"


def test_a_number_is_read_within_its_range():
    assert number_up_to({}, "seed", 3, 10) == 3
    assert number_up_to({"seed": "10"}, "seed", 3, 10) == 10
    for wrong in ("11", "-1", "1.5", "x", "", "²"):
        with pytest.raises(ConfigError, match="a whole number from 0 to 10 is wanted"):
            number_up_to({"seed": wrong}, "seed", 3, 10)


def test_one_split_is_chosen_and_several_are_refused():
    assert one_split("val", DATA) == "val"
    for wrong in ("val,test", ""):
        with pytest.raises(ConfigError, match="one split is measured at a time"):
            one_split(wrong, DATA)
