"""A file that a library makes private ends as the user's umask has it."""

import os
import stat

import pytest

from mmbert.core.permissions import usual_permissions


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_file_made_private_has_the_usual_permissions_afterwards(tmp_path, umask, mode):
    path = tmp_path / "model.safetensors"
    before = os.umask(umask)
    try:
        with usual_permissions(path):
            path.unlink()
            path.touch(mode=0o600)  # as safetensors writes: a new file, for its owner alone
            path.write_bytes(b"numbers")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode and path.read_bytes() == b"numbers"
