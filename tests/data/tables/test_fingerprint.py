"""Fingerprints: equal contents are equal, wherever they lie and in whatever order; everything else differs."""

import hashlib
import os

import numpy as np

from mmbert.data.tables.fingerprint import FINGERPRINT_LENGTH, file_fingerprint, splits_fingerprint


def test_a_files_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"text,label\n")
    (tmp_path / "b.csv").write_bytes(b"text,label\n")
    os.utime(tmp_path / "b.csv", (0, 0))
    (tmp_path / "c.csv").write_bytes(b"text,label\r\n")
    assert file_fingerprint(tmp_path / "a.csv") == file_fingerprint(tmp_path / "b.csv")
    assert file_fingerprint(tmp_path / "a.csv") == hashlib.sha256(b"text,label\n").hexdigest()[:16]
    assert file_fingerprint(tmp_path / "c.csv") != file_fingerprint(tmp_path / "a.csv")


def test_that_of_splits_depends_on_which_rows_are_in_which_and_on_nothing_else():
    rows = {"train": np.array([0, 1, 2]), "test": np.array([3, 4])}
    same = {"test": np.array([4, 3], np.int32), "train": np.array([2, 0, 1])}
    found = splits_fingerprint(rows)
    assert splits_fingerprint(same) == found and len(found) == FINGERPRINT_LENGTH
    others = [
        {"train": np.array([0, 1, 3]), "test": np.array([2, 4])},
        {"train": np.array([0, 1, 2, 3]), "test": np.array([4])},
        {"train": np.array([0, 1, 2]), "val": np.array([3, 4])},
        {"train": np.array([0, 1, 2]), "test": np.array([3, 4]), "val": np.array([], int)},
    ]
    assert len({found, *map(splits_fingerprint, others)}) == 5
