"""The adapter: other people's modules as they are, with absent modalities, saved and loaded with care."""

import json
import sys

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mmbert.core.errors import ConfigError, InputError
from mmbert.core.init_args import targets_in
from mmbert.fusion.adapter import AdapterFusion, given_width
from mmbert.testing import check_fusion, encoded, random_inputs

DIMS = {"text": 6, "image": 5, "audio": 4}

#: As such modules are written: a list in, a vector out, nothing of mmbert.
THEIRS = '''
import torch
from torch import nn

class LowRank(nn.Module):
    """Factors with a bias row each, multiplied over the modalities and weighed over the rank."""

    def __init__(self, input_dims, output_dim, rank=4):
        super().__init__()
        self.factors = nn.ParameterList([nn.Parameter(torch.randn(rank, d + 1, output_dim)) for d in input_dims])
        self.weights = nn.Parameter(torch.randn(rank))

    def forward(self, modalities):
        product = 1
        for x, factor in zip(modalities, self.factors):
            product = product * torch.einsum("bd,rdo->bro", torch.cat([x, torch.ones_like(x[:, :1])], 1), factor)
        return torch.einsum("r,bro->bo", self.weights, product)

class Product(nn.Module):
    def forward(self, vectors):
        result = vectors[0]
        for vector in vectors[1:]:
            result = result * vector
        return result

def weighted_sum(vectors, weight=1.0):
    return weight * sum(vectors)

class Tower:
    def __init__(self, size):
        self.size = size

class Pair(nn.Module):
    def forward(self, first, second):
        return first + second
'''


@pytest.fixture(autouse=True)
def theirs(tmp_path, monkeypatch):
    (tmp_path / "their_fusions.py").write_text(THEIRS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("their_fusions", None)


OPTIONS = [
    {"module": {"_target_": "mmbert.fusion.adapter.Concatenate"}},
    {
        "module": {"_target_": "their_fusions.LowRank", "rank": 2},
        "dims_as": "input_dims",
        "out_dim_as": "output_dim",
        "absent": "zeros",
    },
    {"module": {"_target_": "their_fusions.Product"}, "project_to": 8},
    {"module": {"_target_": "their_fusions.weighted_sum", "weight": 0.5}, "project_to": 12},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options["module"]["_target_"].rpartition(".")[2])
def test_what_knows_nothing_of_masks_keeps_the_contract(options):
    assert check_fusion(AdapterFusion, dims=DIMS, raise_on_failure=False, **options).broken == []


def test_the_module_itself_is_what_is_computed():
    torch.manual_seed(0)
    module = {"_target_": "their_fusions.LowRank", "rank": 3}
    fusion = AdapterFusion(DIMS, 8, module, dims_as="input_dims", out_dim_as="output_dim").double().eval()
    inputs = random_inputs(DIMS, 5, dtype=torch.float64)
    assert isinstance(fusion.linear, nn.Identity)
    assert_close(fusion(inputs).pooled, fusion.module([x.pooled for x in inputs.values()]), rtol=0, atol=0)


def test_an_absent_modality_is_stood_in_for():
    """Sum of 1 wide vectors: 3 + 5, and 3 + e or 3 + 0 where the second is absent."""
    inputs = {"a": encoded([[3.0], [3.0]]), "b": encoded([[5.0], [7.0]], present=[True, False])}
    module = {"_target_": "their_fusions.weighted_sum"}
    learned = AdapterFusion({"a": 1, "b": 1}, 1, module)
    nn.init.constant_(learned.stand_in["b"], 0.25)
    assert_close(learned(inputs).pooled, torch.tensor([[8.0], [3.25]]))
    zeros = AdapterFusion({"a": 1, "b": 1}, 1, module, absent="zeros")
    assert_close(zeros(inputs).pooled, torch.tensor([[8.0], [3.0]]))
    assert not list(zeros.stand_in.parameters())


def test_another_width_is_brought_to_the_one_that_is_asked_for():
    fusion = AdapterFusion(DIMS, 7, OPTIONS[0]["module"])
    assert fusion.linear.in_features == 15 and fusion(random_inputs(DIMS)).pooled.shape == (4, 7)


WRONG = [
    ({"module": {"_target_": "their_fusions.Product"}}, "fails on a list of vectors of widths.*fusion.project_to=128"),
    ({"module": {"_target_": "their_fusions.LowRank"}}, "cannot be built: .*input_dims.*fusion.dims_as=NAME"),
    ({"module": {"_target_": "their_fusions.LowRank", "runk": 2}}, "cannot be built: .*runk"),
    ({"module": {"_target_": "their_fusions.Tower", "size": 2}}, "cannot be called with a list of vectors"),
    ({"module": {"_target_": "their_fusions.Pair"}}, "their_fusions.Pair fails on a list"),
    ({"module": {"_target_": "torch.nn.functional.relu"}}, "fails on a list"),
    ({"module": {"_target_": "builtins.len"}}, r"must make \(B, X\).*it makes int"),
    ({"module": {}}, "fusion.module has no _target_"),
    ({"module": OPTIONS[0]["module"], "absent": "mean"}, "fusion.absent=mean: choose from learned, zeros"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_what_does_not_fit_is_told(options, message):
    with pytest.raises(ConfigError, match=message):
        AdapterFusion(DIMS, 8, **options)


def test_trying_the_module_changes_no_state_of_it():
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.dropout = nn.BatchNorm1d(3), nn.Dropout(0.5)

        def forward(self, vectors):
            return self.dropout(self.norm(sum(vectors)))

    module, before = Normed(), torch.get_rng_state()
    assert given_width(module, "Normed", [3, 3]) == 3
    assert torch.equal(torch.get_rng_state(), before)
    assert module.training and module.norm.training and int(module.norm.num_batches_tracked) == 0


def test_a_saved_adapter_does_not_run_foreign_code_unasked(tmp_path):
    from mmbert.encoders.features import FeatureEncoder
    from mmbert.model import MultimodalModel
    from mmbert.tasks.regression import Regression

    encoder = FeatureEncoder(width=4)
    fusion = AdapterFusion({"a": encoder.out_dim}, 8, {"_target_": "their_fusions.weighted_sum"})
    model = MultimodalModel({"a": encoder}, fusion, {"t": Regression(in_dim=8, column="t", mean=0.0, std=1.0)})
    folder = model.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="uses their_fusions.weighted_sum, from outside the package"):
        MultimodalModel.from_pretrained(folder)
    again = MultimodalModel.from_pretrained(folder, trust_custom_code=True)
    assert again.fusion.init_args["module"] == {"_target_": "their_fusions.weighted_sum"}
    config = json.loads((folder / "config.json").read_text())
    config["fusion"] = {
        "class": "mmbert.model.saved_files.file_checksum",
        "args": {"path": "x"},
    }  # of the package, but no fusion
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="names 'mmbert.model.saved_files.file_checksum', which is no Fusion"):
        MultimodalModel.from_pretrained(folder)
    config["fusion"] = {
        "class": "mmbert.fusion.adapter.AdapterFusion",
        "args": {
            "dims": {"a": 4},
            "out_dim": 8,
            "module": {"_target_": "mmbert.model.saved_files.file_checksum", "path": "x"},
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="uses mmbert.model.saved_files.file_checksum"):
        MultimodalModel.from_pretrained(folder)


def test_targets_are_found_however_deep():
    assert list(targets_in({"a": [{"_target_": "x.Y"}, 3], "b": {"c": {"_target_": "z.W"}}})) == ["x.Y", "z.W"]
