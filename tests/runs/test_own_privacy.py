"""The privacy of a run, read from its config."""

import re

import pytest

from mmbert.core.errors import ConfigError, DataError
from mmbert.runs.folder import RunFolder
from mmbert.runs.own_privacy import read_privacy


def test_a_runs_own_settings(tmp_path):
    run = RunFolder(tmp_path)
    assert not read_privacy(run).hides
    run.config.write_text("seed: 0\n")
    assert not read_privacy(run).hides
    run.config.write_text("privacy: {samples: false, mask: [email, {x: 'a{2}'}]}\n")
    privacy = read_privacy(run)
    assert not privacy.samples and list(privacy.patterns) == ["x", "email"]


def test_a_damaged_setting_is_named(tmp_path):
    run = RunFolder(tmp_path)
    run.config.write_text("privacy: {mask: [emial]}\n")
    with pytest.raises(ConfigError, match=re.escape(f"{run.config}: privacy.mask: there is no pattern 'emial'")):
        read_privacy(run)
    run.config.write_text("privacy: 3\n")
    with pytest.raises(DataError, match="damaged"):
        read_privacy(run)
