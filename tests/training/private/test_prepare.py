"""What a private run says of ε."""

from __future__ import annotations

from mmbert.training.private.budget import Budget
from mmbert.training.private.prepare import private_facts, spent_line


def test_the_last_line_tells_what_was_spent_and_of_what() -> None:
    facts = Budget(8.0, 1e-5, 1.0, "rdp", 1.1, 0.01, 100, 1000, 10).facts(50)
    assert facts["target_epsilon"] == 8.0 and facts["epsilon"] < 8.0 and facts["steps"] == 50
    line = spent_line(facts)
    assert f"ε = {facts['epsilon']:.4g} spent of 8, at δ = 1e-05, in 50 of 100 steps (rdp)" in line


def test_other_runs_say_nothing() -> None:
    import pytorch_lightning as pl

    assert private_facts(pl.LightningModule()) == {}
