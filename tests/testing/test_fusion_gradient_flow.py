"""Scales, gradients and costs of a strategy, against what is worked out by hand."""

import pytest
import torch
from torch import nn

from mmbert.fusion.base import Fusion
from mmbert.fusion.concat import ConcatFusion
from mmbert.fusion.cross_attention import CrossAttentionFusion
from mmbert.fusion.mean import MeanFusion
from mmbert.fusion.product import ProductFusion
from mmbert.testing import cost_of, flow_of
from mmbert.testing.fusion_costs import COST_DIMS
from mmbert.testing.fusion_gradient_flow import FLOW_DIMS

COVERS = ("fusion_costs",)


class Scaled(Fusion):
    """A sum in which one modality counts ``factor`` times."""

    reads_tokens = False

    def __init__(self, dims, out_dim, factor=1.0, hide=False):
        super().__init__(dims, out_dim)
        self.factor, self.hide = factor, hide
        self.project = nn.ModuleDict({m: nn.Linear(d, out_dim, bias=False) for m, d in dims.items()})

    def fuse(self, inputs):
        last = list(inputs)[-1]
        parts = [self.project[m](x.pooled) * (self.factor if m == last else 1) for m, x in inputs.items()]
        fused = torch.stack(parts, 1).sum(1)
        alone = torch.stack([x.present for x in inputs.values()], 1).sum(1) == 1
        return torch.where((alone & self.hide).unsqueeze(1), 1e-4 * fused, fused)


def test_scales_and_gradients_are_what_they_are_by_hand():
    """z = Σ W_m v_m: z alone has the deviation √(D/(3D)) of nn.Linear's weights, all three √3 times that, and the
    gradient by v_m is W_mᵀg with g normal: its norm is about √(H D/(3D)).
    """
    flow = flow_of(Scaled, dims={"a": 64, "b": 64, "c": 64}, out_dim=64)
    for name in ("a", "b", "c"):
        assert flow.alone[name] == pytest.approx((1 / 3) ** 0.5, rel=0.05)
        assert flow.gradient[name] == pytest.approx((64 / 3) ** 0.5, rel=0.05)
    assert flow.together == pytest.approx(1.0, rel=0.05)
    assert flow.remarks() == [] and len(flow.parameters) == 3


@pytest.mark.parametrize("kind", [ConcatFusion, MeanFusion, ProductFusion, CrossAttentionFusion])
def test_nothing_is_remarked_of_the_built_in_ones(kind):
    assert flow_of(kind).remarks() == []


def test_a_modality_that_gets_next_to_no_gradient_is_named():
    remarks = "\n".join(flow_of(Scaled, factor=1e-3).remarks())
    assert "audio receives 0.001 of the gradient that the median modality does" in remarks
    assert "below the median in: project.audio.weight" in remarks
    assert "text receives" not in remarks
    assert "text receives" not in "\n".join(flow_of(Scaled, factor=0.1).remarks())


def test_a_scale_that_depends_on_what_is_present_is_reported():
    remarks = flow_of(Scaled, hide=True).remarks()
    assert [words.partition(" pooled is ")[0] for words in remarks] == [
        f"with {m} alone" for m in ("text", "image", "audio")
    ]


def test_costs_are_those_counted_by_hand():
    cost = cost_of(ConcatFusion, steps=1)
    width = sum(COST_DIMS.values())
    assert cost.parameters == width * 128 + 128 + 2 * width  # the projection, its bias, and a norm for each modality
    assert cost.flops == 2 * width * 128
    assert cost.milliseconds > 0


def test_modalities_are_measured_at_one_width():
    assert len(set(FLOW_DIMS.values())) == 1


def test_measuring_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    flow_of(ConcatFusion), cost_of(ConcatFusion, steps=1)
    assert torch.equal(torch.get_rng_state(), before)
