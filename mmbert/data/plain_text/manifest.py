"""Text files -> a Parquet manifest in the home folder, written sample by sample."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from mmbert.core.errors import DataError
from mmbert.core.whole_files import building, whole_folder
from mmbert.data.plain_text.files import text_files, text_lines
from mmbert.data.plain_text.samples import TextUnit, text_samples
from mmbert.data.tables.reading import in_batches

TEXT_MANIFEST = "texts.parquet"
#: To be raised when the same files give other samples.
TEXT_MANIFEST_VERSION = 1
TEXT_SCHEMA = pa.schema([("text", pa.string()), ("file", pa.string()), ("line", pa.int64()), ("same", pa.string())])


def build_text_manifest(
    folder: Path, given: str | Path | Sequence[str | Path], unit: TextUnit, block_words: int
) -> Path:
    """The manifest of text files, built unless it is already there; returns its path.

    Its columns: ``text``; ``file`` and ``line``, where the sample begins; ``same``, equal for equal texts, so that a
    text that occurs twice is in one split.

    Args:
        folder: that manifests are kept in.
        given: see ``text_files``.
        unit: see ``text_samples``.
        block_words: the same.

    Raises:
        DataError: a file cannot be used, no sample is in them, or nothing can be written to the folder.
    """
    files = text_files(given)
    place = folder / f"text-{files_fingerprint(files, unit, block_words)}"
    manifest = place / TEXT_MANIFEST
    if manifest.is_file():
        return manifest
    try:
        with building(place):
            if not manifest.is_file():
                with whole_folder(place) as scratch:
                    write_samples(scratch / TEXT_MANIFEST, files, unit, block_words)
    except OSError as error:
        raise DataError(
            f"The texts cannot be kept in {place} ({error.strerror or error}): name another place with data.folder=DIR "
            "or the environment variable MMBERT_HOME."
        ) from error
    return manifest


def files_fingerprint(files: Sequence[Path], unit: str, block_words: int) -> str:
    """Changes with the files' names, sizes and times of change, and with how samples are made of them."""
    root = common_root(files)
    about = [(str(path.absolute().relative_to(root)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    text = json.dumps([TEXT_MANIFEST_VERSION, unit, block_words if unit == "block" else None, str(root), about])
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def common_root(files: Sequence[Path]) -> Path:
    """The lowest folder that all files are in."""
    return Path(os.path.commonpath([path.absolute().parent for path in files]))


def write_samples(path: Path, files: Sequence[Path], unit: TextUnit, block_words: int) -> None:
    """Writes the manifest.

    Raises:
        DataError: a file cannot be used, or there is no sample.
    """
    empty = True
    with pq.ParquetWriter(path, TEXT_SCHEMA, compression="zstd") as writer:
        for part in in_batches(samples_of(files, unit, block_words)):
            writer.write_table(pa.Table.from_pylist(list(part), TEXT_SCHEMA))
            empty = False
    if empty:
        raise DataError(f"{files[0]}{f' and {len(files) - 1} more' * (len(files) > 1)}: there is no text, only blanks.")


def samples_of(files: Sequence[Path], unit: TextUnit, block_words: int) -> Iterator[dict[str, Any]]:
    """The manifest's rows; file names are relative to the folder that all are in."""
    root = common_root(files)
    for path in files:
        name = path.absolute().relative_to(root).as_posix()
        for text, line in text_samples(text_lines(path), unit, block_words):
            same = xxhash.xxh3_64_hexdigest(text.encode("utf-8"))
            yield {"text": text, "file": name, "line": line, "same": same}
