"""Decisions against NumPy, written from the papers' formulas, with views missing."""

import math

import numpy as np
import pytest
import torch
from scipy.special import digamma, expit, gammaln, log_softmax, logsumexp, softmax
from scipy.stats import dirichlet
from torch import nn

from fusion_harness import DIMS
from mmbert.core.errors import ConfigError
from mmbert.core.types import UNLABELLED, OutputSpec
from mmbert.fusion.decision_level import DecisionOutput, Truth
from mmbert.fusion.late_mean import LateMeanFusion
from mmbert.fusion.late_product import LateProductFusion
from mmbert.fusion.late_weighted import LateWeightedFusion
from mmbert.fusion.qmf import QMFFusion
from mmbert.fusion.stacking import StackingFusion
from mmbert.fusion.tmc import TMCFusion, divergence

COVERS = ("decision_level", "late_mean", "late_product", "late_weighted", "qmf", "stacking", "tmc")
PRESENT = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]], dtype=bool)
ROWS = range(len(PRESENT))
CLASSES, PROPERTIES = OutputSpec("classification", 4, column="label"), OutputSpec("multilabel", 4, column="label")
NUMBERS = OutputSpec("regression", 1, centre=50.0, scale=20.0, column="label")
TARGET = torch.tensor([0, 3, UNLABELLED, 1, 2, 2])


def outputs_of(spec, seed=0):
    generator = torch.Generator().manual_seed(seed)
    values = 3 * torch.randn(len(PRESENT), 3, spec.size, generator=generator, dtype=torch.float64)
    return values * 10 + 50 if spec.kind == "regression" else values


def joined(fusion, spec, outputs=None, spoil=False):
    torch.manual_seed(2)
    decision = fusion.decision(spec).double()
    with torch.no_grad():
        for parameter in decision.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    given = outputs_of(spec) if outputs is None else outputs
    present = torch.from_numpy(PRESENT)
    out = decision(given.masked_fill(~present.unsqueeze(-1), math.nan) if spoil else given, present)
    return decision, given.numpy(), out.detach().numpy()


def truth_of(target=TARGET, epoch=0, rows=None, loss=None):
    labelled = target != UNLABELLED if target.ndim == 1 and not target.is_floating_point() else ~target.isnan().any(-1)
    return Truth(target, labelled, loss or mean_loss, epoch, torch.arange(len(target)) if rows is None else rows)


def mean_loss(output, target):
    total = nn.functional.cross_entropy(output, target, ignore_index=UNLABELLED, reduction="sum")
    return total / (target != UNLABELLED).sum().clamp(min=1)


def assert_close(got, expected):
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("average", ["probabilities", "logits"])
@pytest.mark.parametrize("kind", [LateMeanFusion, LateWeightedFusion])
def test_means_are_over_the_present_views_with_weights_that_sum_to_one(kind, average):
    fusion = kind(DIMS, 8, average=average)
    for spec in (CLASSES, PROPERTIES, NUMBERS):
        decision, z, got = joined(fusion, spec)
        scores = decision.scores.detach().numpy() if kind is LateWeightedFusion else np.zeros(3)
        shares = decision.shares(outputs_of(spec), torch.from_numpy(PRESENT)) if kind is LateWeightedFusion else None
        for b in ROWS:
            here = PRESENT[b]
            w = softmax(scores[here])
            if shares is not None:
                assert_close(shares[b].detach().numpy()[here], w)
                assert (shares[b][torch.from_numpy(~here)] == 0).all()
            if spec.kind == "regression" or average == "logits":
                expected = w @ z[b, here]
            elif spec.kind == "classification":
                expected = np.log(w @ softmax(z[b, here], -1))
            else:
                p = w @ expit(z[b, here])
                expected = np.log(p) - np.log1p(-p)
            assert_close(got[b], expected)
    with pytest.raises(ConfigError, match=r"fusion.average=logit is unknown. Did you mean 'logits'"):
        kind(DIMS, 8, average="logit")


def test_a_product_of_experts_multiplies_probabilities():
    for spec in (CLASSES, PROPERTIES, NUMBERS):
        _, z, got = joined(LateProductFusion(DIMS, 8), spec, spoil=True)
        for b in ROWS:
            said = z[b, PRESENT[b]]
            if spec.kind == "regression":
                assert_close(got[b], said.mean(0))
            elif spec.kind == "classification":
                p = softmax(said, -1).prod(0)
                assert_close(softmax(got[b]), p / p.sum())
            else:
                yes, no = expit(said).prod(0), expit(-said).prod(0)
                assert_close(expit(got[b]), yes / (yes + no))


@pytest.mark.parametrize("hidden", [0, 6])
def test_stacking_reads_probabilities_and_which_views_there_are(hidden):
    from scipy.special import erf

    for spec in (CLASSES, PROPERTIES, NUMBERS):
        decision, z, got = joined(StackingFusion(DIMS, 8, hidden_dim=hidden), spec, spoil=True)
        w = {name: tensor.numpy() for name, tensor in decision.state_dict().items()}
        for b in ROWS:
            said = {"classification": softmax(z[b], -1), "multilabel": expit(z[b]), "regression": (z[b] - 50) / 20}[
                spec.kind
            ]
            read = np.concatenate([(said * PRESENT[b][:, None]).ravel(), PRESENT[b]])
            if hidden:
                h = w["network.0.weight"] @ read + w["network.0.bias"]
                read, last = h * (1 + erf(h / math.sqrt(2))) / 2, "network.2"
            else:
                last = "network"
            answer = w[f"{last}.weight"] @ read + w[f"{last}.bias"]
            assert_close(got[b], answer * 20 + 50 if spec.kind == "regression" else answer)


def test_views_own_losses_are_means_over_labelled_samples():
    decision, z, _ = joined(LateMeanFusion(DIMS, 8, view_weight=0.3), CLASSES)
    judged = DecisionOutput(torch.from_numpy(z), torch.from_numpy(PRESENT), torch.zeros(len(PRESENT), 4))
    losses = decision.losses(judged, truth_of())
    for v, m in enumerate(DIMS):
        each = [-log_softmax(z[b, v])[y] for b, y in enumerate(TARGET.tolist()) if y >= 0 and PRESENT[b, v]]
        assert_close(losses[f"view/{m}"].item(), 0.3 * sum(each) / 5)
    assert joined(LateMeanFusion(DIMS, 8, view_weight=0), CLASSES)[0].losses(judged, truth_of()) == {}


# QMF ----------------------------------------------------------------------------------------------------------------


def test_qmf_weighs_logits_by_their_energy():
    fusion = QMFFusion(DIMS, 8, temperature=7.0)
    for spec in (CLASSES, PROPERTIES):
        decision, z, got = joined(fusion, spec, spoil=True)
        energy = logsumexp(z, -1) if spec.kind == "classification" else np.log1p(np.exp(z)).sum(-1)
        w = energy / 7 * PRESENT
        assert_close(got, (w[..., None] * z).sum(1))
        assert_close(decision.shares(torch.from_numpy(z), torch.from_numpy(PRESENT)).numpy(), w)
    with pytest.raises(
        ConfigError, match="fusion=qmf cannot join the outputs of the regression task on column 'label'"
    ):
        fusion.decision(NUMBERS)


def test_no_gradient_flows_through_the_weights_of_qmf():
    decision = QMFFusion(DIMS, 8).decision(CLASSES)
    z = outputs_of(CLASSES).requires_grad_()
    here = torch.ones(len(PRESENT), 3, dtype=torch.bool)
    decision(z, here)[:, 0].sum().backward()
    weights = torch.logsumexp(z.detach(), -1) / 10
    torch.testing.assert_close(z.grad[..., 0], weights)
    assert (z.grad[..., 1:] == 0).all()


def test_qmf_teaches_confidence_by_what_samples_have_lost_so_far():
    decision = QMFFusion(DIMS, 8, temperature=2.0, rank_weight=2.0, view_weight=0.0).decision(CLASSES)
    lost, seen = np.zeros((20, 3)), np.zeros((20, 3), dtype=bool)
    rows = torch.tensor([3, 17, 5, 4, 11, 8])
    for epoch in range(3):
        z = outputs_of(CLASSES, seed=epoch)
        judged = DecisionOutput(z, torch.from_numpy(PRESENT), z[:, 0])
        got = decision.losses(judged, truth_of(epoch=epoch, rows=rows))["ranking"].item()
        expected = 0.0
        for v in range(3):
            mine = [b for b in ROWS if PRESENT[b, v] and TARGET[b] >= 0]
            for b in mine:
                lost[rows[b], v] -= log_softmax(z[b, v].numpy())[TARGET[b]]
                seen[rows[b], v] = True
            known = lost[seen[:, v], v]
            k = (lost[rows[mine].numpy(), v] - known.min()) / (known.max() - known.min())
            w = logsumexp(z[mine, v].numpy(), -1) / 2
            # the authors' code: MarginRankingLoss of w and the neighbour's w, moved by the margin, on turned targets
            t, margin = np.sign(k - np.roll(k, -1)), np.abs(k - np.roll(k, -1))
            moved = np.roll(w, -1) + margin / np.where(t == 0, 1, t)
            ranked = nn.MarginRankingLoss(reduction="sum")(*(torch.from_numpy(x) for x in (w, moved, -t)))
            expected += 2.0 * ranked.item() / 5
        assert got == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert got > 0
    again = QMFFusion(DIMS, 8, temperature=2.0, rank_weight=2.0, view_weight=0.0).decision(CLASSES)
    again.load_training_state(decision.training_state())
    torch.testing.assert_close(again.history, decision.history, equal_nan=True)
    assert not list(decision.state_dict())  # a saved model has nothing of it


# TMC ----------------------------------------------------------------------------------------------------------------


def dempster(alphas):
    """The reduced rule, view by view, as the paper writes it."""
    alpha, classes = alphas[0], len(alphas[0])
    for other in alphas[1:]:
        (b1, u1), (b2, u2) = (((a - 1) / a.sum(), classes / a.sum()) for a in (alpha, other))
        conflict = np.outer(b1, b2).sum() - (b1 * b2).sum()
        b = (b1 * b2 + b1 * u2 + b2 * u1) / (1 - conflict)
        u = u1 * u2 / (1 - conflict)
        alpha = b * classes / u + 1
    return alpha


def evidential(alpha, y, strength):
    """The paper's loss of one opinion."""
    total = alpha.sum()
    kept = y + (1 - y) * alpha
    s, k = kept.sum(), len(kept)
    kl = gammaln(s) - gammaln(k) - gammaln(kept).sum() + ((kept - 1) * (digamma(kept) - digamma(s))).sum()
    return (y * (digamma(total) - digamma(alpha))).sum() + strength * kl


def test_tmc_joins_opinions_by_dempsters_rule():
    decision, z, got = joined(TMCFusion(DIMS, 8), CLASSES, spoil=True)
    shares = decision.shares(torch.from_numpy(z), torch.from_numpy(PRESENT)).numpy()
    for b in ROWS:
        alphas = np.logaddexp(0, z[b]) + 1
        assert_close(np.exp(got[b]), dempster(alphas[PRESENT[b]]))
        assert_close(shares[b], (1 - 4 / alphas.sum(1)) * PRESENT[b])
    _, z, got = joined(TMCFusion(DIMS, 8), PROPERTIES, spoil=True)
    for b in ROWS:
        for c in range(4):
            pairs = np.stack([np.logaddexp(0, z[b, :, c]), np.logaddexp(0, -z[b, :, c])], -1) + 1
            yes, no = dempster(pairs[PRESENT[b]])
            assert_close(expit(got[b, c]), yes / (yes + no))


@pytest.mark.parametrize(("epoch", "strength"), [(0, 0.25), (2, 0.75), (9, 1.0)])
def test_tmc_is_trained_by_the_evidential_loss_of_every_opinion(epoch, strength):
    decision, z, _ = joined(TMCFusion(DIMS, 8, anneal_epochs=4), CLASSES)
    judged = DecisionOutput(torch.from_numpy(z), torch.from_numpy(PRESENT), torch.zeros(()))
    losses = decision.losses(judged, truth_of(epoch=epoch))
    alphas, labelled = np.logaddexp(0, z) + 1, [b for b in ROWS if TARGET[b] >= 0]
    right = np.eye(4)[TARGET.clamp(min=0).numpy()]
    whole = sum(evidential(dempster(alphas[b][PRESENT[b]]), right[b], strength) for b in labelled) / 5
    assert_close(losses["evidence"].item(), whole)
    for v, m in enumerate(DIMS):
        some = [evidential(alphas[b, v], right[b], strength) for b in labelled if PRESENT[b, v]]
        assert_close(losses[f"view/{m}"].item(), sum(some) / 5)
    assert decision.replaces_loss


def test_tmc_judges_each_property_as_yes_or_no():
    decision, z, _ = joined(TMCFusion(DIMS, 8, anneal_epochs=2), PROPERTIES)
    target = torch.randint(0, 2, (6, 4), generator=torch.Generator().manual_seed(5)).double()
    target[4, 1] = math.nan
    judged = DecisionOutput(torch.from_numpy(z), torch.from_numpy(PRESENT), torch.zeros(()))
    losses = decision.losses(judged, truth_of(target, epoch=0))
    pairs = np.stack([np.logaddexp(0, z), np.logaddexp(0, -z)], -1) + 1  # (B, V, C, 2)
    rows = [0, 1, 2, 3, 5]
    right = np.stack([target, 1 - target], -1)
    whole = [evidential(dempster(pairs[b, PRESENT[b], c]), right[b, c], 0.5) for b in rows for c in range(4)]
    assert_close(losses["evidence"].item(), np.mean(whole))


def test_the_divergence_is_that_of_dirichlet_distributions():
    alpha = np.array([1.5, 4.0, 2.5])
    # KL[p || uniform] = -entropy(p) - log Γ(3), as the density of the uniform one is Γ(3) everywhere
    assert_close(divergence(torch.from_numpy(alpha)).item(), -dirichlet.entropy(alpha) - gammaln(3))


def test_tmc_refuses_what_its_loss_does_not_know():
    fusion = TMCFusion(DIMS, 8)
    with pytest.raises(ConfigError, match="fusion=tmc cannot join the outputs of the regression task"):
        fusion.decision(NUMBERS)
    with pytest.raises(ConfigError, match=r"neither class_weights nor label_smoothing.*column 'mood'"):
        fusion.decision(OutputSpec("classification", 3, plain_loss=False, column="mood"))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (TMCFusion, {"anneal_epochs": 0}, "fusion.anneal_epochs=0"),
        (QMFFusion, {"temperature": 0.0}, "fusion.temperature=0.0"),
        (QMFFusion, {"rank_weight": -1.0}, "fusion.rank_weight=-1.0"),
        (StackingFusion, {"hidden_dim": -1}, "fusion.hidden_dim=-1"),
    ],
)
def test_options_outside_their_range_are_told(kind, options, message):
    with pytest.raises(ConfigError, match=message):
        kind(DIMS, 8, **options)


def test_a_negative_weight_of_the_views_is_told():
    with pytest.raises(ConfigError, match=r"fusion.view_weight=-0.5"):
        LateMeanFusion(DIMS, 8, view_weight=-0.5).decision(CLASSES)
