"""``check_task`` catches every planted fault under the right law, and passes what is sound."""

import importlib.util
import sys
from pathlib import Path

import pytest

from mmbert.core.errors import InputError
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.regression import Regression
from mmbert.testing import ContractError, check_task
from mmbert.testing.task_contract import LAWS
from mmbert.testing.task_samples import alignment

COVERS = ("task_samples", "task_labels", "task_losses", "task_conventions")

spec = importlib.util.spec_from_file_location("broken_tasks", Path(__file__).with_name("broken_tasks.py"))
broken = importlib.util.module_from_spec(spec)
spec.loader.exec_module(broken)
TEXTS = ["anna sleeps", "yes", "on the way to amsterdam", "nobody"]
TAGS = [["yes", "no"], ["no"], ["no", "no", "no", "no", "yes"], ["no"]]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Pickle finds a class by its module's name."""
    monkeypatch.setitem(sys.modules, "broken_tasks", broken)


@pytest.mark.parametrize(("kind", "law"), broken.BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_caught_under_its_law(kind, law):
    report = check_task(kind, only=[law], raise_on_failure=False)
    assert report.broken == [law]
    verdict = report.verdicts[-1]
    assert verdict.seen and verdict.cause and verdict.cause != "the module itself fails"


def test_what_is_sound_passes():
    assert check_task(broken.Sound, raise_on_failure=False).broken == []


def test_a_task_whose_labels_belong_to_words_passes():
    assert check_task(broken.Tagging, TAGS, TEXTS, wrong=["no", "maybe"], raise_on_failure=False).broken == []


def test_a_cell_of_a_single_column_may_be_a_dictionary():
    class Nested(broken.Sound):
        @classmethod
        def fit_labels(cls, cells, column):
            return super().fit_labels([None if cell is None else cell["name"] for cell in cells], column)

        def encode(self, cells, prepared, draw=None):
            cell = cells[self.columns[0]]
            return super().encode({self.columns[0]: cell["name"] if isinstance(cell, dict) else cell}, prepared)

    cells = [{"name": name} for name in "abcaab"]
    assert check_task(Nested, cells, only=["shapes"], raise_on_failure=False).broken == []
    named = [{"label": cell} for cell in cells]  # cells by column
    assert check_task(Nested, named, only=["shapes"], raise_on_failure=False).broken == []


def test_a_task_without_labels_passes():
    assert check_task(broken.Retrieval, raise_on_failure=False).broken == []
    assert check_task(broken.Retrieval, dims={"a": 3, "b": 4}, between=("a", "b"), raise_on_failure=False).broken == []


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Classification, {}),
        (Classification, {"class_weights": "balanced", "label_smoothing": 0.1, "hidden_dim": 8}),
        (Multilabel, {}),
        (Multilabel, {"class_weights": "balanced", "label_smoothing": 0.1}),
        (Regression, {}),
        (Regression, {"loss": "l1"}),
        (Regression, {"loss": "huber", "hidden_dim": 8}),
    ],
)
def test_the_packages_tasks_keep_the_contract(kind, options):
    check_task(kind, **options)


def test_the_laws_stand_in_the_modules_of_their_subjects():
    assert {law.__module__ for law in LAWS.values()} == {
        "mmbert.testing.task_conventions",
        "mmbert.testing.task_labels",
        "mmbert.testing.task_losses",
    }


def test_every_law_has_two_planted_faults():
    planted = [law for _, law in broken.BROKEN]
    assert set(planted) == set(LAWS)
    assert {law: planted.count(law) for law in LAWS if planted.count(law) < 2} == {}


def test_a_failure_names_sample_number_and_likely_cause():
    with pytest.raises(ContractError) as caught:
        check_task(broken.PredictsInAnotherOrder, only=["predictions are the labels' words"])
    message = str(caught.value)
    assert "PredictsInAnotherOrder: breaks the contract" in message
    assert "after learning sample 1 by heart it predicts 'c', the label is 'a'" in message
    assert "likely cause: predict and decode use different orders" in message


def test_a_built_task_is_checked_as_it_was_built():
    report = check_task(Classification(6, "mood", ["calm", "wild"]), cells=["calm", "wild", "wild", "calm"])
    assert report.passed and report.name == "Classification"


def test_a_task_that_cannot_be_built_says_this_alone():
    report = check_task(Classification, raise_on_failure=False, classes=["a"])
    assert report.broken == ["can be built"] and len(report.verdicts) == 1


def test_cells_and_texts_must_fit_together():
    with pytest.raises(InputError, match="3 cells are too few"):
        check_task(broken.Sound, cells=["a", "b", "a"])
    with pytest.raises(InputError, match="4 texts for 5 cells"):
        check_task(broken.Tagging, [*TAGS, ["no"]], TEXTS)
    with pytest.raises(InputError, match="no law 'shape'. Did you mean 'shapes'"):
        check_task(broken.Sound, only=["shape"])


def test_the_made_up_tokenizer_knows_words_and_places():
    found = alignment("on  amsterdam")
    assert found["word_ids"].tolist() == [-1, 0, 1, 1, 1, -1]
    assert found["offsets"].tolist() == [[0, 0], [0, 2], [4, 8], [8, 12], [12, 13], [0, 0]]
