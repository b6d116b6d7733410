"""``subset``: the encoders that are used of those that the config chooses, however they were chosen.

The group ``modalities`` sets it. A choice from ``text``, ``image`` or ``audio`` on the command line or in an experiment
file would win over another file's choice of ``none``, and a study of modalities with encoders of one's own would then
train the same model for every subset. So the subset is applied last, to the composed config.
"""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf, open_dict

from mmbert.core.errors import ConfigError

SUBSET = "subset"


def keep_subset(cfg: DictConfig) -> list[str]:
    """Takes out of a job's config the encoders that its ``subset`` does not name, in place.

    Args:
        cfg: composed, with the changed values.

    Returns:
        The names of those taken out.

    Raises:
        ConfigError: ``subset`` is no list of names, or names an encoder that the config leaves out.
    """
    wanted = cfg.get(SUBSET)
    if wanted is None or "encoders" not in cfg:
        return []
    names = list(wanted) if OmegaConf.is_list(wanted) else [wanted]
    if not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{SUBSET}={wanted} must list encoders by name, such as {SUBSET}=[text,image].")
    chosen = {str(name): part for name, part in cfg.encoders.items()}
    for name in names:
        if not chosen.get(name):
            raise ConfigError(left_out_message(name, names, [other for other, part in chosen.items() if part]))
    left_out = [name for name, part in chosen.items() if part and name not in names]
    with open_dict(cfg.encoders):
        for name in left_out:
            cfg.encoders[name] = {}
    return left_out


def left_out_message(name: str, names: Sequence[str], chosen: Sequence[str]) -> str:
    """What to say of a subset that names an encoder which the config leaves out."""
    listed = ", ".join(chosen) or "none"
    return (
        f"{SUBSET}=[{','.join(names)}] uses the encoder '{name}', but the config leaves it out (encoders: {listed}). "
        f"Choose one for it, such as {name}=CHOICE or +features@encoders.{name}=vector, or choose another subset with "
        "modalities=."
    )


def overruled_words(words: Sequence[str], left_out: Sequence[str]) -> list[str]:
    """The words of a command line that choose an encoder which the subset leaves out."""
    found = []
    for word in words:
        key, _, value = word.lstrip("+~").partition("=")
        group, _, package = key.partition("@")
        name = package.removeprefix("encoders.") if package else group
        if name in left_out and value not in ("", "none"):
            found.append(word)
    return found
