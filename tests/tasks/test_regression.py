"""Regression against numbers done by hand, SciPy and scikit-learn."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch import tensor
from torch.testing import assert_close

from mmbert.core.errors import ConfigError, DataError
from mmbert.core.types import Fused, State
from mmbert.tasks.metrics import mean_ranks
from mmbert.tasks.regression import Regression

NAN = math.nan


def make(**options):
    torch.manual_seed(0)
    return Regression(**{"in_dim": 4, "column": "value", "mean": 100.0, "std": 10.0, **options})


def of(pooled):
    """pooled (B, H) -> what a head reads."""
    return State(Fused(pooled), {})


def loss_of(task, output, target):
    return task.loss({"value": output}, {"label": target}).mean


def update(task, metrics, output, target):
    task.update(metrics, {"value": output}, {"label": target})


def measure(task, output, target, batches=1):
    metrics = task.make_metrics()
    for part, truth in zip(output.chunk(batches), target.chunk(batches), strict=True):
        update(task, metrics, part, truth)
    return {key: float(value) for key, value in metrics.compute().items()}


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mse", 2.125),  # standardised differences 0.5 and -2: (0.25 + 4) / 2
        ("l1", 1.25),  # (0.5 + 2) / 2
        ("huber", 0.8125),  # (0.5 * 0.25 + (2 - 0.5)) / 2
    ],
)
def test_loss_is_taken_of_standardised_values_over_labelled_samples(loss, expected):
    output, target = tensor([105.0, 80.0, 7.0]), tensor([100.0, 100.0, NAN])
    assert_close(loss_of(make(loss=loss), output, target), tensor(expected))


def test_outputs_are_in_the_tables_unit():
    task = make().eval()
    torch.nn.init.zeros_(task.head[1].weight)
    torch.nn.init.constant_(task.head[1].bias, 0.5)
    value = task(of(torch.randn(2, 4)))["value"]
    assert_close(value, tensor([105.0, 105.0], dtype=torch.float64))  # 100 + 0.5 * 10
    assert task.predict(of(None), {"value": tensor([1.5, -2.0])}) == [{"prediction": 1.5}, {"prediction": -2.0}]


def test_a_bfloat16_head_still_answers_exactly():
    task = make(mean=1003.0).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = task(of(torch.zeros(1, 4)))["value"]
    # bfloat16 knows no number between 1000 and 1008
    assert output.dtype == torch.float64 and abs(output.item() - 1003 - 10 * task.head[1].bias.item()) < 0.1


@pytest.mark.parametrize("loss", ["mse", "l1", "huber"])
def test_nobody_labelled_gives_exactly_zero_and_zero_gradients(loss):
    task = make(loss=loss)
    total = loss_of(task, task(of(torch.randn(2, 4)))["value"], tensor([NAN, NAN]))
    total.backward()
    assert total.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in task.parameters())


@pytest.mark.parametrize("junk", [NAN, math.inf])
def test_what_the_head_says_of_an_unlabelled_sample_reaches_no_gradient(junk):
    output = tensor([90.0, junk], requires_grad=True)
    loss_of(make(), output, tensor([100.0, NAN])).backward()
    assert_close(output.grad, tensor([-0.2, 0.0]))  # d/dx ((x - 100) / 10)² = 2 (90 - 100) / 100


def test_metrics_equal_scipy_and_scikit_learn_over_several_batches():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 12, 50).astype(np.float32) + 1000  # far from 0, with ties
    guess = (truth + rng.normal(0, 3, 50)).round().astype(np.float32)
    target = tensor(np.append(truth, [np.nan] * 4))
    got = measure(make(), tensor(np.append(guess, [0.0] * 4).astype(np.float32)), target.float(), batches=3)
    assert got == pytest.approx(
        {
            "mae": mean_absolute_error(truth, guess),
            "rmse": root_mean_squared_error(truth, guess),
            "pearson": pearsonr(truth, guess).statistic,
            "spearman": spearmanr(truth, guess).statistic,
            "r2": r2_score(truth.astype(np.float64), guess.astype(np.float64)),
        },
        rel=1e-5,
    )


#: Seconds since 1970: float32 knows no number between 1700000000 and 1700000128.
SECONDS = [1700000001.5, 1700000011.5, 1700000031.5]


def test_errors_of_seconds_in_times_of_day_are_measured_and_learnt():
    task = make(**Regression.fit_labels(SECONDS, "value"))
    targets = task.collate([task.encode({"value": str(cell)}, {}) for cell in SECONDS])
    assert task.decode(targets) == SECONDS
    output = {"value": targets["label"] + tensor([5.0, -5.0, 5.0])}
    metrics = task.make_metrics()
    task.update(metrics, output, targets)
    assert {key: float(value) for key, value in metrics.compute().items() if key in ("mae", "rmse")} == {
        "mae": 5.0,
        "rmse": 5.0,
    }
    spread = np.std(np.array(SECONDS))
    assert_close(task.loss(output, targets).mean, tensor(25 / spread**2, dtype=torch.float32))
    assert task.predict(of(None), output)[0]["prediction"] == 1700000006.5


def test_the_head_reaches_numbers_that_single_precision_does_not_know():
    task = make(mean=SECONDS[0], std=10.0).eval()
    torch.nn.init.zeros_(task.head[1].weight)
    torch.nn.init.constant_(task.head[1].bias, 0.5)
    for kind in (torch.float32, torch.bfloat16):
        task = task.to(kind)
        assert task(of(torch.ones(1, 4, dtype=kind)))["value"].item() == SECONDS[0] + 5


def test_a_model_saved_in_single_precision_loads_and_its_unit_is_exact_from_then_on():
    old = {**make(mean=0.1, std=3.0).state_dict(), "mean": tensor(0.1), "std": tensor(3.0)}
    task = make()
    task.load_state_dict(old)
    assert (task.mean.dtype, task.std.dtype, float(task.mean)) == (torch.float64, torch.float64, float(tensor(0.1)))
    assert list(task.state_dict()) == list(old)


def test_a_task_is_built_without_memory_and_filled_later():
    with torch.device("meta"):
        task = make()
    task.to_empty(device="cpu").load_state_dict(make(mean=7.0).state_dict())
    assert float(task.mean) == 7


def test_squares_beyond_single_precision_are_no_infinity():
    got = measure(make(), tensor([1e30, -1e30]).double(), torch.zeros(2).double())
    assert got["mae"] == got["rmse"] == pytest.approx(1e30)


def test_equal_values_share_their_mean_rank():
    assert mean_ranks(tensor([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]


@pytest.mark.filterwarnings("error")
def test_a_constant_has_no_correlation():
    varying, constant = tensor([1.0, 2.0, 3.0]), tensor([2.0, 2.0, 2.0])
    lazy = measure(make(), constant, varying)
    assert math.isnan(lazy["pearson"]) and math.isnan(lazy["spearman"]) and lazy["r2"] == 0
    assert all(math.isnan(measure(make(), varying, constant)[key]) for key in ("pearson", "spearman", "r2"))


@pytest.mark.parametrize("size", [0, 3])
@pytest.mark.filterwarnings("error")
def test_without_a_labelled_sample_every_metric_is_nan(size):
    got = measure(make(), torch.randn(size), torch.full((size,), NAN))
    assert set(got) == {"mae", "rmse", "pearson", "spearman", "r2"} and all(math.isnan(v) for v in got.values())


def test_each_metric_knows_its_direction():
    directions = {key: metric.higher_is_better for key, metric in make().make_metrics().items()}
    assert directions == {"mae": False, "rmse": False, "pearson": True, "spearman": True, "r2": True}
    assert directions[make().main_metric] == make().higher_is_better


def test_mean_and_spread_come_from_the_labelled_cells():
    assert Regression.fit_labels([2, "4", None, 6.0], "value") == pytest.approx({"mean": 4.0, "std": math.sqrt(8 / 3)})
    assert Regression.fit_labels([0.1] * 7, "value") == pytest.approx({"mean": 0.1, "std": 1.0})


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([None], "Column 'value' has no label in the train split"),
        ([1, "cheap"], "Column 'value': 'cheap' is no finite number.*task=classification"),
        ([1, "inf"], "Column 'value': 'inf' is no finite number"),
    ],
)
def test_columns_that_cannot_be_learnt(cells, message):
    with pytest.raises(DataError, match=message):
        Regression.fit_labels(cells, "value")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "l2"}, "loss='l2' on column 'value' is unknown. Did you mean 'l1'"),
        ({"std": 0.0}, "std above 0"),
        ({"mean": NAN}, "must be finite"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        make(**options)


def test_rebuilt_from_json_it_gives_the_same_outputs():
    task = make(hidden_dim=3, loss="huber", **Regression.fit_labels([3, 9, 4.5], "value") | {"std": 2.5}).eval()
    twin = Regression(**json.loads(json.dumps(task.init_args))).eval()
    twin.load_state_dict(task.state_dict())
    fused = of(torch.randn(3, 4))
    assert torch.equal(twin(fused)["value"], task(fused)["value"]) and twin.init_args == task.init_args


def test_the_unit_travels_with_the_weights():
    other = make(mean=0.0, std=1.0)
    other.load_state_dict(make().state_dict())
    assert (other.mean.item(), other.std.item()) == (100, 10)


@pytest.mark.parametrize(("cell", "expected"), [("-1.5e3", -1500.0), (7, 7.0), (" 2 ", 2.0), ("007", 7.0)])
def test_cells_become_numbers_and_come_back(cell, expected):
    task = make()
    targets = task.collate([task.encode({"value": cell}, {}), None])
    assert targets["label"].dtype == torch.float64 and task.labelled(targets).tolist() == [True, False]
    assert task.decode(targets) == [expected, None]
    assert task.encode({"value": None}, {}) is None


def test_the_largest_number_of_single_precision_is_one():
    task = make()
    assert torch.isfinite(task.collate([task.encode({"value": 3.4028234e38}, {})])["label"]).all()
    with pytest.raises(DataError, match="is no finite number"):
        task.encode({"value": "seven"}, {})
