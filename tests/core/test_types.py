"""What travels between the layers."""

import torch

from mmbert.core.types import Batch, Encoded, Loss, rows_of


def test_pooled_is_the_mean_over_real_tokens_and_presence_is_the_mask():
    tokens = torch.tensor([[[1.0], [3.0], [100.0]], [[7.0], [7.0], [7.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    encoded = Encoded.from_tokens(tokens, mask)
    assert encoded.pooled.tolist() == [[2.0], [0.0]]  # (1 + 3) / 2; nothing is there
    assert encoded.present.tolist() == [True, False]


def test_a_batch_moves_as_a_whole():
    batch = Batch({"text": {"mask": torch.ones(2, 3)}}, {"answer": {"label": torch.zeros(2)}}, torch.arange(2))
    moved = batch.to("meta")
    assert len(moved) == 2
    assert {
        moved.inputs["text"]["mask"].device.type,
        moved.targets["answer"]["label"].device.type,
        moved.rows.device.type,
    } == {"meta"}


def test_rows_of_a_tree_are_those_of_its_every_tensor():
    encoded = Encoded.from_tokens(torch.arange(6.0).reshape(3, 2, 1), torch.ones(3, 2, dtype=torch.bool))
    tree = {"task": {"label": torch.tensor([5, 6, 7])}, "text": encoded}
    some = rows_of(tree, torch.tensor([2, 0]))
    assert some["task"]["label"].tolist() == [7, 5]
    assert some["text"].tokens.flatten().tolist() == [4, 5, 0, 1] and some["text"].pooled.tolist() == [[4.5], [0.5]]
    assert rows_of(tree, torch.tensor([False, True, False]))["task"]["label"].tolist() == [6]


def test_the_mean_of_a_loss_over_nothing_is_zero_with_a_graph():
    total = torch.tensor(0.0, requires_grad=True)
    assert Loss(total, torch.tensor(0)).mean.item() == 0 and Loss(total, torch.tensor(0)).mean.requires_grad
    assert Loss(torch.tensor(3.0), torch.tensor(2)).mean.item() == 1.5
    assert Loss(torch.tensor(3.0), torch.tensor(0.25)).mean.item() == 12.0  # a sum of weights below 1
