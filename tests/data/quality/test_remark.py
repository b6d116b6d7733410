"""How a run words what it says of its data."""

import numpy as np

from mmbert.data.datamodule import MultimodalData
from mmbert.data.quality.remark import Remark


def test_one_row_is_named_and_of_several_the_first_and_their_number(tmp_path):
    (tmp_path / "t.csv").write_text("text,split\na,train\nb,val\nc,test\n")
    data = MultimodalData(tmp_path / "t.csv")
    assert Remark("rows that are odd", np.array([1])).line(data) == "rows that are odd (row 2 (line 3))"
    assert Remark("rows", np.array([0, 2])).line(data) == "rows (2 rows, the first is row 1 (line 2))"
