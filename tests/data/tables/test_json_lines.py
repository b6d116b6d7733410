"""JSONL: types of JSON are kept, and broken lines are named."""

import pytest

from mmbert.core.errors import DataError
from mmbert.data.tables.json_lines import JsonLines

FORMAT = JsonLines()


def rows_of(path):
    """(schema, rows) of a file."""
    schema = FORMAT.schema(path)
    return schema, [row for table in FORMAT.batches(path, schema) for row in table.to_pylist()]


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_json_lines_keep_their_types_and_mixed_columns_become_text(tmp_path):
    text = '{"n": 1, "mixed": true}\n\n{"n": 2.5, "mixed": "x", "late": [1, 2]}\n{"mixed": null, "gone": null}\n'
    path = written(tmp_path, "a.jsonl", text)
    schema, rows = rows_of(path)
    kinds = {field.name: str(field.type) for field in schema}
    assert kinds == {"n": "double", "mixed": "string", "late": "list<item: int64>", "gone": "string"}
    assert rows == [
        {"n": 1.0, "mixed": "true", "late": None, "gone": None},
        {"n": 2.5, "mixed": "x", "late": [1, 2], "gone": None},
        {"n": None, "mixed": None, "late": None, "gone": None},
    ]
    assert [FORMAT.line(path, row) for row in range(3)] == [1, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": }\n', "line 2 is no JSON: Expecting value at character 7"),
        ("[1, 2]\n", "line 1 is no JSON object"),
        ('{"a": "\\ud83d"}\n', "line 1 is no JSON"),
    ],
)
def test_broken_json_lines_are_refused_with_the_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        rows_of(written(tmp_path, "a.jsonl", text))
