"""The laws as pytest tests, and the plugin that shows a broken one."""

import os
import subprocess
import sys

import pytest
import torch

from mmbert.core.masks import masked_mean
from mmbert.encoders.features import FeatureEncoder
from mmbert.fusion.mean import MeanFusion
from mmbert.tasks.regression import Regression
from mmbert.testing import encoder_contract, encoder_tests, fusion_tests, task_contract, task_tests
from mmbert.testing.fusion_contract import LAWS, TRACING

COVERS = ("plugin",)

TestFeatures = encoder_tests(FeatureEncoder, width=3)
TestRegression = task_tests(Regression, cells=[1.0, 2.5, -3.0, 7.0, 2.0], hidden_dim=8)
TestMean = fusion_tests(MeanFusion, dims={"text": 4, "image": 3}, tracing=False, dropout=0.2)


def test_the_class_of_tests_has_one_for_each_law():
    made = fusion_tests(MeanFusion)
    (mark,) = made.test_it_keeps_the_law.pytestmark
    assert mark.args[1] == [*LAWS, *TRACING] and made.__name__ == "TestMeanFusion"
    (mark,) = fusion_tests(MeanFusion, tracing=False).test_it_keeps_the_law.pytestmark
    assert mark.args[1] == [*LAWS]


@pytest.mark.parametrize(
    ("made", "laws"), [(TestFeatures, encoder_contract.LAWS), (TestRegression, task_contract.LAWS)]
)
def test_encoders_and_tasks_have_one_for_each_law_too(made, laws):
    (mark,) = made.test_it_keeps_the_law.pytestmark
    assert mark.args[1] == [*laws]


def test_a_broken_law_fails_with_its_report_alone():
    class Silent(MeanFusion):
        def fuse(self, inputs):
            present = torch.stack([x.present for x in inputs.values()], 1)
            values = torch.stack([self.project[m](x.pooled, x.present) for m, x in inputs.items()], 1)
            return masked_mean(values[:, :1], present[:, :1])

    tests = fusion_tests(Silent, dims={"text": 4, "image": 3})()
    with pytest.raises(pytest.fail.Exception, match="no gradient reaches image in sample 0") as caught:
        tests.test_it_keeps_the_law("every present modality is used")
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
