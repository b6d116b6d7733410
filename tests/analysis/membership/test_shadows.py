"""Shadow models of tiny runs: as the run trains, over rows of their own; what memorises is found out."""

import copy

import numpy as np
import pytest
import torch

from mmbert.analysis.membership import shadows
from mmbert.analysis.membership.audit import AttackOptions, attack, attacked_tasks, observe
from mmbert.analysis.membership.files import exposure_table, score_table, task_summary, threshold_at
from mmbert.analysis.membership.halves import random_halves
from mmbert.analysis.membership.shadows import ShadowTrainer, alone, one_thread
from mmbert.core.errors import ConfigError, DataError
from mmbert.tasks.retrieval import Retrieval

COVERS = ("audit", "files", "shadows")
OPTIONS = AttackOptions(shadows=12, bootstraps=50)


def composed(*words):
    """The config of a run on synthetic vectors in which noise drowns the label: whatever is learnt is memorised."""
    from hydra import compose, initialize_config_module

    inputs = ["text=none", "image=none", "audio=none", *(f"+features@encoders.{name}=sequence" for name in "ab")]
    inputs += ["encoders.a.frozen=true", "encoders.b.frozen=true"]
    base = ["data=synthetic", *inputs, "fusion=concat", "logger=none", "trainer=cpu", "plots=false"]
    sizes = ["data.sizes.train=60", "data.sizes.val=20", "data.sizes.test=20", "data.batch_size=30", "data.dim=128"]
    with initialize_config_module("mmbert.conf", version_base="1.3"):
        return compose("train", overrides=[*base, *sizes, "data.noise=20", "trainer.max_epochs=3", *words])


@pytest.fixture(scope="module")
def memorised():
    """What is seen of models that learn their samples by heart."""
    words = ["trainer.max_epochs=12", "trainer.check_val_every_n_epoch=12", "callbacks=none", "optimizer.lr=0.02"]
    words += ["data.batch_size=6", "trainer.enable_checkpointing=false"]
    return observe(ShadowTrainer(composed(*words)), ["label"], OPTIONS)["label"]


def test_what_is_learnt_by_heart_is_found_out(memorised):
    found = attack(memorised, OPTIONS)
    lira = found.measures["lira"]
    assert memorised.right[memorised.member].mean() > 0.95 and memorised.right[~memorised.member].mean() < 0.7
    assert lira["auc"]["value"] > 0.9 and lira["auc"]["low"] > 0.8 and lira["tpr_at_fpr_0.01"]["value"] > 0.3
    assert "360 non-members" in lira["tpr_at_fpr_0.001"]["why"]
    summary = task_summary(found)
    assert summary["member_pairs"] == summary["non_member_pairs"] == 360
    curve = summary["curves"]["lira"]
    assert curve["fpr"] == sorted(curve["fpr"]) and curve["tpr"] == sorted(curve["tpr"]) and curve["tpr"][-1] == 1


def test_halves_that_no_model_was_trained_on_are_at_chance(memorised):
    other = copy.copy(memorised)
    object.__setattr__(other, "member", random_halves(12, 60, 99))
    auc = attack(other, OPTIONS).measures["lira"]["auc"]
    assert auc["low"] < 0.5 < auc["high"]


def test_members_that_are_swapped_show(memorised):
    swapped = copy.copy(memorised)
    scores = attack(memorised, OPTIONS).scores
    object.__setattr__(swapped, "member", ~memorised.member)
    found = attack(swapped, OPTIONS)
    # who trains on the others' samples and calls them members is found out all the same, by signs that are turned
    assert found.scores == pytest.approx(-scores)
    assert found.measures["threshold"]["auc"]["value"] < 0.2


def test_tables_hold_every_score_and_the_exposed_first(memorised):
    found = attack(memorised, OPTIONS)
    scores, rows = score_table({"label": found}), exposure_table({"label": found})
    assert len(scores) == 12 * 60 and len(rows) == 60
    one = scores[(scores.model == 3) & (scores.row == memorised.rows[7])].iloc[0]
    assert one.member == memorised.member[3, 7] and one.score == pytest.approx(found.scores[3, 7], abs=1e-6)
    assert rows["label/found"].is_monotonic_decreasing
    place = list(memorised.rows).index(rows.iloc[0]["row"])
    inside = memorised.member[:, place]
    assert rows.iloc[0]["label/statistic_in"] == pytest.approx(memorised.statistics[inside, place].mean())
    others = found.scores[~memorised.member]
    assert (others >= threshold_at(found, 0.01)).sum() <= 3  # 1 % of 360


def test_a_model_s_rows_are_its_own_and_seeds_reproduce():
    trainer = ShadowTrainer(composed())
    chosen = random_halves(2, len(trainer.rows), 0)[0]
    models = [trainer.train(chosen, seed) for seed in (1, 1, 2)]
    first, again, other = (torch.cat([p.flatten() for p in model.parameters()]) for model in models)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert len(trainer.parts.data.rows["train"]) == 60  # the whole is as it was
    answers = list(trainer.answers(models[0], ["label"]))
    assert sum(len(both["label"][0]["logits"]) for both in answers) == 60


def test_on_all_rows_a_shadow_model_is_the_run_s_own(tmp_path):
    """The weights that the run saves, to the last bit: the same code, options, order and checkpoint."""
    from mmbert.model import MultimodalModel
    from mmbert.training.run import run

    cfg = composed("seed=5", "trainer.max_epochs=4")
    with one_thread():
        run(cfg, tmp_path)
        saved = MultimodalModel.from_pretrained(tmp_path / "model")
        trainer = ShadowTrainer(cfg)
        shadow = trainer.train(np.ones(len(trainer.rows), bool), 5)
    for (name, ours), (other, theirs) in zip(shadow.named_parameters(), saved.named_parameters(), strict=True):
        assert name == other and torch.allclose(ours, theirs, atol=1e-6), name


def test_encoders_that_learn_are_refused():
    with pytest.raises(ConfigError, match="trains its encoder b. .* encoders.b.frozen=true, or leave .* \\(b=none\\)"):
        ShadowTrainer(composed("encoders.b.frozen=false"))


def test_tasks_that_cannot_be_attacked_say_why():
    tasks = {"pairs": Retrieval(4, {"text": 4, "image": 4})}
    with pytest.raises(ConfigError, match="No task of the run can be attacked: pairs: a task of kind 'retrieval'"):
        attacked_tasks(tasks, [])
    with pytest.raises(ConfigError, match="task=pairs: a task of kind"):
        attacked_tasks(tasks, ["pairs"])
    with pytest.raises(ConfigError, match="no such task. Did you mean 'pairs'"):
        attacked_tasks(tasks, ["pair"])


def test_too_few_samples_are_refused():
    with pytest.raises(DataError, match="'label' has 16 labelled training samples; the attack needs 20"):
        observe(ShadowTrainer(composed("data.sizes.train=16")), ["label"], AttackOptions(6))


def test_the_run_s_config_is_left_alone():
    cfg = composed()
    changed = alone(cfg)
    assert changed.trainer.enable_progress_bar is False and cfg.trainer.enable_progress_bar is True
    assert changed.optimizer == cfg.optimizer and changed.privacy == cfg.privacy and changed.callbacks == cfg.callbacks


def test_private_models_have_their_own_budget_and_say_it_once(capsys):
    """Noise for the rows that a model is trained on, as ``mmbert-train`` has it for a run on these rows."""
    import math

    pytest.importorskip("opacus")
    trainer = ShadowTrainer(composed("privacy=dp", "privacy.epsilon=2", "trainer.max_epochs=1"))
    modules = []
    real = shadows.make_training

    def kept(*args):
        made = real(*args)
        modules.append((made.module, args[1].data))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shadows, "make_training", kept)
        for place, chosen in enumerate(random_halves(2, 60, 0)):
            trainer.train(chosen, place)
            module, data = modules[place]
            assert module.samples == chosen.sum() and data.poisson is not None and module.seed == place
            assert module.budget.sample_rate == pytest.approx(30 / chosen.sum())
            assert module.budget.delta == pytest.approx(0.1 / chosen.sum())
            assert module.budget.planned_steps == math.ceil(chosen.sum() / 30) and module.budget.noise_multiplier > 0.5
    assert capsys.readouterr().out.count("DP-SGD with") == 1
    assert trainer.parts.data.poisson is None


@pytest.mark.slow
def test_privacy_takes_from_the_attack_what_it_found(memorised):
    pytest.importorskip("opacus")
    options = AttackOptions(shadows=12, bootstraps=50)
    words = ["trainer.max_epochs=12", "trainer.check_val_every_n_epoch=12", "callbacks=none", "optimizer.lr=0.02"]
    words += ["data.batch_size=6", "trainer.enable_checkpointing=false", "privacy=dp", "privacy.epsilon=1"]
    observed = observe(ShadowTrainer(composed(*words)), ["label"], options)["label"]
    auc, open_auc = (attack(one, options).measures["lira"]["auc"] for one in (observed, memorised))
    assert auc["value"] < 0.65 and auc["low"] < 0.5 < auc["high"] < open_auc["low"]
