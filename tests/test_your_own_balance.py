"""A balance of losses and a balance of modalities of one's own: a class and a YAML each, beside the package."""

import hydra
import pytest
import torch

BALANCE = '''
"""The mean of the tasks' losses rather than their sum."""

import torch
from torch import nn


class MeanBalance(nn.Module):
    def __init__(self, tasks, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, losses, counts, share=1.0):
        return self.scale * torch.stack([loss.float() for loss in losses.values()]).mean(), {}
'''
METHOD = '''
"""Multiplies the loss, to see that it is called."""

from mmbert.training.modality_balance.base import ModalityBalance


class Multiplied(ModalityBalance):
    def __init__(self, factor=2.0, seed=0):
        super().__init__(seed)
        self.factor = factor

    def trained_loss(self, module, batch, output, total):
        return total * self.factor
'''
WORDS = ["data=synthetic", "modalities=synthetic", "balance=my_balance", "balance.scale=0.5"]
WORDS += ["balance_modalities=my_method", "balance_modalities.factor=4"]


@pytest.fixture
def standing_in(tmp_path, monkeypatch):
    """A user's folder, as a command started in it finds it."""
    (tmp_path / "my_balance.py").write_text(BALANCE)
    (tmp_path / "my_method.py").write_text(METHOD)
    for group, name, content in (
        ("balance", "my_balance", "# The mean.\n_target_: my_balance.MeanBalance\nscale: 1.0\n"),
        ("balance_modalities", "my_method", "# Multiplies.\n_target_: my_method.Multiplied\nfactor: 2.0\n"),
    ):
        (tmp_path / group).mkdir()
        (tmp_path / group / f"{name}.yaml").write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_both_are_chosen_by_name_and_their_options_are_checked(standing_in):
    from mmbert.cli.options.check import check_words
    from mmbert.cli.sweep.search_path import PACKAGE, add_working_folder
    from mmbert.core.errors import ConfigError
    from mmbert.training.instantiate import make

    add_working_folder()
    with hydra.initialize_config_module(PACKAGE, version_base="1.3"):
        check_words(WORDS, "train", sweep=False)
        with pytest.raises(ConfigError, match="scael.*scale"):
            check_words([*WORDS[:3], "balance.scael=0.5"], "train", sweep=False)
        cfg = hydra.compose("train", WORDS)
    balance, method = make(cfg.balance, tasks={}), make(cfg.balance_modalities, seed=0)
    total, logged = balance({"a": torch.tensor(1.0), "b": torch.tensor(3.0)}, {"a": 1.0, "b": 1.0})
    assert float(total) == 1.0 and logged == {}  # 0.5 * (1 + 3) / 2
    assert float(method.trained_loss(None, None, None, total)) == 4.0


@pytest.mark.slow
def test_a_run_trains_with_both(standing_in):
    import json
    import os
    import subprocess
    import sys

    command = [sys.executable, "-m", "mmbert.cli.train", *WORDS, "trainer.max_epochs=1", "logger=none", "plots=false"]
    done = subprocess.run(
        [*command, "hydra.run.dir=out"], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((standing_in / "out" / "metrics.json").read_text())["test/label/accuracy"] > 0.5
