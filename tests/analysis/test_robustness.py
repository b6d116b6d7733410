"""Subsets, rates and damage at test: the numbers that mmbert-evaluate gives for the same, and its mistakes."""

import csv
import itertools
import json
import sys

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from mmbert.analysis.conditions import Condition, ConditionsModule, remaining_samples
from mmbert.analysis.degraded import DegradedSamples, degraded_loader
from mmbert.analysis.robustness import Robustness
from mmbert.cli import evaluate as command
from mmbert.core.errors import ConfigError
from mmbert.core.types import Encoded
from mmbert.data.augment.corruptions import Degradation, degraded_text
from mmbert.data.modalities.registry import modality_of
from mmbert.data.splits.missing import Missing
from mmbert.model import MultimodalModel
from mmbert.training.build import build
from mmbert.training.evaluate import evaluate as evaluate_model

COVERS = ("conditions", "degraded")

NAMES = ["text", "image", "audio"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory, finished_run):
    """Everything at once, on the split whose samples lack modalities already: robustness.json of mmbert-evaluate."""
    out = tmp_path_factory.mktemp("evaluated") / "out"
    words = ["robustness=missing", "robustness.missing.rates=[0.5]", "robustness.noise.levels=[0.5,1.0]"]
    with pytest.MonkeyPatch.context() as patch:
        given = [f"model={finished_run}", "trainer=cpu", f"out={out}", "split=test_missing", *words]
        patch.setattr(sys, "argv", ["mmbert-evaluate", *given])
        patch.setattr("mmbert.training.plots.run_plots.write_plots", lambda *given: {})
        command.main()
    return json.loads((out / "robustness.json").read_text())


@pytest.fixture(scope="module")
def evaluate(finished_run, tmp_path_factory):
    """``evaluate(drop=["audio"], path=...)`` -> what evaluation says of the finished run with other data options."""
    model, cfg = MultimodalModel.from_pretrained(finished_run / "model"), OmegaConf.load(finished_run / "config.yaml")

    def call(drop=(), **options):
        data_cfg = OmegaConf.merge(cfg.data, options)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mmbert.training.evaluate.write_evaluation", lambda *given: None)
            done = evaluate_model(model, data_cfg, cfg.trainer, tmp_path_factory.mktemp("out"), ["test_missing"], drop)
        return {**done.metrics, **done.facts}

    return call


def same_metrics(ours, facts, split):
    known = {key.removeprefix(f"{split}/"): value for key, value in facts.items() if key.startswith(f"{split}/")}
    known = {key: value for key, value in known.items() if not key.endswith(("loss", "loss_sum")) and value is not None}
    assert ours == pytest.approx(known, abs=1e-6)
    assert len(ours) > 10


@pytest.mark.parametrize("kept", [k for n in (1, 2, 3) for k in itertools.combinations(NAMES, n)], ids="+".join)
def test_a_subset_is_what_evaluation_without_the_others_gives(evaluate, measured, kept):
    """Rows with nothing left are left out by both."""
    assert measured["modalities"] == NAMES
    part = next(one for one in measured["splits"]["test_missing"]["subsets"] if tuple(one["modalities"]) == kept)
    facts = evaluate([name for name in NAMES if name not in kept])
    same_metrics(part["metrics"], facts, "test_missing")
    assert part["samples"] == facts["test_missing_rows"]


def test_a_modality_that_the_others_reach_into_is_encoded_anew_without_them(compose_tiny):
    """MAG's text holds what the others told it: where they are taken away they must leave that too."""
    torch.manual_seed(0)
    parts = build(compose_tiny("fusion=mag", "fusion.into=text"))
    model = parts.model.eval()
    subsets = [np.array([True, image, audio]) for image, audio in itertools.product((True, False), repeat=2)]
    module = ConditionsModule(model, [Condition({}, kept) for kept in subsets])
    decoded, own = [], model.decode
    model.decode = lambda *args, **options: decoded.append(own(*args, **options)) or decoded[-1]
    batch = next(iter(parts.data.loader("test")))
    with torch.no_grad():
        module.test_step(batch, 0)
    del model.decode
    for kept, said in zip(subsets, decoded, strict=True):
        inputs = dict(batch.inputs)
        for name in (name for name, stays in zip(NAMES, kept, strict=True) if not stays):
            inputs[name] = {**inputs[name], "mask": torch.zeros_like(inputs[name]["mask"])}
        with torch.no_grad():
            expected = model(inputs).outputs["answer"]
        torch.testing.assert_close(said.outputs["answer"], expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(
        decoded[0].outputs["answer"]["logits"], decoded[-1].outputs["answer"]["logits"], atol=1e-4
    )


def test_all_subsets_are_there_and_the_whole_is_clean(measured):
    told = measured["splits"]["test_missing"]
    assert len(told["subsets"]) == 7
    assert told["subsets"][-1]["metrics"] == told["clean"]["metrics"]


@pytest.mark.parametrize("mechanism", ["random", "exclusive"])
def test_missing_at_test_is_what_missing_data_give(evaluate, measured, mechanism):
    part = next(one for one in measured["splits"]["test_missing"]["missing"] if one["mechanism"] == mechanism)
    facts = evaluate(missing={"rate": 0.5, "mechanism": mechanism})
    same_metrics(part["metrics"], facts, "test_missing")
    assert part["realised"] == facts["missing"]["realised"]["test_missing"]
    assert part["samples"] == facts["test_missing_rows"]


def test_damaged_texts_are_what_a_table_of_damaged_texts_gives(evaluate, measured, digits, tmp_path):
    """Only one modality is damaged, the others come as they are; the whole of it at once is another number."""
    rows = list(csv.DictReader(digits.open()))
    damage = Degradation()

    for number, row in enumerate(rows):
        if row["text"].strip():
            row["text"] = degraded_text(row["text"], 1.0, damage.sample_random(number, "text"), damage)
        row |= {name: str(digits.parent / row[name]) if row[name] else "" for name in ("image", "audio")}
    with (tmp_path / "damaged.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    facts = evaluate(path=str(tmp_path / "damaged.csv"))
    noise = measured["splits"]["test_missing"]["noise"]
    part = next(one for one in noise if one["modalities"] == ["text"] and one["level"] == 1.0)
    same_metrics(part["metrics"], facts, "test_missing")
    assert [(tuple(one["modalities"]), one["level"]) for one in noise] == [
        (group, level) for group in (("text",), ("image",), ("audio",), tuple(NAMES)) for level in (0.5, 1.0)
    ]
    together = next(one for one in noise if len(one["modalities"]) == 3 and one["level"] == 1.0)
    assert together["metrics"] != part["metrics"]


@pytest.fixture(scope="module")
def parts(compose_tiny, tmp_path_factory):
    """Model and data that read a store; the text encoder is frozen, so that its tokens are stored."""
    from mmbert.training.use_store import read_from_store

    folder = tmp_path_factory.mktemp("store")
    cfg = compose_tiny("+data.splits.test_missing=test_missing", f"store.dir={folder}", "encoders.text.frozen=true")
    made = build(cfg)
    read_from_store(made.data, made.model, cfg.store, cfg.trainer)
    return made, folder


def test_damaged_inputs_neither_come_from_the_store_nor_get_into_it(parts):
    made, folder = parts
    before = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    loader = degraded_loader(made.data, "test", Degradation(), [0.5, 1.0], NAMES)
    batch = next(iter(loader))
    assert "stored.pooled" in batch.inputs["text"]
    assert len(batch.degraded) == 2
    assert not any("stored.pooled" in level["text"] for level in batch.degraded)
    pixels = [batch.inputs["image"]["pixels"], *(level["image"]["pixels"] for level in batch.degraded)]
    first, second = (float((pixels[n] - pixels[0]).abs().mean()) for n in (1, 2))
    assert 0 < first < second
    assert {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()} == before


def test_workers_and_batches_change_no_damage(compose_tiny):
    def pixels(*words):
        data = build(compose_tiny(*words)).data
        loader = degraded_loader(data, "test", Degradation(), [0.7], ["image"])
        batches = list(loader)
        return torch.cat([batch.degraded[0]["image"]["pixels"] for batch in batches])

    torch.testing.assert_close(pixels(), pixels("data.num_workers=2", "data.eval_batch_size=3"))


def test_what_counts_nowhere_or_is_missing_is_left_as_it_is(parts):
    dataset = parts[0].data.dataset("test_missing")
    samples = DegradedSamples(dataset, Degradation(), [1.0], NAMES)
    stand_in, levels = samples[-1]
    assert stand_in.row == -1 and levels[0] == stand_in.prepared
    for place in range(len(dataset)):
        sample, levels = samples[place]
        assert [name for name in NAMES if levels[0][name] is None] == [
            name for name in NAMES if sample.prepared[name] is None
        ]


def test_what_remains_by_hand():
    def part(present):
        mask = torch.tensor(present).unsqueeze(1).expand(-1, 2)
        return Encoded(torch.arange(6.0).view(3, 2, 1), mask, torch.arange(3.0).view(3, 1))

    encoded = {"a": part([True, True, False]), "b": part([True, False, True])}
    rows, left = remaining_samples(encoded, torch.tensor([[True, True], [False, True], [True, True]]))
    assert rows.tolist() == [0, 2]  # row 1 has a alone, which is taken
    assert left["a"].present.tolist() == [True, False] and left["b"].present.tolist() == [True, True]
    assert left["b"].pooled.flatten().tolist() == [0, 2]
    rows, left = remaining_samples(encoded, torch.tensor([[False, True], [True, True], [True, True]]))
    assert rows.tolist() == [0, 1, 2] and left["a"].present.tolist() == [False, True, False]


def test_a_run_measures_with_the_weights_it_chose(compose_tiny, tmp_path):
    from mmbert.training.run import run

    cfg = compose_tiny(
        "robustness=subsets", "robustness.splits=[test,val]", "trainer.max_epochs=1", "logger=none", "plots=false"
    )
    run(cfg, tmp_path)
    told = json.loads((tmp_path / "robustness.json").read_text())
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(told["splits"]) == {"test", "val"} and told["options"]["subsets"] is True
    for split in ("test", "val"):
        same_metrics(told["splits"][split]["clean"]["metrics"], metrics, split)
    assert metrics["robustness_seconds"] > 0


def test_nothing_is_measured_unless_it_is_asked_for(finished_run):
    assert not (finished_run / "robustness.json").exists()
    assert not Robustness().active


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": {"levels": [0.0]}}, "robustness.noise.levels has 0.0: steps above 0"),
        ({"missing": {"rates": [2]}}, "robustness.missing.rates=2: a share of the samples"),
        ({"missing": {"rates": [0.5], "mechanisms": ["rndom"]}}, "robustness.missing.mechanism=rndom is unknown"),
    ],
)
def test_mistakes_are_told(options, message):
    with pytest.raises(ConfigError, match=message):
        Robustness(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": ["tets"], "subsets": True}, "robustness.splits names 'tets'. Did you mean 'test'"),
        ({"splits": ["train"], "subsets": True}, "robustness.splits names 'train'"),
        ({"noise": {"levels": [1], "modalities": ["sound"]}}, "modalities names 'sound'. Choices: text, image, audio"),
        (
            {"missing": {"rates": [0.5], "mechanisms": ["label"], "column": "anwser"}},
            "robustness.missing.column=anwser: Did you mean 'answer'",
        ),
    ],
)
def test_what_cannot_be_measured_is_told_before_training(parts, options, message):
    with pytest.raises(ConfigError, match=message):
        Robustness(**options).check(parts[0].model, parts[0].data)


def test_every_condition_keeps_what_the_mechanism_left(parts):
    """On a split with holes: what is missing in the table is not counted as taken, and nobody loses all."""
    model, data = parts[0].model, parts[0].data
    found = Robustness(missing={"rates": [0.9]}).conditions(model, data, "test_missing")
    rows = data.rows["test_missing"]
    columns = {name: data.column_of(name) for name in NAMES}
    inputs = {name: modality_of(data.processors[name]) for name in NAMES}
    for kind, condition in found[1:]:
        missing = Missing(0.9, condition.facts["mechanism"])
        taken = missing.draw(data.table, rows, columns, inputs, "answer")
        assert kind == "missing" and np.array_equal(~condition.kept[rows], taken)
