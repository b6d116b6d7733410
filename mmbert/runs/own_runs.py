"""Which runs this user began: their configs are signed with a key that only this user can read.

A run that one began oneself is resumed and evaluated as it was begun, with one's own classes and places. A config that
somebody else wrote, or changed, has no such signature; what it may do is then limited (docs/trust.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from mmbert.core.home import home

KEY_BYTES = 32


def signature(config: Path) -> str | None:
    """The signature of a file by this user's key, as hexadecimal digits; None where no key can be kept or read."""
    try:
        key = own_key(home() / f"own_runs-{user()}.key")
        return None if key is None else hmac.new(key, config.read_bytes(), hashlib.sha256).hexdigest()
    except OSError:
        return None


def is_signed(config: Path, given: object) -> bool:
    """Whether a file is as it was when this user signed it.

    Args:
        config: the file.
        given: the signature that was kept beside it.
    """
    expected = signature(config) if isinstance(given, str) else None
    return expected is not None and hmac.compare_digest(expected.encode(), str(given).encode())


def own_key(path: Path) -> bytes | None:
    """This user's key, made when it is first asked for; None if the file there is not this user's own.

    Raises:
        OSError: it can be neither written nor read.
    """
    if not path.is_file():
        make_key(path)
    with path.open("rb") as file:
        mine = os.fstat(file.fileno()).st_uid == user()
        key = file.read(KEY_BYTES + 1)
    return key if mine and len(key) == KEY_BYTES else None


def make_key(path: Path) -> None:
    """Leaves a new key, whole or not at all; of several processes that do so at once one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def user() -> int:
    """The number of this user; 0 on systems without."""
    return os.getuid() if hasattr(os, "getuid") else 0
