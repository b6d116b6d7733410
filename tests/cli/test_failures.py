"""Errors of jobs: which can be sent, whose fault they are, and what is printed."""

import pickle

import pytest
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue, ReadonlyConfigError

from mmbert.cli.failures import JobFailed, SweepFailed, is_hydra_error, is_user_error, message_of, picklable
from mmbert.core.errors import ConfigError, DataError


class Unsendable(Exception):
    """Its two arguments are lost when it is pickled, so that it cannot be made again."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def test_an_error_that_cannot_be_sent_is_replaced_by_its_words():
    error = ConfigError("seed=x")
    assert picklable(error) is error
    sent = picklable(Unsendable("one", "two"))
    assert type(sent) is JobFailed and str(pickle.loads(pickle.dumps(sent))) == "Unsendable: one and two"


def test_a_failed_sweep_counts_its_jobs():
    assert str(SweepFailed([ValueError()])) == "1 job"
    failed = SweepFailed((ValueError(), KeyError()))
    assert str(failed) == "2 jobs" and [type(error) for error in failed.errors] == [ValueError, KeyError]


@pytest.mark.parametrize(
    ("error", "users", "hydras"),
    [
        (ConfigError("x"), True, False),
        (DataError("x"), True, False),
        (MissingMandatoryValue("x"), True, True),
        (InterpolationKeyError("x"), True, True),
        (ReadonlyConfigError("x"), False, True),
        (HydraException("x"), False, True),
        (ValueError("x"), False, False),
        (KeyboardInterrupt(), False, False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whose_fault_an_error_is(error, users, hydras):
    assert is_user_error(error) is users
    assert is_hydra_error(error) is hydras


def test_a_missing_value_of_a_real_config_is_the_users():
    with pytest.raises(MissingMandatoryValue) as caught:
        OmegaConf.create({"path": "???"}).path  # noqa: B018
    assert is_user_error(caught.value)
    assert message_of(caught.value) == "Missing mandatory value: path"


def with_cause(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConfigError(" first\nsecond "), "first\nsecond"),
        (with_cause(ConfigError("ours"), ValueError("theirs")), "ours"),
        (HydraException("first\n    full_key: x"), "first"),
        (with_cause(HydraException("In 'train'"), ValueError("no fusion\nmore")), "In 'train': no fusion"),
        (ValueError(), "ValueError"),
    ],
    ids=["ours", "ours with a cause", "the first line", "with its cause", "without words"],
)
def test_the_message_is_what_the_user_needs(error, message):
    assert message_of(error) == message
