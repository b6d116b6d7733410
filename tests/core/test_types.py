"""What travels between the layers."""

import torch

from mmbert.core.types import Batch, Encoded


def test_pooled_is_the_mean_over_real_tokens_and_presence_is_the_mask():
    tokens = torch.tensor([[[1.0], [3.0], [100.0]], [[7.0], [7.0], [7.0]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    encoded = Encoded.from_tokens(tokens, mask)
    assert encoded.pooled.tolist() == [[2.0], [0.0]]  # (1 + 3) / 2; nothing is there
    assert encoded.present.tolist() == [True, False]


def test_a_batch_moves_as_a_whole():
    batch = Batch({"text": {"mask": torch.ones(2, 3)}}, {"answer": torch.zeros(2)}, torch.arange(2))
    moved = batch.to("meta")
    assert len(moved) == 2
    assert {moved.inputs["text"]["mask"].device.type, moved.targets["answer"].device.type, moved.rows.device.type} == {
        "meta"
    }
