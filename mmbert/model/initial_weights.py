"""Loads encoders' initial weights from the saved models of other runs: the option ``encoders_from``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmbert.core.errors import ConfigError, InputError, nearest
from mmbert.core.init_args import class_path
from mmbert.encoders.base import Encoder
from mmbert.model.saved_files import load_saved_weights, read_saved_config
from mmbert.model.saving import encoder_weights, part_config


def load_initial_weights(
    encoders: Mapping[str, Encoder], source: str | Mapping[str, str] | None, locate: Callable[[str], Path] = Path
) -> dict[str, str]:
    """Loads the weights of saved models' encoders into encoders of the same name.

    Args:
        encoders: by name, as their config builds them.
        source: a saved model in a form that ``locate`` takes: every encoder that the model has under the same name is
            loaded from it; or ``{encoder: saved model}``, each of which must have the encoder. None or empty = nothing
            is loaded.
        locate: an entry of ``source`` -> the folder of the saved model.

    Returns:
        The saved models by encoder, of those that were loaded.

    Raises:
        ConfigError: there is no such encoder, or its class or options differ.
        InputError: there is no saved model, or it has none of these encoders.
    """
    if not source:
        return {}
    wanted = source if isinstance(source, Mapping) else dict.fromkeys(encoders, source)
    loaded = {}
    for name, place in wanted.items():
        if name not in encoders:
            raise ConfigError(f"encoders_from.{name}: there is no such encoder. {nearest(name, encoders)}")
        folder = locate(place)
        config = read_saved_config(folder)["encoders"]
        if name not in config:
            if isinstance(source, Mapping):
                raise ConfigError(f"encoders_from.{name}={place}: its encoders are {', '.join(config)}.")
            continue
        check_same_encoder(name, encoders[name], config[name], place)
        load_saved_weights(encoders[name], encoder_weights(folder, name), folder)
        loaded[name] = str(place)
    if not loaded:
        raise InputError(f"encoders_from={source} has none of the encoders {', '.join(encoders)}.")
    return loaded


def check_same_encoder(name: str, encoder: Encoder, saved: Mapping[str, Any], place: str) -> None:
    """Refuses an encoder that would compute something else with the same weights.

    Raises:
        ConfigError: names the first difference.
    """
    if class_path(encoder) != saved["class"]:
        raise ConfigError(f"encoders_from: '{name}' is {class_path(encoder)} here, but {saved['class']} in {place}.")
    here, there = (
        {option: value for option, value in args.items() if option not in encoder.NOT_IN_FINGERPRINT}
        for args in (part_config(encoder)["args"], saved["args"])
    )
    for option in sorted({*here, *there}):
        if here.get(option) != there.get(option):
            raise ConfigError(
                f"encoders_from: encoders.{name}.{option} is {here.get(option)} here, but {there.get(option)} in "
                f"{place}. Set encoders.{name}.{option}={there.get(option)}, or leave encoders_from out."
            )
