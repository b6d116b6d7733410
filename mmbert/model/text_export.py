"""A model's text encoder in the files of transformers, for programs that know nothing of this package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.whole_files import whole_folder
from mmbert.encoders.base import Encoder
from mmbert.encoders.pretrained.masked_lm import write_masked_model
from mmbert.encoders.text import TextEncoder
from mmbert.tasks.base import Task
from mmbert.tasks.mlm import MaskedLanguageModel


def write_text_encoder(encoders: Mapping[str, Encoder], tasks: Mapping[str, Task], name: str, folder: Path) -> None:
    """Writes one of the encoders as transformers writes models, with the head of its masked language model if any.

    Args:
        encoders: a model's, by name.
        tasks: a model's, by name.
        name: of the text encoder.
        folder: appears whole or not at all; one that exists is replaced.

    Raises:
        ConfigError: there is no such encoder, it is none of transformers, or has low-rank adapters.
    """
    if name not in encoders:
        raise ConfigError(f"There is no encoder '{name}'. {nearest(name, encoders)}")
    chosen = encoders[name]
    if not isinstance(chosen, TextEncoder):
        raise ConfigError(f"'{name}' is a {type(chosen).__name__}, no text encoder of transformers.")
    readers = [task for task in tasks.values() if isinstance(task, MaskedLanguageModel)]
    head = next((task.head for task in readers if task.text == name), None)
    with whole_folder(folder.absolute()) as scratch:
        write_masked_model(chosen.network, chosen.processor.tokenizer, head, scratch)
