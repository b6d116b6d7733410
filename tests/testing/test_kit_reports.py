"""Scales, gradients and costs of a strategy, and the laws as pytest tests."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from mmbert.core.masks import masked_mean
from mmbert.fusion.base import Fusion
from mmbert.fusion.concat import ConcatFusion
from mmbert.fusion.cross_attention import CrossAttentionFusion
from mmbert.fusion.mean import MeanFusion
from mmbert.fusion.product import ProductFusion
from mmbert.testing import cost_of, flow_of, fusion_tests
from mmbert.testing.costs import DIMS
from mmbert.testing.fusion_contract import LAWS, TRACING

COVERS = ("costs", "plugin")


class Loud(Fusion):
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
    flow = flow_of(Loud, dims={"a": 64, "b": 64, "c": 64}, out_dim=64)
    for name in ("a", "b", "c"):
        assert flow.alone[name] == pytest.approx((1 / 3) ** 0.5, rel=0.05)
        assert flow.gradient[name] == pytest.approx((64 / 3) ** 0.5, rel=0.05)
    assert flow.together == pytest.approx(1.0, rel=0.05)
    assert flow.remarks() == [] and len(flow.parameters) == 3


@pytest.mark.parametrize("kind", [ConcatFusion, MeanFusion, ProductFusion, CrossAttentionFusion])
def test_nothing_is_remarked_of_the_built_in_ones(kind):
    assert flow_of(kind).remarks() == []


def test_a_modality_that_gets_next_to_no_gradient_is_named():
    told = "\n".join(flow_of(Loud, factor=1e-3).remarks())
    assert "audio receives 0.001 of the gradient that the median modality does" in told
    assert "below the median in: project.audio.weight" in told
    assert "text receives" not in told
    assert "text receives" not in "\n".join(flow_of(Loud, factor=0.1).remarks())


def test_a_scale_that_depends_on_what_is_present_is_told():
    told = flow_of(Loud, hide=True).remarks()
    assert [words.partition(" pooled is ")[0] for words in told] == [
        f"with {m} alone" for m in ("text", "image", "audio")
    ]


def test_costs_are_those_counted_by_hand():
    cost = cost_of(ConcatFusion, steps=1)
    width = sum(DIMS.values())
    assert cost.parameters == width * 128 + 128 + 2 * width  # the projection, its bias, and a norm for each modality
    assert cost.flops == 2 * width * 128
    assert cost.milliseconds > 0


def test_measuring_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    flow_of(ConcatFusion), cost_of(ConcatFusion, steps=1)
    assert torch.equal(torch.get_rng_state(), before)


TestMean = fusion_tests(MeanFusion, dims={"text": 4, "image": 3}, tracing=False, dropout=0.2)


def test_the_class_of_tests_has_one_for_each_law():
    made = fusion_tests(MeanFusion)
    (mark,) = made.test_it_keeps_the_law.pytestmark
    assert mark.args[1] == [*LAWS, *TRACING] and made.__name__ == "TestMeanFusion"
    (mark,) = fusion_tests(MeanFusion, tracing=False).test_it_keeps_the_law.pytestmark
    assert mark.args[1] == [*LAWS]


def test_a_broken_law_fails_with_its_report_alone():
    class Silent(MeanFusion):
        def fuse(self, inputs):
            present = torch.stack([x.present for x in inputs.values()], 1)
            values = torch.stack([self.project[m](x.pooled, x.present) for m, x in inputs.items()], 1)
            return masked_mean(values[:, :1], present[:, :1])

    tests = fusion_tests(Silent, dims={"text": 4, "image": 3})()
    with pytest.raises(pytest.fail.Exception, match="no gradient reaches image in sample 0") as caught:
        tests.test_it_keeps_the_law("presence speaks")
    assert caught.value.pytrace is False
    tests.test_it_keeps_the_law("shapes")


OWN = """\
from mmbert.testing import fusion_tests
from own import Own
TestOwn = fusion_tests(Own, tracing=False)


def test_through_the_fixture(check_fusion):
    check_fusion(Own, dims={"a": 3, "b": 4}, only=["deterministic in evaluation"])
"""


def test_the_plugin_serves_a_users_file_and_brings_no_torch_to_others(tmp_path):
    (tmp_path / "own.py").write_text(
        "import torch\nfrom mmbert.fusion.mean import MeanFusion\n\n\nclass Own(MeanFusion):\n"
        "    def fuse(self, inputs):\n        return super().fuse(inputs) + 0.1 * torch.rand(1)\n"
    )
    (tmp_path / "test_own.py").write_text(OWN)
    (tmp_path / "test_other.py").write_text("import sys\n\ndef test_other():\n    assert 'torch' not in sys.modules\n")
    # under continuous integration pytest repeats a whole message in its summary
    outside = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}
    environment = {**outside, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"}
    start = [sys.executable, "-m", "pytest", "-q", "-p", "mmbert.testing.plugin", "-p", "no:cacheprovider"]

    def run(*words):
        return subprocess.run([*start, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)

    other = run("test_other.py")
    assert other.returncode == 0, other.stdout
    done = run("test_own.py", "-k", "deterministic or one or fixture")
    assert "2 failed, 2 passed" in done.stdout, done.stdout
    assert done.stdout.count("dropout or noise in evaluation mode: F.dropout needs training=self.training") == 2
    assert "Traceback" not in done.stdout and "outcome.py" not in done.stdout
