"""Modules remember how they were built; class paths are found or refused in words."""

import copy
import pickle

import pytest
from torch import nn

from mmbert.core.errors import InputError, nearest
from mmbert.core.init_args import SavesInitArgs, class_path, find_class, package_class, targets_in


class Part(SavesInitArgs, nn.Module):
    def __init__(self, width: int, *, depth: int = 2, **rest: float) -> None:
        super().__init__()
        self.layer = nn.Linear(width, depth)


class Child(Part):
    def __init__(self, width: int, extra: str = "x") -> None:
        super().__init__(width, depth=3)


def test_arguments_are_kept_as_they_were_given():
    assert Part(4).init_args == {"width": 4}
    assert Part(width=4, depth=1, rate=0.5).init_args == {"width": 4, "depth": 1, "rate": 0.5}


def test_a_subclass_keeps_its_own_arguments_not_its_parents():
    assert Child(4, extra="y").init_args == {"width": 4, "extra": "y"}


def test_copies_and_pickles_keep_them():
    part = Part(4, depth=1)
    assert copy.deepcopy(part).init_args == part.init_args
    assert pickle.loads(pickle.dumps(part)).init_args == part.init_args


def test_wrong_arguments_raise_pythons_own_error():
    with pytest.raises(TypeError, match="width"):
        Part()


def test_a_class_is_found_again_by_its_path():
    from mmbert.fusion.base import Fusion

    path = "mmbert.fusion.base.Fusion"
    assert find_class(path) is Fusion
    assert class_path(Fusion.__new__(Fusion)) == path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module.Thing", "'no_such_module.Thing' cannot be imported"),
        ("Thing", "'Thing' cannot be imported"),
        ("mmbert.fusion.base.Fusoin", "has no class 'Fusoin'. Did you mean 'Fusion'"),
    ],
)
def test_an_unknown_class_is_told_in_words(path, message):
    with pytest.raises(InputError, match=message):
        find_class(path)


def test_the_nearest_choice_is_offered_and_all_are_listed():
    assert nearest("conact", ["concat", "mean"]) == "Did you mean 'concat'? Choices: concat, mean."
    assert nearest("zzz", ["concat", "mean"]) == "Choices: concat, mean."
    assert nearest("zzz", []) == ""


def test_of_very_many_choices_the_first_are_listed_and_the_nearest_is_among_all():
    told = nearest("klasse 99X", [f"klasse {n}" for n in range(1000)])
    assert told.startswith("Did you mean 'klasse 99'? Choices: klasse 0, ")
    assert told.endswith("klasse 59 and 940 more.")


def test_a_class_of_the_package_is_defined_in_it():
    assert package_class("mmbert.core.types.Encoded", object).__name__ == "Encoded"
    for path in ("mmbert.core.types.Tensor", "json.JSONDecoder", "mmbert.core.masks.blank", "mmbert_evil.x.Y"):
        with pytest.raises(InputError, match="is no object of the package"):
            package_class(path, object)
    with pytest.raises(InputError, match="'mmbert.core.types.Encoded' is no SavesInitArgs of the package"):
        package_class("mmbert.core.types.Encoded", SavesInitArgs)


def test_targets_are_found_however_deep():
    assert list(targets_in({"a": [{"_target_": "b.C", "d": {"_target_": "e.F"}}], "g": 1})) == ["b.C", "e.F"]
