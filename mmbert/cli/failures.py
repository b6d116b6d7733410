"""Errors of jobs: sent between processes, sorted by whose fault they are, and turned into messages."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

from mmbert.core.errors import MmbertError


class JobFailed(Exception):
    """Replaces an error that cannot be pickled; the error was printed where it happened."""


class SweepFailed(Exception):
    """Jobs of a sweep failed; each was printed when it did.

    Args:
        errors: what they raised.
    """

    def __init__(self, errors: Sequence[Exception]) -> None:
        self.errors = list(errors)
        super().__init__("1 job" if len(errors) == 1 else f"{len(errors)} jobs")


def picklable(error: Exception) -> Exception:
    """The error itself, or what stands for it where it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return JobFailed(f"{type(error).__name__}: {error}")
    return error


def is_hydra_error(error: BaseException) -> bool:
    """Whether an error comes from composing the config."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    return isinstance(error, (HydraException, OmegaConfBaseException))


def is_user_error(error: BaseException) -> bool:
    """Whether an error in a job is the user's to mend, so that its message alone is printed."""
    from omegaconf import errors

    theirs = (errors.MissingMandatoryValue, errors.InterpolationResolutionError, errors.InterpolationKeyError)
    return isinstance(error, (MmbertError, *theirs))


def message_of(error: BaseException) -> str:
    """The message, with that of its cause where Hydra keeps the point there."""
    from mmbert.cli.options.values import first_error_line

    cause = error.__cause__
    words = first_error_line(error) if not isinstance(error, MmbertError) and not cause else str(error).strip()
    return f"{words}: {first_error_line(cause)}" if cause is not None and not isinstance(error, MmbertError) else words
