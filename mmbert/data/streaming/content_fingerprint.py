"""A fingerprint of an index: of its cells and of the content that its locators mean, wherever that lies."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmbert.data.streaming.locators import BLOCK_COLUMN, KEY_COLUMN, is_locator
from mmbert.data.tables.fingerprint import FINGERPRINT_LENGTH

#: Rows that are hashed at a time.
HASHED_AT_ONCE = 1000


def index_fingerprint(index: pa.Table) -> str:
    """Sixteen hexadecimal digits; the same however the samples are divided into shards."""
    digest = hashlib.sha256(f"{len(index)}".encode())
    for name in sorted(set(index.column_names) - {KEY_COLUMN, BLOCK_COLUMN}):
        values = index.column(name)
        digest.update(f"{name}:".encode())
        for start in range(0, len(values), HASHED_AT_ONCE):
            rows = pa.array(np.arange(start, min(start + HASHED_AT_ONCE, len(values))))
            digest.update(piece_bytes(values.take(rows).combine_chunks()))
    return digest.hexdigest()[:FINGERPRINT_LENGTH]


def piece_bytes(piece: pa.Array) -> bytes:
    """What stands for some cells; for locators the keys of their content."""
    if not is_locator(piece.type):
        return bytes(pa.RecordBatch.from_arrays([piece], ["cells"]).serialize())
    keys = [pc.fill_null(pc.struct_field(piece, half), pa.scalar(0, pa.uint64())) for half in ("high", "low")]
    return b"".join(np.ascontiguousarray(key.to_numpy()).tobytes() for key in keys)
