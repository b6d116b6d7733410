"""Files of features: what a header claims is checked against the file; lengths from headers alone."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.lib import format as npy_format
from safetensors.torch import save_file

from mmbert.core.errors import DataError
from mmbert.data.modalities import feature_files
from mmbert.data.modalities.feature_files import (
    MOST_NUMBERS,
    array_header,
    check_numbers,
    read_arrays,
    sequence_lengths,
)
from mmbert.runs.peak_memory import PeakMemory


def npy(shape, content=b"", kind="<f4"):
    """A .npy file whose header claims a shape, and what follows it."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def zipped(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(f"{name}.npy", member)
    return content.getvalue()


VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_the_headers_made_here_are_numpys_own(tmp_path):
    (tmp_path / "a.npy").write_bytes(npy((3, 2), VALUES.tobytes()))
    (tmp_path / "a.npz").write_bytes(zipped(x=npy((3, 2), VALUES.tobytes())))
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npy")[""], VALUES)
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npz")["x"], VALUES)


CLAIMS = {
    "npy": ("a.npy", npy((100_000, 1_000_000), VALUES.tobytes()), "claims an array of .* 400,000,000,000 bytes"),
    "npz": ("a.npz", zipped(x=npy((100_000, 1_000_000), VALUES.tobytes())), "claims an array of"),
    "negative": ("a.npy", npy((-1, 4), VALUES.tobytes()), "claims an array of"),
    "one row more": ("a.npy", npy((64, 2), VALUES.tobytes()), "claims an array of"),
    "many of nothing": ("a.npy", npy((10**12,), b"", "|V0"), "1,000,000,000,000 numbers, more than"),
    "a bomb": ("a.npz", zipped(x=npy((MOST_NUMBERS + 1,), bytes(MOST_NUMBERS + 1), "|i1")), "numbers, more than"),
    "objects": ("a.npy", npy((1,), b"abc", "|O"), "holds Python objects"),
    "no header": ("a.npy", b"\x93NUMPY\x01\x00", "no file of features that can be read"),
    "version 9": ("a.npy", b"\x93NUMPY\x09\x00" + bytes(100), "no file of features that can be read"),
    "half": ("a.npy", npy((3, 2), VALUES.tobytes())[:40], "no file of features that can be read"),
    "text": ("a.npz", b"text", "no file of features that can be read"),
}


@pytest.mark.parametrize("what", CLAIMS)
def test_what_a_header_claims_is_checked_before_memory_is_taken(what, tmp_path):
    name, content, message = CLAIMS[what]
    (tmp_path / name).write_bytes(content)
    with PeakMemory() as memory:
        before = memory.peak_mib()
        with pytest.raises(DataError, match=f"{name}: .*{message}.*Replace the file"):
            read_arrays(tmp_path / name)
    assert memory.peak_mib() - before < 50


def test_a_safetensors_header_that_claims_too_much(tmp_path):
    header = json.dumps({"x": {"dtype": "F32", "shape": [10**9, 100], "data_offsets": [0, 4 * 10**11]}}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + VALUES.tobytes())
    with pytest.raises(DataError, match=r"a.safetensors: this is no file of features that can be read"):
        read_arrays(tmp_path / "a.safetensors")


def test_all_arrays_of_a_file_together_are_bounded(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", x=np.zeros(6), y=np.zeros(5))
    save_file({"x": torch.zeros(6), "y": torch.zeros(5)}, tmp_path / "a.safetensors")
    monkeypatch.setattr(feature_files, "MOST_NUMBERS", 10)
    for name in ("a.npz", "a.safetensors"):
        with pytest.raises(DataError, match="its arrays have 11 numbers, more than 10: divide them"):
            read_arrays(tmp_path / name)
    check_numbers((5, 2))


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"])
def test_types_are_kept_as_they_are_in_the_file(kind, tmp_path):
    values = np.array([[0, 1], [1, 0]]).astype(kind)
    np.save(tmp_path / "a.npy", values)
    save_file({"x": torch.from_numpy(values)}, tmp_path / "a.safetensors")
    assert read_arrays(tmp_path / "a.npy")[""].dtype == read_arrays(tmp_path / "a.safetensors")["x"].dtype == kind


@settings(max_examples=60)
@given(
    array=arrays(
        st.sampled_from(["<f4", ">f4", "<f8", "<f2", "<i8", ">i2", "|u1", "|b1", "<M8[s]", "<c8"]),
        array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
    ),
    fortran=st.booleans(),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_arrays_are_those_that_numpy_reads(array, fortran, version):
    content = io.BytesIO()
    npy_format.write_array(content, np.asarray(array, order="F" if fortran else "C"), version)
    expected = np.load(io.BytesIO(content.getvalue()))
    read = read_arrays("x.npy", content.getvalue())[""]
    assert (
        read.dtype == expected.dtype and read.flags.f_contiguous == expected.flags.f_contiguous and read.flags.writeable
    )
    np.testing.assert_array_equal(read, expected)


def test_an_array_that_ends_early_is_told(tmp_path):
    (tmp_path / "a.npy").write_bytes(npy((3, 2), VALUES.tobytes()[:-5]))
    with pytest.raises(DataError, match=r"a.npy: .*ends after 19 of the 24 bytes"):
        read_arrays(tmp_path / "a.npy")


def test_types_that_numpy_lacks_become_float32(tmp_path):
    for kind in (torch.bfloat16, torch.float8_e4m3fn):
        save_file({"x": torch.tensor([0.5, 2.0]).to(kind)}, tmp_path / "a.safetensors")
        array = read_arrays(tmp_path / "a.safetensors")["x"]
        assert array.dtype == np.float32 and array.tolist() == [0.5, 2.0]


def test_lengths_are_known_from_the_headers(tmp_path):
    (tmp_path / "a.npy").write_bytes(npy((3, 2), VALUES.tobytes()))
    np.savez(tmp_path / "a.npz", x=VALUES, y=VALUES[0])
    save_file({"x": torch.zeros(7, 2)}, tmp_path / "a.safetensors")
    assert sequence_lengths(tmp_path / "a.npy") == {"": 3}
    assert sequence_lengths(tmp_path / "a.npz") == {"x": 3, "y": 1}
    assert sequence_lengths(tmp_path / "a.safetensors") == {"x": 7}
    assert array_header(io.BytesIO(npy((3, 2))), 1000).shape == (3, 2)
    with pytest.raises(DataError, match="there is no such file"):
        sequence_lengths(tmp_path / "b.npy")


def test_bytes_of_a_file_give_what_the_file_gives(tmp_path):
    made = {"a": np.arange(6, dtype=np.float32).reshape(3, 2), "b": np.ones(4)}
    np.save(tmp_path / "x.npy", made["a"])
    np.savez(tmp_path / "x.npz", **made)
    save_file({name: torch.from_numpy(array) for name, array in made.items()}, tmp_path / "x.safetensors")
    for ending in ("npy", "npz", "safetensors"):
        path = tmp_path / f"x.{ending}"
        content = path.read_bytes()
        loose, held = read_arrays(path), read_arrays(f"000.{ending}", content)
        assert loose.keys() == held.keys() and all((loose[name] == held[name]).all() for name in loose)
        assert sequence_lengths(f"000.{ending}", content) == sequence_lengths(path)
        with pytest.raises(DataError, match=f"000.{ending}"):
            read_arrays(f"000.{ending}", content[: len(content) // 2])
