"""What the base class does for every strategy."""

import numpy as np
import pytest
import torch

from fusion_harness import DIMS as THREE
from fusion_harness import WIDTH, batch_of, build, build_with_weights, linear
from mmbert.core.errors import InputError
from mmbert.core.types import Encoded, Fused
from mmbert.fusion.base import Fusion
from mmbert.fusion.concat import ConcatFusion
from mmbert.fusion.cross_attention import CrossAttentionFusion
from mmbert.fusion.mean import MeanFusion
from mmbert.fusion.product import ProductFusion
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


def test_a_plain_vector_becomes_tokens_too():
    fusion, w = build_with_weights(MeanFusion)
    inputs = batch_of()
    fused = fusion(inputs)
    x = inputs["image"]
    expected = linear(x.tokens.numpy(), w, "token_projection.image") + fused.pooled.detach().numpy()[:, None]
    expected = np.where(x.mask.numpy()[..., None], expected, 0)
    np.testing.assert_allclose(fused.tokens["image"].detach(), expected, atol=1e-10)


def test_wrong_inputs_are_refused_by_name():
    fusion = MeanFusion(THREE, WIDTH)
    inputs = random_inputs(THREE)
    with pytest.raises(InputError, match="was built for .* but was given .*An absent modality keeps its key"):
        fusion({"text": inputs["text"]})
    with pytest.raises(InputError, match="expects width 4 for 'text'"):
        fusion({**inputs, "text": inputs["audio"]})
    with pytest.raises(InputError, match="different batch sizes"):
        fusion({**inputs, "text": random_inputs(THREE, 2)["text"]})
    with pytest.raises(InputError, match="at least one modality"):
        MeanFusion({}, WIDTH)


@pytest.mark.parametrize("kind", [ConcatFusion, MeanFusion, ProductFusion, CrossAttentionFusion])
def test_the_order_of_the_keys_does_not_matter(kind):
    fusion, inputs = build(kind), batch_of()
    assert torch.equal(fusion(inputs).pooled, fusion(dict(reversed(inputs.items()))).pooled)
