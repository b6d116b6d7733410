"""Decision-level fusion in the whole model: a head a view, joined outputs, losses, saving, training, cost."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from mmbert.core.errors import ConfigError
from mmbert.core.types import Batch, Encoded, Fused, State
from mmbert.encoders.base import Encoder
from mmbert.fusion.late_mean import LateMeanFusion
from mmbert.fusion.late_weighted import LateWeightedFusion
from mmbert.fusion.mean import MeanFusion
from mmbert.fusion.qmf import QMFFusion
from mmbert.fusion.tmc import TMCFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.base import Head, Task
from mmbert.tasks.classification import Classification
from mmbert.tasks.decision_heads import DecisionHeads
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.regression import Regression
from mmbert.training.balance.fixed import FixedBalance
from mmbert.training.module import FusionModule

COVERS = ("base",)

DIMS = {"text": 4, "image": 3, "audio": 2}
PRESENT = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 1, 1], [0, 0, 1]]).bool()


class Given(Encoder):
    """Gives what it is given."""

    kind = "features"

    def __init__(self, out_dim):
        super().__init__()
        self.out_dim = out_dim
        self.nothing = torch.nn.Parameter(torch.zeros(()))

    def forward(self, inputs):
        return Encoded.from_tokens(inputs["tokens"], inputs["mask"])


def tasks():
    return {
        "mood": Classification(8, "mood", ["a", "b", "c"], hidden_dim=5),
        "traits": Multilabel(8, "traits", ["x", "y"]),
        "size": Regression(8, "size", mean=100.0, std=20.0),
    }


def built(fusion=None, heads=None):
    torch.manual_seed(0)
    encoders = {name: Given(width) for name, width in DIMS.items()}
    return MultimodalModel(encoders, fusion or LateMeanFusion(DIMS, 8), heads or tasks())


def batch():
    generator = torch.Generator().manual_seed(1)
    inputs = {
        name: {"tokens": torch.randn(4, 1, width, generator=generator), "mask": PRESENT[:, i : i + 1]}
        for i, (name, width) in enumerate(DIMS.items())
    }
    targets = {
        "mood": torch.tensor([0, 2, -100, 1]),
        "traits": torch.tensor([[1.0, 0], [0, 0], [1, 1], [torch.nan, torch.nan]]),
        "size": torch.tensor([90.0, torch.nan, 130.0, 100.0]),
    }
    return Batch(inputs, {name: {"label": target} for name, target in targets.items()}, torch.arange(4))


def test_every_view_has_a_head_of_its_own_and_their_outputs_are_joined():
    model, given = built().eval(), batch()
    fused = model.fusion(model.encode(given.inputs))
    out = model(given.inputs)
    heads = [model.tasks["mood"], *model.decision_heads["mood"].siblings.values()]
    said = torch.stack(
        [head(State(Fused(fused.views[m]), {}))["logits"] for m, head in zip(DIMS, heads, strict=True)], 1
    ).softmax(-1)
    for row, here in enumerate(PRESENT):
        assert_close(out.outputs["mood"]["logits"][row].softmax(-1), said[row, here].mean(0))
    assert len({id(p) for head in heads for p in head.parameters()}) == 3 * 4  # two layers with biases, none shared
    assert out.outputs["traits"]["logits"].shape == (4, 2)
    size = out.outputs["size"]["value"]
    assert size.shape == (4,) and (size - 100).abs().max() < 100


def test_what_an_absent_view_would_say_is_not_heard():
    model, given = built().eval(), batch()
    before = model(given.inputs).outputs
    for name in DIMS:
        given.inputs[name]["tokens"].masked_fill_(~given.inputs[name]["mask"].unsqueeze(-1), torch.nan)
    for name, outputs in model(given.inputs).outputs.items():
        for key, output in outputs.items():
            assert torch.equal(output, before[name][key])


def test_a_strategy_without_views_has_no_heads_for_them():
    model = built(MeanFusion(DIMS, 8))
    assert not model.decision_heads and not model(batch().inputs).decisions
    assert not [name for name in model.state_dict() if name.startswith("decision_heads")]


class TokenCounter(Task):
    """Reads the text's tokens."""

    reads_tokens = True

    def __init__(self, in_dim, column):
        super().__init__(in_dim, column)
        self.head = Head(in_dim, 2)

    def forward(self, state, targets=None):
        return {"logits": self.head(state.fused.tokens["text"])}


class Mute(Task):
    """Has no output_spec."""


def test_tasks_that_read_tokens_are_left_alone_and_unknown_outputs_refused():
    model = built(heads={**tasks(), "tags": TokenCounter(8, "tags")}).eval()
    out = model(batch().inputs)
    assert set(model.decision_heads) == {"mood", "traits", "size"} and out.outputs["tags"]["logits"].shape == (4, 1, 2)
    with pytest.raises(ConfigError, match="Mute .the task 'mute'. does not say what they are"):
        built(heads={"mute": Mute(8, "mute")})


def test_training_adds_the_views_losses_to_the_joined_ones():
    model = built(LateMeanFusion(DIMS, 8, view_weight=0.5)).eval()  # no dropout
    module = FusionModule(model, FixedBalance(model.named_tasks()), lambda *_: None)
    given = batch()
    out = module(given)
    losses, counts = module._losses("train", given, out)
    trained = module._with_decisions(losses, counts, given, out)
    said = out.decisions["mood"].outputs.log_softmax(-1).detach().double().numpy()
    here, truth = PRESENT.numpy(), given.targets["mood"]["label"].numpy()
    rows = [i for i in range(4) if truth[i] >= 0]
    views = sum(-said[i, v, truth[i]] for i in rows for v in range(3) if here[i, v]) / len(rows)
    np.testing.assert_allclose(trained["mood"].item(), losses["mood"].item() + 0.5 * views, rtol=1e-5)
    numbers = out.decisions["size"].outputs[..., 0].detach().double().numpy()
    spread = (numbers - given.targets["size"]["label"].numpy()[:, None]) / 20
    views = sum(spread[i, v] ** 2 for i in (0, 2, 3) for v in range(3) if here[i, v]) / 3
    np.testing.assert_allclose(trained["size"].item(), losses["size"].item() + 0.5 * views, rtol=1e-5)
    assert set(module.means["train"].compute()) >= {"mood/loss", "mood/loss/view/text", "size/loss/view/audio"}
    torch.stack(list(trained.values())).sum().backward()
    unmoved = [n for n, p in model.named_parameters() if p.grad is None and "encoders" not in n]
    assert unmoved == []


def test_a_decision_may_replace_the_tasks_loss():
    two = {name: task for name, task in tasks().items() if name != "size"}
    model = built(TMCFusion(DIMS, 8), two).eval()
    module = FusionModule(model, FixedBalance(two), lambda *_: None)
    given = batch()
    out = module(given)
    losses, counts = module._losses("train", given, out)
    trained = module._with_decisions(losses, counts, given, out)
    terms = model.decision_heads["mood"].losses(
        two["mood"], out.decisions["mood"], given.targets["mood"], 0, given.rows
    )
    assert set(terms) == {"evidence", "view/text", "view/image", "view/audio"}
    assert_close(trained["mood"], torch.stack(list(terms.values())).sum())
    with pytest.raises(ConfigError, match="fusion=tmc cannot join the outputs of the regression task on column 'size'"):
        built(TMCFusion(DIMS, 8))


def test_what_a_decision_remembers_is_in_checkpoints_and_not_in_a_saved_model(tmp_path):
    modules = []
    for _ in range(2):
        one = {"mood": Classification(8, "mood", ["a", "b", "c"])}
        model = built(QMFFusion(DIMS, 8), one)
        modules.append(FusionModule(model, FixedBalance(one), lambda *_: None))
    first, second = modules
    out = first(batch())
    losses, counts = first._losses("train", batch(), out)
    first._with_decisions(losses, counts, batch(), out)
    checkpoint = {"state_dict": first.state_dict()}
    first.on_save_checkpoint(checkpoint)
    torch.save(checkpoint["decisions"], tmp_path / "decisions.pt")
    checkpoint["decisions"] = torch.load(tmp_path / "decisions.pt", weights_only=True)
    second.on_load_checkpoint(checkpoint)
    history = second.model.decision_heads["mood"].decision.history
    assert_close(history, first.model.decision_heads["mood"].decision.history, equal_nan=True)
    assert history.isnan().tolist() == [[False] * 3, [False, True, True], [True] * 3, [True, True, False]]
    assert not [name for name in first.model.state_dict() if "history" in name]


def test_shares_are_told_when_asked_for():
    model = built(LateWeightedFusion(DIMS, 8)).eval()
    assert model.has_diagnostics and not model.fusion.has_diagnostics
    told = model(batch().inputs, "shares").fused.diagnostics
    expected = PRESENT / PRESENT.sum(1, keepdim=True)
    assert set(told) == {"share/mood", "share/traits", "share/size"}
    assert_close(told["share/mood"], expected)
    assert model(batch().inputs).fused.diagnostics == {}
    assert not built().has_diagnostics


@pytest.mark.slow
def test_the_whole_model_compiles_to_the_same_numbers():
    model, given = built(LateWeightedFusion(DIMS, 8)).eval(), batch()
    with torch.no_grad():
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)(given.inputs)
        for name, outputs in model(given.inputs).outputs.items():
            assert_close(compiled.outputs[name], outputs)


def test_a_model_saved_when_the_heads_were_called_panels_loads(tmp_path):
    model = built(LateWeightedFusion(DIMS, 8)).eval()
    folder = model.save_pretrained(tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    old = {re.sub("^decision_heads", "panels", name): tensor for name, tensor in state.items()}
    assert len([name for name in old if name.startswith("panels.mood.siblings.image.head")]) == 4
    save_file(old, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    del config["checksums"]  # which came later
    (folder / "config.json").write_text(json.dumps(config))
    loaded = MultimodalModel.from_pretrained(folder, trust_custom_code=True)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_a_run_trains_saves_loads_and_predicts_with_late_fusion(compose_tiny, tmp_path, digits):
    from mmbert.training.run import run

    less = ["tasks.seen=null", "tasks.heard=null", "tasks.operation=null", "tasks.properties=null"]
    run(compose_tiny("fusion=late_mean", "trainer.max_epochs=1", *less), tmp_path / "run")
    model = MultimodalModel.from_pretrained(tmp_path / "run" / "model")
    assert set(model.named_decision_heads()) == {"answer", "value"}
    table = pd.read_csv(digits, dtype=str, keep_default_na=False)
    said = pd.read_parquet(tmp_path / "run" / "predictions" / "test.parquet").head(5)
    samples = []
    for row in said["row"]:
        cells = table.loc[row]
        paths = {name: digits.parent / cells[name] for name in ("image", "audio") if cells[name]}
        samples.append({**({"text": cells["text"]} if cells["text"] else {}), **paths})
    for answer, (_, wrote) in zip(model.predict(samples), said.iterrows(), strict=True):
        assert answer["answer"]["prediction"] == wrote["answer/prediction"]
        assert answer["value"]["prediction"] == pytest.approx(wrote["value/prediction"], rel=1e-4, abs=1e-4)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["flops_fusion"] > 0 and "test/answer/accuracy" in metrics
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert "train/answer/loss/view/text" in history.columns


def test_the_joined_number_is_the_mean_of_the_present_heads():
    task = Regression(1, "size", mean=100.0, std=10.0, dropout=0.0)
    heads = DecisionHeads("size", task, LateMeanFusion({"text": 4, "image": 3}, 1)).eval()
    for weight, head in zip((1.0, 3.0), (task.eval(), heads.siblings["image"]), strict=True):
        for name, parameter in head.named_parameters():
            torch.nn.init.constant_(parameter, weight if name.endswith("weight") else 0.0)
    views = {"text": torch.tensor([[2.0], [2.0]]), "image": torch.tensor([[1.0], [0.0]])}
    masks = {"text": torch.tensor([True, True]), "image": torch.tensor([True, False])}
    output = heads(task, State(Fused(torch.zeros(2, 1), views=views, view_masks=masks), {}))
    assert_close(
        output.outputs[0], torch.tensor([[120.0], [130.0]]).double()
    )  # 2·1 and 1·3 standard deviations above 100
    assert_close(heads.outputs(output)["value"], torch.tensor([125.0, 120.0]).double())
