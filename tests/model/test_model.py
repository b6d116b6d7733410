"""The model as one module: saved and loaded to the same numbers, asked about samples with any of their modalities."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from mmbert.core.errors import ConfigError, DataError, InputError
from mmbert.fusion.base import Fusion
from mmbert.fusion.mean import MeanFusion
from mmbert.model.model import MultimodalModel
from mmbert.tasks.classification import Classification

COVERS = ("check_parts", "output", "samples", "text_export")


@pytest.fixture(scope="module")
def model(finished_run):
    return MultimodalModel.from_pretrained(finished_run / "model")


@pytest.fixture(scope="module")
def table(digits):
    return pd.read_csv(digits, dtype=str, keep_default_na=False)


def sample_of(row, digits):
    paths = {name: digits.parent / row[name] for name in ("image", "audio") if row[name]}
    return {**({"text": row["text"]} if row["text"] else {}), **paths}


@pytest.mark.parametrize("split", ["test", "test_missing"])
def test_the_saved_model_says_what_the_run_wrote_down(split, model, finished_run, table, digits):
    said = pd.read_parquet(finished_run / "predictions" / f"{split}.parquet")
    answers = model.predict([sample_of(table.loc[row], digits) for row in said["row"]], batch_size=5)
    for answer, (_, wrote) in zip(answers, said.iterrows(), strict=True):
        assert answer["answer"]["prediction"] == wrote["answer/prediction"]
        assert answer["value"]["prediction"] == pytest.approx(wrote["value/prediction"], rel=1e-4, abs=1e-4)
        chances = answer["operation"]["probabilities"]
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        for name, chance in wrote["operation/probabilities"].items():
            assert chances[name] == pytest.approx(chance, abs=1e-5)


def test_values_may_be_paths_pictures_or_arrays(model, table, digits):
    import soundfile

    row = table[table["split"] == "test"].iloc[0]
    wave, rate = soundfile.read(digits.parent / row["audio"], dtype="float32")
    forms = [
        sample_of(row, digits),
        {"text": row["text"], "image": str(digits.parent / row["image"]), "audio": (wave, rate)},
        {"text": row["text"], "image": Image.open(digits.parent / row["image"]), "audio": wave},  # 16 kHz is its own
        {"text": row["text"], "image": Image.open(digits.parent / row["image"]), "audio": np.stack([wave, wave], 1)},
    ]
    values = [answer["value"]["prediction"] for answer in model.predict(forms)]
    assert values == pytest.approx([values[0]] * len(forms), abs=1e-5)


def test_prediction_leaves_the_mode_as_it_was(model):
    model.train()
    model.predict([{"text": "Add the two."}])
    assert model.fusion.training
    model.eval()


@pytest.mark.parametrize(
    ("sample", "error", "message"),
    [
        ({"txet": "x"}, InputError, "Sample 0 has the key 'txet'. Did you mean 'text'"),
        ({}, InputError, "Sample 0 has no modality at all"),
        ({"text": ""}, InputError, "Sample 0 has no modality at all"),
        ({"image": "nowhere.png"}, DataError, "nowhere.png"),
    ],
)
def test_samples_that_make_no_sense_are_told(model, sample, error, message):
    with pytest.raises(error, match=message):
        model.predict([sample])


def test_saving_and_loading_change_nothing(model, tmp_path):
    folder = model.save_pretrained(tmp_path / "copy")
    again = MultimodalModel.from_pretrained(folder)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert json.loads((folder / "config.json").read_text()) == json.loads(
        (model.save_pretrained(tmp_path / "copy") / "config.json").read_text()
    )
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pt", ".bin", ".ckpt")]
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]  # nothing half-written stays beside it


def test_a_folder_without_a_model_is_told_with_the_one_that_has_it(finished_run, tmp_path):
    with pytest.raises(InputError, match="config.json is missing. Its folder model/ does"):
        MultimodalModel.from_pretrained(finished_run)
    with pytest.raises(InputError, match="holds no saved model"):
        MultimodalModel.from_pretrained(tmp_path)


class OutsideFusion(Fusion):
    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.project = nn.ModuleDict({m: nn.Linear(d, out_dim) for m, d in dims.items()})

    def fuse(self, inputs):
        return sum(self.project[m](x.pooled) for m, x in inputs.items())


def test_code_from_outside_the_package_runs_only_when_trusted(model, tmp_path):
    widths = {name: encoder.out_dim for name, encoder in model.named_encoders().items()}
    task = Classification(8, "answer", classes=["a", "b"])
    outside = MultimodalModel(model.named_encoders(), OutsideFusion(widths, 8), {"answer": task})
    folder = outside.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="OutsideFusion, from outside the package.*trust_custom_code"):
        MultimodalModel.from_pretrained(folder)


def test_parts_that_do_not_fit_are_refused(model):
    task = Classification(8, "answer", classes=["a", "b"])
    with pytest.raises(ConfigError, match="The fusion was built for"):
        MultimodalModel(model.named_encoders(), MeanFusion({"text": 3}, 8), {"answer": task})
    widths = {name: encoder.out_dim for name, encoder in model.named_encoders().items()}
    for name in ("two words", "items"):
        with pytest.raises(ConfigError, match=f"'{name}' cannot name an encoder or a task"):
            MultimodalModel(model.named_encoders(), MeanFusion(widths, 8), {name: task})


def test_arguments_that_json_cannot_hold_are_told(model, tmp_path):
    widths = {name: encoder.out_dim for name, encoder in model.named_encoders().items()}

    class Odd(MeanFusion):
        def __init__(self, dims, out_dim, thing=None):
            super().__init__(dims, out_dim)

    task = Classification(8, "answer", classes=["a", "b"])
    odd = MultimodalModel(model.named_encoders(), Odd(widths, 8, thing=object()), {"answer": task})
    with pytest.raises(InputError, match="arguments that JSON cannot hold"):
        odd.save_pretrained(tmp_path / "model")


def test_tokens_are_not_computed_when_no_task_reads_them(model):
    assert not [name for name in model.state_dict() if "token_projection" in name]


def test_the_command_answers_one_sample(finished_run, table, digits, capsys):
    from mmbert.cli.predict import main

    row = table[table["split"] == "test"].iloc[0]
    words = [f"model={finished_run}", f"text={row['text']}", f"image={digits.parent / row['image']}", "--json"]
    main(words)
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"answer", "seen", "heard", "operation", "properties", "value"}
    main(words[:2])
    assert "operation" in capsys.readouterr().out
