"""Errors a user can cause: one base class, the message alone, and the nearest known word."""

import pytest

from mmbert.core import errors
from mmbert.core.errors import ConfigError, DataError, InputError, MmbertError, TrainingError, WeightsError, nearest


@pytest.mark.parametrize("kind", [ConfigError, DataError, InputError, TrainingError, WeightsError])
def test_every_kind_is_caught_as_one_and_keeps_its_message(kind):
    with pytest.raises(MmbertError) as caught:
        raise kind("a.csv, row 3: no label.")
    assert str(caught.value) == "a.csv, row 3: no label."


def test_a_workers_traceback_is_left_out_of_the_message():
    """As torch re-raises an error of a loader worker: kind(traceback and message)."""
    from torch._utils import ExceptionWrapper

    try:
        raise DataError("a.csv, row 3:\nno label.")
    except DataError:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(DataError) as caught:
        wrapped.reraise()
    assert str(caught.value) == "a.csv, row 3:\nno label."


def test_a_message_that_only_looks_alike_is_left_as_it_is():
    assert errors.without_worker_traceback("Caught? No.") == "Caught? No."
    assert errors.without_worker_traceback("row 3: Caught in a net") == "row 3: Caught in a net"


def test_the_nearest_word_is_offered_if_there_is_one():
    assert nearest("consat", ["mean", "concat"]) == "Did you mean 'concat'? Choices: mean, concat."
    assert nearest("zzz", ["mean", "concat"]) == "Choices: mean, concat."
    assert nearest(3, [1, 30]) == "Did you mean '30'? Choices: 1, 30."
    assert nearest("x", []) == ""


def test_choices_that_are_whole_texts_are_shortened_and_never_guessed():
    hint = nearest("trian", ["train", "x" * 5000])
    assert hint.startswith("Did you mean 'train'? Choices: train, xxx") and len(hint) < 200
