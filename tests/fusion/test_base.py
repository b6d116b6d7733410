"""What the base class does for every strategy."""

import pytest
import torch

from mmbert.core.errors import InputError
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.testing import random_inputs

DIMS = {"text": 4, "image": 3}


class Summed(Fusion):
    """Adds up the first three numbers of each vector; gives more than a vector."""

    def fuse(self, inputs, diagnostics=False):
        pooled = sum(x.pooled[:, : self.out_dim] for x in inputs.values())
        seen = {"norm": pooled.norm(dim=1)} if diagnostics else {}
        return Fused(pooled, auxiliary_losses={"size": pooled.square().mean()}, diagnostics=seen)


def test_fused_without_tokens_is_given_each_modalitys_own_with_the_vector_added():
    fusion, inputs = Summed(DIMS, 3), random_inputs(DIMS)
    fused = fusion(inputs)
    pooled = inputs["text"].pooled[:, :3] + inputs["image"].pooled
    torch.testing.assert_close(fused.pooled, pooled)
    assert fused.auxiliary_losses["size"] == pooled.square().mean()
    x = inputs["text"]
    expected = fusion.token_projection["text"](x.tokens) + pooled.unsqueeze(1)
    torch.testing.assert_close(fused.tokens["text"][x.mask], expected[x.mask])
    assert (fused.tokens["text"][~x.mask] == 0).all() and fused.masks["text"] is x.mask


def test_diagnostics_reach_a_fuse_that_takes_them_and_come_only_then():
    fusion, inputs = Summed(DIMS, 3), random_inputs(DIMS)
    assert fusion(inputs).diagnostics == {}
    fused = fusion(inputs, diagnostics=True)
    torch.testing.assert_close(fused.diagnostics["norm"], fused.pooled.norm(dim=1))


def test_dropped_tokens_leave_losses_and_diagnostics():
    fusion, inputs = Summed(DIMS, 3), random_inputs(DIMS)
    fusion.drop_tokens()
    fused = fusion(inputs, diagnostics=True)
    assert fused.tokens == {} and fused.masks == {}
    assert set(fused.auxiliary_losses) == {"size"} and set(fused.diagnostics) == {"norm"}
    assert list(fusion.parameters()) == []


def test_a_vector_too_few_is_told():
    inputs = random_inputs(DIMS)
    x = inputs["image"]
    with pytest.raises(InputError, match=r"different batch sizes: masks .*'image': 4.*pooled .*'image': 3"):
        Summed(DIMS, 3)({**inputs, "image": Encoded(x.tokens, x.mask, x.pooled[:3])})
