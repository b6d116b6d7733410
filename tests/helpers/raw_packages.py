"""Small look-alikes of the raw packages of real data sets: Debian packages, archives, pictures and sounds."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmbert.core.home import home
from mmbert.data.sets.sources import SOURCES

#: Of whoever runs the tests: this file is imported before the tests get a home of their own.
REAL_SOURCES = home() / SOURCES


def debian_package(path: Path, files: dict[str, bytes], ending: str = "xz") -> Path:
    """A Debian package: an ar archive of a version, of control data and of the files."""
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": tar_bytes({"./control": b"Package: x\n"}, "xz"),
        f"data.tar{ending and '.' + ending}": tar_bytes(
            {f"./{name}": content for name, content in files.items()}, ending
        ),
    }
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    path.write_bytes(b"".join(parts))
    return path


def tar_bytes(files: dict[str, bytes], kind: str = "gz") -> bytes:
    """A tar archive of files by name, compressed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def picture(seed: int, side: int = 16) -> bytes:
    """A PNG of noise."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def sound(seed: int, ending: str = "wav", seconds: float = 0.2) -> bytes:
    """A sound of noise at 8 kHz."""
    buffer = io.BytesIO()
    wave = np.random.default_rng(seed).normal(0, 0.1, int(8000 * seconds)).astype(np.float32)
    soundfile.write(buffer, wave, 8000, format=ending.upper())
    return buffer.getvalue()


def real_sources(*patterns: str) -> Path:
    """The folder in which the machine has the real files of a set; the test is skipped where it has not."""
    for pattern in patterns:
        if not list(REAL_SOURCES.glob(pattern)):
            pytest.skip(f"the real files are not there: {pattern} in {REAL_SOURCES}")
    return REAL_SOURCES
