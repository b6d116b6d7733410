"""What every kind of input does unless it overrides it: files and bytes in cells, sizes, digests, noise."""

import hashlib

import numpy as np
import torch
from torch.testing import assert_close

from mmbert.data.augment.corruptions import Degradation
from mmbert.data.modalities.base import Modality, bytes_and_name, content_digest, file_digest


class Words(Modality):
    """Cells are the inputs themselves."""

    kind = "words"
    names_files = False

    def read(self, cell, folder, max_seconds=None):
        return cell


class Files(Modality):
    kind = "files"

    def read(self, cell, folder, max_seconds=None):
        return ("read", cell, folder, max_seconds)


class Doubled:
    max_seconds = 3.0

    def prepare(self, raw):
        return 2 * np.asarray(raw, np.float32)


def test_a_cell_holds_bytes_or_names_a_file():
    assert bytes_and_name({"bytes": b"x", "path": "a"}) == (b"x", "a")
    assert bytes_and_name("a") == (None, "a")
    assert bytes_and_name(3) == (None, None)
    assert Files().file_name("a") == "a" and Words().file_name("a") is None


def test_what_the_store_hashes():
    assert Files().content({"bytes": b"x"}, "f") == b"x"
    assert Files().content("a", "f") == "f/a"
    assert Files().content(3, "f") is None
    assert Words().content([1, "é"], "f") == "[1, 'é']".encode()


def test_sizes_are_those_of_bytes_files_or_lists(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    sizes = [Files().size(cell, tmp_path) for cell in ("a", "none", {"bytes": b"12"}, [1, 2, 3], 7)]
    assert sizes == [5, 0, 2, 3, 0]


def test_paths_in_python_are_read_and_values_are_taken_as_they_are(tmp_path):
    assert Files().from_python(tmp_path, Doubled()) == ("read", str(tmp_path), "", 3.0)
    assert Files().from_python([1], Doubled()) == [1]
    assert Words().from_python("a", Doubled()) == "a"


def test_digests_are_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    expected = hashlib.blake2b(b"abc", digest_size=16).digest()
    assert content_digest(b"abc") == file_digest(tmp_path / "a") == expected
    assert Files().inspect("a", tmp_path, {}).digest == Files().inspect({"bytes": b"abc"}, tmp_path, {}).digest
    assert Files().inspect("a", tmp_path, {}).digest == expected
    assert Words().inspect([1], tmp_path, {}).digest == content_digest(b"[1]")


def test_noise_is_scaled_by_the_numbers_own_deviation():
    raw = [1.0, 3.0]  # prepared 2 and 6, deviation 2
    noise = np.random.default_rng(5).standard_normal(2, np.float32)
    for level in (0.25, 1.0):
        noisy = Words().corrupted(raw, Doubled(), level, np.random.default_rng(5), Degradation())
        assert_close(noisy, torch.tensor([2.0, 6.0]) + level * 2 * torch.from_numpy(noise))


def test_an_example_is_short_and_escaped(tmp_path):
    assert Words().example_html("<b>" + "x" * 200, tmp_path) == f"<small>&lt;b&gt;{'x' * 77}…</small>"
