"""Shares per modality: means worked out by hand; padding, absent modalities and fillers count nowhere."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from mmbert.core.types import Batch, Encoded
from mmbert.fusion.cross_attention import CrossAttentionFusion
from mmbert.training.callbacks.diagnostics import EpochDiagnostics
from mmbert.training.modality_shares import ModalityShares, summarise_shares


def batch(present, rows):
    """Modalities a and b; a has two tokens, the second of them padding."""
    present = torch.tensor(present)
    masks = {"a": torch.stack([present[:, 0], torch.zeros_like(present[:, 0])], 1), "b": present[:, 1:]}
    return Batch({name: {"mask": mask} for name, mask in masks.items()}, {}, torch.tensor(rows))


def test_means_are_over_the_samples_that_have_the_modality():
    shares = ModalityShares(["a", "b"])
    shares.add(
        batch([[True, True], [True, False], [True, True]], [5, 6, -1]),
        {
            "gate": torch.tensor([[0.25, 0.75], [1.0, 99.0], [77.0, 77.0]]),  # b is absent in row 6; -1 is a filler
            "attention/0/a": torch.ones(3, 4, 2, 1),  # of another shape: not by modality
            "vector": torch.tensor([[[0.0, 1.0], [3.0, 1.0]], [[1.0, 1.0], [9.0, 9.0]], [[7.0, 7.0], [7.0, 7.0]]]),
        },
    )
    shares.add(batch([[True, True], [True, True]], [7, 8]), {"gate": torch.tensor([[0.75, 0.25], [0.0, 0.0]])})
    told = summarise_shares(shares.modalities, shares.values())
    # a: (0.25 + 1 + 0.75) / 3; b: (0.75 + 0.25) / 2; the row of zeros says nothing
    assert told["gate"]["mean"] == pytest.approx([2 / 3, 0.5])
    assert told["gate"]["std"] == pytest.approx([np.std([0.25, 1, 0.75], ddof=1), np.std([0.75, 0.25], ddof=1)])
    assert told["gate"]["samples"] == [3, 2]
    assert told["vector"]["mean"] == pytest.approx([0.75, 2.0])  # a: (0.5 + 1) / 2, b: 2
    assert told["vector"]["std"][1] is None
    assert set(told) == {"gate", "vector"} and told["gate"]["modalities"] == ["a", "b"]
    shares.reset()
    assert shares.values() == {}


def encoded(length, dim, present):
    mask = torch.zeros(len(present), length, dtype=torch.bool)
    for row, count in enumerate(present):
        mask[row, :count] = True
    return Encoded.from_tokens(torch.randn(len(present), length, dim), mask)


@pytest.mark.parametrize("layers", [1, 2])
def test_shares_of_cross_attention_follow_from_its_weights(layers):
    torch.manual_seed(0)
    fusion = CrossAttentionFusion({"a": 3, "b": 4, "c": 5}, 8, num_layers=layers, num_heads=2).eval()
    inputs = {"a": encoded(3, 3, [3, 2, 1]), "b": encoded(2, 4, [2, 0, 0]), "c": encoded(4, 5, [4, 3, 0])}
    seen = fusion(inputs, diagnostics=True).diagnostics
    lengths = {"a": 4, "b": 3, "c": 5}  # the summary before the tokens
    by_hand = np.zeros((3, 3))
    for row, there in enumerate(["abc", "ac", "a"]):
        for layer in range(layers):
            for asking in there if len(there) > 1 else "":
                weights = seen[f"attention/{layer}/{asking}"][row, :, 0].mean(0).detach().numpy()
                place = 0
                for column, name in enumerate("abc"):
                    if name != asking:
                        by_hand[row, column] += weights[place : place + lengths[name]].sum() / len(there) / layers
                        place += lengths[name]
    share = seen["share/attention"].detach().numpy()
    np.testing.assert_allclose(share, by_hand, atol=1e-6)
    np.testing.assert_allclose(share.sum(1), [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(share[1], [0.5, 0, 0.5], atol=1e-6)  # two look at each other
    output = seen["share/output"].detach().numpy()
    np.testing.assert_allclose(output.sum(1), 1, atol=1e-6)
    assert output[1, 1] == 0 and output[2, 0] == pytest.approx(1)


def test_shares_alone_are_the_same_and_change_no_bit():
    torch.manual_seed(0)
    fusion = CrossAttentionFusion({"a": 3, "b": 4}, 8, num_heads=2).eval()
    fusion.drop_tokens()
    inputs = {"a": encoded(3, 3, [3, 2]), "b": encoded(2, 4, [2, 1])}
    plain, shares, everything = fusion(inputs), fusion(inputs, diagnostics="shares"), fusion(inputs, diagnostics=True)
    assert torch.equal(plain.pooled, shares.pooled)
    assert set(shares.diagnostics) == {"share/attention", "share/output"}
    for name, tensor in shares.diagnostics.items():
        torch.testing.assert_close(tensor, everything.diagnostics[name])
    alone = CrossAttentionFusion({"a": 3}, 8, num_heads=2).eval()({"a": inputs["a"]}, diagnostics="shares")
    assert alone.diagnostics["share/output"].tolist() == [[1.0], [1.0]]


def test_the_size_of_what_a_stream_adds_by_hand():
    torch.manual_seed(0)
    fusion = CrossAttentionFusion({"a": 3, "b": 4}, 8, num_heads=2).eval()
    kept = {}
    for name, norm in fusion.final_norms.items():
        norm.register_forward_hook(lambda module, given, out, name=name: kept.__setitem__(name, out.detach()))
    inputs = {"a": encoded(3, 3, [3]), "b": encoded(2, 4, [2])}
    share = fusion(inputs, diagnostics="shares").diagnostics["share/output"][0].detach().numpy()
    weight = fusion.out.weight.detach().numpy()
    sizes = [np.linalg.norm(weight @ kept[name][0].numpy()) for name in "ab"]
    np.testing.assert_allclose(share, np.array(sizes) / sum(sizes), rtol=1e-5)


def test_a_run_keeps_them_for_each_split_and_epoch(finished_run):
    """The demo's split test_missing lacks modalities; the counts say in how many of the samples each is there."""
    told = json.loads((finished_run / "diagnostics.json").read_text())
    assert [one["epoch"] for one in told["val_by_epoch"]] == [0, 1]
    assert set(told) == {"val", "test", "test_missing", "val_by_epoch"}
    for one in (told["test"]["share/attention"], told["val_by_epoch"][1]["share/output"]):
        assert one["modalities"] == ["text", "image", "audio"]
        assert sum(one["mean"]) == pytest.approx(1, abs=1e-5)
    assert told["test"]["share/output"]["samples"] == [17, 17, 17]
    table = pd.read_csv(json.loads((finished_run / "metrics.json").read_text())["inputs"]["table"])
    missing = table[table["split"] == "test_missing"]
    assert told["test_missing"]["share/output"]["samples"] == [
        int(missing[m].notna().sum()) for m in told["test"]["share/output"]["modalities"]
    ]
    history = pd.read_csv(finished_run / "history.csv")
    logged = history["diagnostics/val/share/output/text"].dropna().tolist()
    assert logged == pytest.approx([one["share/output"]["mean"][0] for one in told["val_by_epoch"]])
    # they stand with the losses of their validation
    assert history["diagnostics/val/share/output/text"].notna().equals(history["val/mean_loss"].notna())


def test_epochs_go_through_a_checkpoint():
    first, second = EpochDiagnostics(), EpochDiagnostics()
    first.by_epoch = [{"epoch": 0, "gate": {"mean": [1.0]}}]
    second.load_state_dict(first.state_dict())
    assert second.by_epoch == first.by_epoch
