"""Columns made of others: the same in every copy, empty where they should be, and outside of the table's own names."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmbert.data.tables.derived_columns import ColumnsTogether, Pair, Span, Without
from mmbert.data.tables.table import Table


def copies(table):
    return table, pickle.loads(pickle.dumps(table))


def test_a_part_of_a_file_has_its_times_and_is_empty_where_the_cell_is(tmp_path):
    (tmp_path / "t.csv").write_text("clip,from,to\na.mp4,1.5,0:02.5\n,1,2\nb.mp4,,\nc.mp4,soon,3\n")
    table = Table(tmp_path / "t.csv")
    name = table.add(Span("clip", "from", "to"))
    for one in copies(table):
        assert one.column(name) == [
            {"path": "a.mp4", "start": 1.5, "end": 2.5},
            None,
            {"path": "b.mp4", "start": None, "end": None},
            {"path": "c.mp4", "start": None, "end": 3.0},
        ]
        assert one.empty(name).tolist() == [False, True, False, False] and not one.is_media(name)
    assert name not in table.column_names and table.add(Span("clip", "from", "to")) == name
    alone = table.add(Span("clip", None, "to"))
    assert table.cell(0, alone) == {"path": "a.mp4", "start": None, "end": 2.5} and alone != name


def test_parts_of_what_lies_in_the_table_itself(tmp_path):
    media = [{"bytes": b"one", "path": "a.wav"}, {"bytes": None, "path": None}, {"bytes": None, "path": "b.wav"}]
    columns = {"sound": media, "plain": [b"x", None, b""], "start": [0.5, 1.0, None]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    for table in copies(Table(tmp_path / "t.parquet")):
        name, plain = table.add(Span("sound", "start", None)), table.add(Span("plain", "start", None))
        assert table.is_media(name) and table.empty(name).tolist() == [False, True, False]
        assert table.cell(0, name) == {"bytes": b"one", "path": "a.wav", "start": 0.5, "end": None}
        assert table.empty(plain).tolist() == [False, True, True] and table.is_media(plain)
        assert table.cell(0, plain) == {"bytes": b"x", "path": None, "start": 0.5, "end": None}


def test_cells_that_hold_nothing_for_an_encoder_are_empty_for_it_alone(tmp_path):
    (tmp_path / "t.csv").write_text("clip\na.mp4\nb.mp4\nc.mp4\n")
    table = Table(tmp_path / "t.csv")
    name = table.add(Without("clip", "audio", np.packbits([False, True, False]).tobytes()))
    for one in copies(table):
        assert one.column(name) == ["a.mp4", None, "c.mp4"] and one.empty(name).tolist() == [False, True, False]
        assert one.column("clip") == ["a.mp4", "b.mp4", "c.mp4"] and one.pair_in(name) is None
    assert name == "clip (audio)" and table.add(Pair("clip", "clip")) == "clip + clip"


def test_a_record_holds_cells_by_column_and_is_empty_where_all_are(tmp_path):
    (tmp_path / "t.csv").write_text("age,sex,note\n3,f,x\n,m,\n,  ,y\n4.5,,\n")
    table = Table(tmp_path / "t.csv")
    name = table.add(ColumnsTogether(("age", "sex")))
    for one in copies(table):
        cells = one.column(name)
        assert cells == [{"age": "3", "sex": "f"}, {"age": None, "sex": "m"}, None, {"age": "4.5", "sex": None}]
        assert one.empty(name).tolist() == [False, False, True, False]
        assert one.record_in(name) == ("age", "sex") and one.pair_in(name) is None and not one.is_media(name)
    assert table.record_in("age") is None and name == "{age, sex}"
