"""Types that fit cells, columns and files."""

import pyarrow as pa

from mmbert.data.tables.arrow_types import common_type, plain_type, readable_type, type_of


def test_types_fit_all_cells():
    assert type_of([1, None, 2]) == pa.int64() and type_of([1, 2.5]) == pa.float64()
    assert type_of([True, 1]) == pa.string() and type_of([2**70]) == pa.string() and type_of([]) == pa.null()
    assert common_type(pa.int64(), pa.float64()) == pa.float64()
    assert common_type(pa.null(), pa.int64()) == pa.int64()
    assert common_type(pa.int64(), pa.string()) == pa.string()
    assert plain_type(pa.dictionary(pa.int8(), pa.string())) == pa.string() and plain_type(pa.null()) == pa.string()


def test_what_is_made_of_something_unreadable_is_unreadable():
    words = pa.dictionary(pa.int8(), pa.string())
    assert readable_type(pa.list_(words)) == pa.list_(pa.string())
    assert readable_type(pa.struct([("w", words), ("n", pa.null())])) == pa.struct(
        [("w", pa.string()), ("n", pa.string())]
    )
    assert readable_type(pa.uuid()) == pa.binary(16) and readable_type(pa.binary_view()) == pa.binary()
    assert readable_type(pa.struct([("m", pa.list_(pa.map_(pa.string(), pa.int8())))])) is None
