"""``check_encoder``: does an encoder keep the contract?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from mmbert.encoders.base import Encoder
from mmbert.testing import encoder_alignment as alignment
from mmbert.testing import encoder_conventions as conventions
from mmbert.testing import encoder_masking as masking
from mmbert.testing import encoder_saving as saving
from mmbert.testing.encoder_samples import EncoderCase
from mmbert.testing.laws import BUILT, Law, check_laws, chosen_laws
from mmbert.testing.report import Report

LAWS: dict[str, Law[EncoderCase]] = {
    BUILT: conventions.can_be_built,
    "shapes": conventions.shapes_are_right,
    "no valid input is refused": conventions.no_valid_input_is_refused,
    "the alignment is as long as the tokens": alignment.alignment_is_as_long_as_the_tokens,
    "absence changes nothing": masking.absence_changes_nothing,
    "padding changes nothing": masking.padding_changes_nothing,
    "samples are independent": masking.samples_are_independent,
    "deterministic in evaluation": conventions.evaluation_is_deterministic,
    "frozen stays frozen": conventions.frozen_stays_frozen,
    "everything learns": conventions.everything_learns,
    "inputs are left alone": conventions.inputs_are_left_alone,
    "small batches work": conventions.small_batches_work,
    "bfloat16 works": conventions.bfloat16_works,
    "state is complete": saving.state_is_complete,
    "saved and rebuilt is equal": saving.saved_and_rebuilt_is_equal,
    "the processor travels to workers": saving.processor_travels_to_workers,
    "packed inputs are equal": saving.packed_inputs_are_equal,
    "the fingerprint is complete": saving.fingerprint_is_complete,
}


def check_encoder(
    encoder: Encoder | type[Encoder] | Callable[..., Encoder],
    samples: Sequence[Any] | None = None,
    raise_on_failure: bool = True,
    only: Collection[str] | None = None,
    **options: Any,
) -> Report:
    """Holds an encoder to every law, on made-up samples of its kind unless ``samples`` are given.

    Args:
        encoder: the class, a function with its arguments, or a built encoder, which is rebuilt with its weights.
        samples: at least two raw samples of different sizes, as the processor's ``prepare`` takes them.
        raise_on_failure: raise rather than only report.
        only: names of the laws to check, after ``can be built``; None = all.
        **options: arguments of the encoder.

    Returns:
        Which laws are kept; for those that are not, a counter-example and a likely cause. Of an encoder that cannot be
        built, this alone.

    Raises:
        ContractError: a law is broken.
        InputError: ``only`` names a law that there is not.
    """
    name = type(encoder).__qualname__ if isinstance(encoder, Encoder) else getattr(encoder, "__qualname__", "")
    build = copies_of(encoder, options) if isinstance(encoder, Encoder) else with_options(encoder, options)
    case = EncoderCase(build, samples)
    return check_laws(name or repr(encoder), chosen_laws(LAWS, only), lambda law: [("", case)], raise_on_failure)


def with_options(encoder: Callable[..., Encoder], options: dict[str, Any]) -> Callable[..., Encoder]:
    """Builds the class or calls the function with these options and further ones."""
    return lambda **more: encoder(**{**options, **more})


def copies_of(encoder: Encoder, options: dict[str, Any]) -> Callable[..., Encoder]:
    """Builds encoders with the weights of one that is there, as a saved model is loaded: without downloads."""
    kind = type(encoder)

    def build(**more: Any) -> Encoder:
        with tempfile.TemporaryDirectory() as folder:
            encoder.save_assets(Path(folder))
            made = kind(**kind.rebuild_args({**encoder.init_args, **options, **more}, Path(folder)))
        made.load_state_dict(encoder.state_dict())
        return made

    return build
