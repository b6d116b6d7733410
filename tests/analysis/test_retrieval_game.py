"""Shares of a retrieval task: ranks counted by hand in NumPy, the metric of the task itself, pairs shared in halves."""

import numpy as np
import pytest
import torch

from mmbert.analysis.explanation import chosen_tasks, explain_tasks, metric_summary, output_summary
from mmbert.analysis.retrieval_game import RETRIEVAL_EXPLAINED
from mmbert.core.types import Batch, rows_of
from mmbert.encoders.features import FeatureEncoder
from mmbert.fusion.concat import ConcatFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.retrieval import Retrieval

CPU = torch.device("cpu")
DIMS = {"text": 4, "image": 3, "audio": 5}
SIZE = 12


def made(lacking=(), cells=None, names=tuple(DIMS)):
    """A model and a batch of 12 samples; ``lacking`` are (sample, modality)."""
    torch.manual_seed(3)
    dims = {name: DIMS[name] for name in names}
    encoders = {name: FeatureEncoder(dim) for name, dim in dims.items()}
    task = Retrieval(4, dims, embed_dim=6, input_columns={name: name for name in names})
    model = MultimodalModel(encoders, ConcatFusion(dims, 4), {"pairs": task}).eval()
    values = {name: [torch.randn(1, dim) for _ in range(SIZE)] for name, dim in dims.items()}
    rows = [{name: f"{name}{i}" for name in names} for i in range(SIZE)]
    for sample, name in lacking:
        values[name][sample], rows[sample][name] = None, None
    for sample, name, cell in cells or ():
        rows[sample][name] = cell
    inputs = {name: encoder.processor.collate(values[name]) for name, encoder in encoders.items()}
    targets = {"pairs": task.collate([task.encode(row, {}) for row in rows])}
    return model, Batch(inputs, targets, torch.arange(SIZE))


def reciprocal_ranks(model, batch):
    """(N, M, M) by hand: 1 / rank of a sample's own item, ties against the model; 0 where one is missing."""
    with torch.inference_mode():
        found = model(batch.inputs).outputs["pairs"]
    vectors, present = found["vectors"].double().numpy(), found["present"].numpy()
    ranks = np.zeros((SIZE, len(model.fusion.dims), len(model.fusion.dims)))
    for sample, a, b in np.ndindex(*ranks.shape):
        if a != b and present[sample, a] and present[sample, b]:
            similar = vectors[sample, a] @ vectors[present[:, b], b].T
            own = vectors[sample, a] @ vectors[sample, b]
            ranks[sample, a, b] = 1 / (similar >= own - 1e-6).sum()
    return ranks, present


def explained(model, batch, size=SIZE, bootstraps=20):
    parts = [
        Batch(rows_of(batch.inputs, i), rows_of(batch.targets, i), batch.rows[i])
        for i in torch.arange(SIZE).split(size)
    ]
    return explain_tasks(model, parts, chosen_tasks(model, []), CPU, bootstraps)


@pytest.mark.parametrize("size", [SIZE, 5])
def test_each_modality_has_half_of_every_pair_that_it_is_in(size):
    model, batch = made(lacking=[(2, "audio"), (5, "text"), (5, "audio")])
    found = explained(model, batch, size)
    ranks, present = reciprocal_ranks(model, batch)
    directions = present.sum(1) * (present.sum(1) - 1)
    mean = ranks / np.maximum(directions, 1)[:, None, None]
    worth = found.games["pairs"].worth
    np.testing.assert_allclose(worth[:, -1], mean.sum((1, 2)), rtol=1e-6)
    assert not worth[:, [0, 1, 2, 4]].any()  # alone there is nothing to find
    np.testing.assert_allclose(worth[:, 3], mean[:, 0, 1] + mean[:, 1, 0], rtol=1e-6)
    summary = output_summary(found, found.games["pairs"])
    assert summary["explained"] == RETRIEVAL_EXPLAINED and summary["without_share"] == 1  # sample 5 has one modality
    for place, name in enumerate(DIMS):
        half = (mean[:, place].sum(1) + mean[:, :, place].sum(1)) / 2
        assert summary["modalities"][name]["value"]["value"] == pytest.approx(half.mean())


def test_the_metric_of_the_whole_is_the_tasks_own_also_with_cells_that_several_samples_share():
    cells = [(1, "image", "same"), (4, "image", "same"), (7, "text", "once"), (8, "text", "once")]
    model, batch = made(lacking=[(2, "audio"), (4, "audio"), (9, "image")], cells=cells)
    found = explained(model, batch)
    task = model.named_tasks()["pairs"]
    metrics = task.make_metrics()
    with torch.inference_mode():
        task.update(metrics, model(batch.inputs).outputs["pairs"], batch.targets["pairs"])
    values = metrics.compute()
    worth = found.games["pairs"].metric_worth
    assert worth[-1] == pytest.approx(float(values["mrr"]), rel=1e-6)
    both = (values["text_to_image_mrr"] + values["image_to_text_mrr"]) / 6  # of six directions
    assert worth[3] == pytest.approx(float(both), rel=1e-6)
    summary = metric_summary(found, found.games["pairs"])
    assert sum(one["value"]["value"] for one in summary["modalities"].values()) == pytest.approx(worth[-1])
    assert summary["modalities"]["text"]["value"]["low"] < summary["modalities"]["text"]["value"]["high"]


def test_without_any_pair_there_is_no_metric():
    model, batch = made(lacking=[(i, "image") for i in range(SIZE)], names=("text", "image"))
    game = explained(model, batch).games["pairs"]
    assert not game.worth.any() and game.metric_worth is None and game.why == "no sample has two modalities"
