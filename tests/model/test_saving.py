"""A saved model's folder: what is in it, what is refused, and names of earlier versions."""

import json

import pytest
import torch
from torch.testing import assert_close

from mmbert.core.errors import InputError
from mmbert.fusion.mean import MeanFusion
from mmbert.model.saving import (
    ModelParts,
    current_name,
    distinct_tensors,
    load_parts,
    part_config,
    pop_encoder_state,
    save_parts,
)
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.ordinal import Ordinal
from mmbert.tasks.regression import Regression
from mmbert.tasks.tagging import Tagging
from mmbert.tasks.transcription import Transcription

MEAN = "mmbert.fusion.mean.MeanFusion"


@pytest.fixture
def folder(tmp_path):
    state = {"fusion.x": torch.tensor([1.0, 2.0]), "panels.size.y": torch.tensor([3])}
    parts = ModelParts({}, MeanFusion({"text": 4}, 8), {"size": Regression(8, "cm", mean=3.0)}, state, "# A card")
    return save_parts(parts, tmp_path / "model")


def test_a_folder_holds_classes_arguments_tensors_and_card(folder):
    assert sorted(path.name for path in folder.parent.rglob("*")) == [
        "README.md",
        "config.json",
        "model",
        "model.safetensors",
    ]
    config = json.loads((folder / "config.json").read_text())
    assert config["fusion"] == {"class": MEAN, "args": {"dims": {"text": 4}, "out_dim": 8}}
    parts = load_parts(folder)
    assert type(parts.fusion) is MeanFusion and parts.fusion.out_dim == 8 and parts.card == "# A card"
    assert parts.tasks["size"].init_args == {"in_dim": 8, "column": "cm", "mean": 3.0}
    assert set(parts.state) == {"fusion.x", "decision_heads.size.y"}  # the second under its present name
    assert_close(parts.state["fusion.x"], torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "in a newer format than this version"),
        ({"fusion": {"class": "elsewhere.Mine", "args": {}}}, "uses elsewhere.Mine, from outside the package"),
        ({"fusion": {"class": MEAN, "args": {"x": [{"_target_": "os.system"}]}}}, "uses os.system, from outside"),
        ({"fusion": {"class": "mmbert.tasks.regression.Regression", "args": {}}}, "which is no Fusion"),
    ],
)
def test_what_is_not_loaded(folder, change, message):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        load_parts(folder)


def test_a_folder_without_a_model_names_the_one_inside(folder, tmp_path):
    with pytest.raises(InputError, match=r"config.json is missing. Its folder model/ does: use that"):
        load_parts(tmp_path)


def test_arguments_that_json_cannot_hold_are_refused():
    with pytest.raises(InputError, match="Odd was built with arguments that JSON cannot hold"):
        part_config(Odd(some={1}))


class Odd(MeanFusion):
    """Takes a set."""

    def __init__(self, some=frozenset()):
        super().__init__({"text": 4}, 8)


def test_tensors_that_share_storage_are_written_twice():
    shared = torch.arange(3.0)
    distinct = distinct_tensors({"a": shared, "b": shared, "c": torch.arange(6.0).reshape(2, 3).T})
    assert distinct["a"].data_ptr() != distinct["b"].data_ptr() and distinct["c"].is_contiguous()
    assert distinct["b"].tolist() == [0, 1, 2] and distinct["c"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_an_encoders_tensors_leave_the_models_state():
    state = {"encoders.text.a": torch.ones(1), "encoders.text2.a": torch.ones(1), "fusion.a": torch.ones(1)}
    assert set(pop_encoder_state(state, "text")) == {"a"}
    assert set(state) == {"encoders.text2.a", "fusion.a"}


def test_names_and_classes():
    assert current_name("panels.x.panels.y") == "decision_heads.x.panels.y" and current_name("x.panels.") == "x.panels."


class Spelling(Regression):
    """A task with a file of its own."""

    def __init__(self, in_dim, column, mean, letters="abc"):
        super().__init__(in_dim, column, mean=mean)
        self.letters = letters

    def save_assets(self, folder):
        (folder / "letters.txt").write_text(self.letters)

    @classmethod
    def rebuild_args(cls, args, folder):
        return {**args, "letters": (folder / "letters.txt").read_text()}


def test_a_tasks_files_are_saved_checked_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr("mmbert.model.rebuild.find_class", lambda path: Spelling if "Spelling" in path else MeanFusion)
    tasks = {"size": Spelling(8, "cm", mean=3.0, letters="xyz"), "plain": Regression(8, "cm", mean=3.0)}
    state = {"fusion.x": torch.tensor([1.0]), "tasks.size.mean": torch.tensor(3.0)}
    place = save_parts(ModelParts({}, MeanFusion({"text": 4}, 8), {"size": tasks["size"]}, state), tmp_path / "model")
    assert load_parts(place, trust_custom_code=True).tasks["size"].letters == "xyz"
    assert [path.name for path in (place / "tasks").rglob("*.txt")] == ["letters.txt"]
    (place / "tasks/size/letters.txt").write_text("zzz")
    with pytest.raises(InputError, match="letters.txt"):
        load_parts(place, trust_custom_code=True)
    place = save_parts(ModelParts({}, MeanFusion({"text": 4}, 8), {"plain": tasks["plain"]}, state), tmp_path / "plain")
    assert not (place / "tasks").exists()


@pytest.mark.parametrize(
    ("task", "option"),
    [
        (lambda: Classification(8, "c", classes=[0, 1, 2]), "classes"),
        (lambda: Ordinal(8, "c", classes=[1, 2, 3]), "classes"),
        (lambda: Multilabel(8, "c", classes=[0, 1]), "classes"),
        (lambda: Tagging(8, "c", tags=[0, 1]), "tags"),
        (lambda: Transcription(8, "c", symbols=[0, 1, 2], dims={"audio": 4}), "symbols"),
    ],
)
def test_names_that_were_typed_as_numbers_are_saved_as_the_words_that_they_are(tmp_path, task, option):
    """``tasks.heard.classes=[0,1,2]``: such a model was saved, and refused when it was loaded."""
    made = task()
    state = {f"heads.it.{name}": value for name, value in made.state_dict().items()}
    saved = save_parts(ModelParts({}, MeanFusion({"text": 4}, 8), {"it": made}, state, "# A card"), tmp_path / "model")
    again = load_parts(saved).tasks["it"].init_args[option]
    assert again == made.init_args[option] and all(isinstance(name, str) for name in again)
