"""Balances of gradients at the fused features against torchjd's own functions and against calculations by hand."""

import builtins
import math

import numpy as np
import pytest
import torch
from torch import tensor
from torch.testing import assert_close
from torchjd import aggregation as torchjd

from mmbert.core.errors import ConfigError
from mmbert.training.balance import aggregation as ours
from mmbert.training.balance import stateful_aggregation as stateful
from mmbert.training.balance.base import Balance, step_seed
from mmbert.training.balance.fixed import FixedBalance
from three_tasks_model import FromEncoder, gradients, module_of, part, samples, three_tasks

COVERS = ("stateful_aggregation",)
#: Balance by balance the class of torchjd that answers for the Jacobian itself.
THEIRS = [
    (ours.SumBalance, torchjd.Sum, {}),
    (ours.MeanBalance, torchjd.Mean, {}),
    (ours.UPGradBalance, torchjd.UPGrad, {}),
    (ours.DualProjBalance, torchjd.DualProj, {}),
    (ours.MGDABalance, torchjd.MGDA, {}),
    (ours.CAGradBalance, torchjd.CAGrad, {"c": 0.4}),
    (ours.IMTLGBalance, torchjd.IMTLG, {}),
    (ours.AlignedMTLBalance, torchjd.AlignedMTL, {}),
    (ours.FairGradBalance, torchjd.FairGrad, {"alpha": 1.0}),
    (stateful.PCGradBalance, torchjd.PCGrad, {}),
    (stateful.GradVacBalance, torchjd.GradVac, {}),
    (ours.ConFIGBalance, torchjd.ConFIG, {}),
    (stateful.NashMTLBalance, lambda: torchjd.NashMTL(3), {}),
]
#: Those whose answer for the Jacobian times a number is that number times the answer.
SCALES = [one for one in THEIRS if one[0] not in (ours.FairGradBalance, stateful.NashMTLBalance)]


def jacobian(seed, rows=3, columns=5):
    """Rows that conflict, of different lengths."""
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * tensor(
        [[1.0], [3.0], [0.3]]
    )


def row_weights(balance, matrix):
    return balance.row_weights(matrix @ matrix.T)


@pytest.mark.parametrize(("cls", "reference", "options"), THEIRS, ids=lambda one: getattr(one, "__name__", ""))
@pytest.mark.parametrize("seed", range(3))
def test_weights_are_torchjds_on_the_scaled_jacobian(cls, reference, options, seed):
    matrix, balance = jacobian(seed), cls(three_tasks())
    size = matrix.square().sum(1).mean().sqrt()
    torch.manual_seed(step_seed(0, 0))  # for methods that draw an order
    expected = reference(**options)(matrix / size) * size
    torch.manual_seed(5)
    assert_close(row_weights(balance, matrix) @ matrix, expected, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize(("cls", "reference", "options"), SCALES, ids=lambda one: getattr(one, "__name__", ""))
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3])
def test_the_size_of_gradients_changes_no_weight(cls, reference, options, scale):
    matrix = jacobian(1)
    small, usual = row_weights(cls(three_tasks()), matrix * scale), row_weights(cls(three_tasks()), matrix)
    assert_close(small, usual, rtol=1e-6, atol=1e-8)


def test_torchjd_alone_gives_the_plain_mean_for_small_gradients():
    """Why the Jacobian is scaled; if this fails, torchjd has mended it."""
    matrix = tensor([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]], dtype=torch.float64) * 1e-3
    assert_close(torchjd.UPGrad()(matrix), matrix.mean(0))
    balance = ours.UPGradBalance(dict(list(three_tasks().items())[:2]))
    assert_close(
        row_weights(balance, matrix) @ matrix * 1e3, tensor([0.2929, 1.9004, 1.9004]).double(), atol=1e-3, rtol=0
    )


def test_pcgrad_by_hand():
    # g1 = (1, 0), g2 = (-1, 1), g1·g2 = -1:  g1 + 1/2 g2 = (1/2, 1/2);  g2 + 1/1 g1 = (0, 1);  together (1/2, 3/2)
    matrix = tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    balance = stateful.PCGradBalance(dict(list(three_tasks().items())[:2]))
    assert_close(row_weights(balance, matrix) @ matrix, tensor([0.5, 1.5], dtype=torch.float64))
    # without a conflict the sum
    matrix = tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    assert_close(row_weights(balance, matrix), tensor([1.0, 1.0], dtype=torch.float64))


def test_mgda_by_hand():
    # the shortest point between g1 = (2, 0) and g2 = (-1, 1): a = (g2 - g1)·g2 / |g1 - g2|² = ((-3)(-1) + 1) / 10 = 0.4
    matrix = tensor([[2.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    balance = ours.MGDABalance(dict(list(three_tasks().items())[:2]))
    weights = row_weights(balance, matrix)
    assert_close(weights, tensor([0.4, 0.6], dtype=torch.float64), atol=1e-3, rtol=0)
    joint = (weights @ matrix).numpy()
    lengths = [np.linalg.norm(a * matrix[0].numpy() + (1 - a) * matrix[1].numpy()) for a in np.linspace(0, 1, 1001)]
    assert np.linalg.norm(joint) <= min(lengths) + 1e-3


def test_upgrad_harms_no_task():
    for seed in range(10):
        matrix = jacobian(seed) / tensor(
            [[1.0], [3.0], [0.3]]
        )  # torchjd's regulariser hides rows that are much shorter
        joint = row_weights(ours.UPGradBalance(three_tasks()), matrix) @ matrix
        assert bool((matrix @ joint >= -1e-3 * matrix.norm(dim=1) * joint.norm()).all())


@pytest.mark.parametrize("cls", [one for one, _, _ in THEIRS])
def test_a_task_without_a_gradient_is_left_out_and_is_no_row_of_zeros(cls):
    matrix = jacobian(2)
    matrix[1] = 0
    two = {name: task for name, task in three_tasks().items() if name != "value"}
    weights = row_weights(cls(three_tasks()), matrix)
    assert weights[1] == 0
    assert_close(weights[[0, 2]], row_weights(cls(two), matrix[[0, 2]]))
    matrix[0] = 0
    assert row_weights(cls(three_tasks()), matrix).tolist() == [0, 0, 1]
    assert row_weights(cls(three_tasks()), matrix * 0).tolist() == [0, 0, 0]
    assert row_weights(cls(three_tasks()), matrix * math.inf).tolist() == [1, 1, 1]  # loss scaling skips such a step


@pytest.mark.parametrize("labels", [{}, {"answers": [False] * 8}, {"values": [True] + [False] * 7}])
def test_the_sum_is_the_fixed_balance_to_the_last_digits(labels):
    def penalty(model):
        return 0.01 * sum(p.abs().sum() for p in model.parameters())

    whole = samples(**labels)
    expected = gradients(module_of(FixedBalance, penalty), [whole])
    found = gradients(module_of(ours.SumBalance, penalty), [whole])
    assert set(found) == set(expected)  # those of the penalty and of the fusion's own loss are in both
    for name, gradient in expected.items():
        assert_close(found[name], gradient, rtol=1e-5, atol=5e-7, msg=lambda text, name=name: f"{name}: {text}")


def test_the_mean_divides_what_is_shared_and_leaves_the_heads():
    whole = samples()
    model, mean = module_of(FixedBalance), module_of(ours.MeanBalance)
    for module in (model, mean):
        module.model.fusion.fuse = super(type(module.model.fusion), module.model.fusion).fuse  # no loss of its own
    expected, found = gradients(model, [whole]), gradients(mean, [whole])
    for name, gradient in expected.items():
        share = 1 if name.startswith("tasks") else 3
        assert_close(found[name], gradient / share, rtol=1e-5, atol=5e-7)


def test_accumulated_batches_of_the_sum_are_one_batch():
    whole = samples(answers=[True, False, False, True, True, True, False, False], values=[False] * 3 + [True] * 5)
    expected = gradients(module_of(ours.SumBalance), [whole])
    found = gradients(module_of(ours.SumBalance), [part(whole, 0, 3), part(whole, 3, 8)], 2)
    for name, gradient in expected.items():
        assert_close(found[name], gradient, rtol=1e-5, atol=1e-7)


def test_what_goes_on_is_the_aggregate_of_the_tasks_gradients_at_the_features():
    """Against autograd on each loss alone, at the features of a model that is not cut."""
    whole, module = samples(), module_of(ours.MGDABalance)
    module.model.fusion.fuse = super(type(module.model.fusion), module.model.fusion).fuse
    output = module(whole)
    shared = [output.fused.pooled, output.encoded["text"].pooled]
    losses = [
        module.balance.weights[name] * task.loss(output.outputs[name], whole.targets[name]).mean
        for name, task in module.tasks.items()
    ]
    rows, alone = [], []
    for name, loss in zip(module.tasks, losses, strict=True):
        vector = torch.autograd.grad(loss, shared[0], retain_graph=True)[0]
        direct = torch.zeros_like(shared[1])
        if isinstance(module.tasks[name], FromEncoder):  # its own way past the fusion
            direct = (
                torch.autograd.grad(
                    module.tasks[name].loss({"value": output.outputs[name]["value"]}, whole.targets[name]).mean,
                    output.outputs[name]["value"],
                    retain_graph=True,
                )[0]
                .unsqueeze(1)
                .expand_as(shared[1])
            )
        rows.append(torch.cat([vector.flatten(), direct.flatten()]))
        alone.append((vector, direct))
    matrix = torch.stack(rows).double()
    weights = module.balance.row_weights(matrix @ matrix.T).float()
    expected_vector = sum(w * v for w, (v, _) in zip(weights, alone, strict=True))
    expected_direct = sum(w * d for w, (_, d) in zip(weights, alone, strict=True))
    layer = module.model.encoders["text"].layer.weight
    expected = torch.autograd.grad(shared, layer, [expected_vector, expected_direct])[0]
    found = gradients(module, [whole])
    assert_close(found["encoders.text.layer.weight"], expected, rtol=1e-5, atol=1e-7)


def test_what_is_logged_says_who_weighs_what_and_who_conflicts():
    module = module_of(ours.UPGradBalance)
    gradients(module, [samples()])
    logged = module.means["train"].compute()
    names = {f"{task}/{what}" for task in module.tasks for what in ("weight", "gradient")} | {"conflict"}
    assert names <= set(logged) and 0 <= logged["conflict"] <= 1


def test_loss_scaling_changes_nothing(monkeypatch):
    usual = gradients(module_of(ours.MGDABalance), [samples()])
    module = module_of(ours.MGDABalance)
    monkeypatch.setattr(module, "_loss_scale", lambda: 4096.0)
    for name, gradient in gradients(module, [samples()]).items():
        assert_close(gradient, usual[name], rtol=1e-5, atol=1e-7)


def test_orders_are_of_the_step_and_leave_other_random_numbers_alone():
    matrix, one, other = (
        jacobian(0),
        stateful.PCGradBalance(three_tasks(), seed=3),
        stateful.PCGradBalance(three_tasks(), seed=3),
    )
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = [row_weights(one, matrix) for _ in range(4)]
    assert bool((torch.get_rng_state() == before).all())
    other.load_state_dict(one.state_dict())
    one.load_state_dict(stateful.PCGradBalance(three_tasks()).state_dict())
    assert_close(first, [row_weights(one, matrix) for _ in range(4)])
    assert int(other.steps) == 4


@pytest.mark.parametrize(
    ("cls", "buffer"), [(stateful.GradVacBalance, "cosines"), (stateful.NashMTLBalance, "solution")]
)
def test_state_goes_through_checkpoints(cls, buffer):
    one, other, fresh = cls(three_tasks()), cls(three_tasks()), cls(three_tasks())
    for seed in range(3):
        row_weights(one, jacobian(seed))
    other.load_state_dict(one.state_dict())
    assert_close(row_weights(other, jacobian(7)), row_weights(one, jacobian(7)))
    assert not torch.equal(getattr(one, buffer), getattr(fresh, buffer))


def test_without_the_library_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **options):
        if name == "torchjd":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"UPGradBalance is computed by the library torchjd.*mmbert\[multitask\]"):
        ours.UPGradBalance(three_tasks())


def test_a_validations_total_is_the_weighted_sum():
    balance: Balance = ours.CAGradBalance(three_tasks())
    losses = {"answer": tensor(2.0), "value": tensor(4.0), "other": tensor(1.0)}
    assert balance(losses, dict.fromkeys(losses, 1.0))[0] == 5.0  # 2 + 0.5 · 4 + 1


def test_nothing_shared_to_learn_leaves_the_heads_alone():
    module = module_of(ours.UPGradBalance)
    for parameter in (*module.model.encoders.parameters(), *module.model.fusion.parameters()):
        parameter.requires_grad_(False)
    found = gradients(module, [samples()])
    assert found and all(name.startswith("tasks") for name in found)


@pytest.mark.parametrize(("balance", "whole"), [(ours.UPGradBalance, False), (FixedBalance, True)])
def test_what_lies_between_encoders_and_heads_is_compiled_by_itself(balance, whole):
    """A compiled model has no tensor of its own between fusion and heads."""
    module = module_of(balance)
    module.compile_model()
    parts = [*module.model.encoders.values(), module.model.fusion]
    assert (module.model._compiled_call_impl is not None) == whole
    assert all((part._compiled_call_impl is None) == whole for part in parts)
