"""A part's rows: class numbers as names, names of files as paths beside their table."""

import pyarrow as pa

from mmbert.data.datasets_library.split_part import SplitPart, media_column, part_table


def test_the_rows_of_all_files_with_names_for_numbers_and_paths_for_files(tmp_path):
    files = []
    for number, rows in enumerate(([("a.png", 0)], [(None, 1), ("b/c.png", 0)])):
        table = pa.table({"file_name": [name for name, _ in rows], "label": [code for _, code in rows]})
        files.append(str(tmp_path / f"{number}.arrow"))
        with pa.OSFile(files[-1], "wb") as sink, pa.ipc.new_stream(sink, table.cast(SCHEMA).schema) as writer:
            writer.write_table(table.cast(SCHEMA))
    part = SplitPart(
        "train", tuple(files), {"label": ("x", "y")}, tmp_path / "metadata.csv", {}, {"file_name": "image"}
    )
    assert part_table(part, "set").to_pydict() == {
        "image": [
            {"bytes": None, "path": str(tmp_path / "a.png")},
            None,
            {"bytes": None, "path": str(tmp_path / "b" / "c.png")},
        ],
        "label": ["x", "y", "x"],
    }


SCHEMA = pa.schema([("file_name", pa.string()), ("label", pa.int64())])


def test_an_empty_name_is_no_picture(tmp_path):
    assert media_column(pa.chunked_array([["", None]], pa.string()), tmp_path).to_pylist() == [None, None]
