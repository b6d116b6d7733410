"""A model with a retrieval task as a function from texts, pictures and sounds to vectors of one space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xxhash
from torch import nn

from mmbert.core.errors import ConfigError, InputError, nearest
from mmbert.core.types import ShownAs
from mmbert.data.modalities.registry import modality_of
from mmbert.model import MultimodalModel
from mmbert.model.saved_files import is_finite
from mmbert.tasks.retrieval import Retrieval


class Embedder:
    """Vectors of length 1, near to each other where the model takes their inputs for one sample's.

    Args:
        model: in evaluation mode.
        task: the name of its retrieval task; None = the only one.
        batch_size: inputs that go through an encoder at once.

    Raises:
        ConfigError: the model has no such task.
    """

    def __init__(self, model: MultimodalModel, task: str | None = None, batch_size: int = 32) -> None:
        found = {name: one for name, one in model.named_tasks().items() if isinstance(one, Retrieval)}
        if not found:
            tasks = ", ".join(model.named_tasks())
            raise ConfigError(
                f"{model.source or 'The model'} was not trained to find anything: its tasks are {tasks}. "
                "Train one with +task@tasks.pairs=retrieval."
            )
        if task is not None and task not in found:
            raise ConfigError(f"--task {task}: there is no such retrieval task. {nearest(task, found)}")
        if task is None and len(found) > 1:
            raise ConfigError(f"The model has several retrieval tasks: choose one with --task, of {', '.join(found)}.")
        self.name = task or next(iter(found))
        self.task = found[self.name]
        self.encoders = {name: model.named_encoders()[name] for name in self.task.modalities}
        self.batch_size = batch_size

    @property
    def modalities(self) -> list[str]:
        """Names of the model's modalities."""
        return list(self.encoders)

    def first_of(self, shown_as: ShownAs) -> str:
        """The first modality of a kind: ``text``, ``image`` or ``audio``.

        Raises:
            ConfigError: the model has none.
        """
        for name, encoder in self.encoders.items():
            if modality_of(encoder).shown_as == shown_as:
                return name
        raise ConfigError(f"The model knows no {shown_as}: it was trained on {', '.join(self.encoders)}.")

    @torch.inference_mode()
    def vectors(self, modality: str, values: Sequence[Any]) -> np.ndarray:
        """Texts, or paths of files -> (N, E) float32 of length 1.

        Raises:
            DataError: a value, or the file that it names, cannot be used.
            InputError: the model's numbers overflow.
        """
        encoder = self.encoders[modality]
        processor, kind = encoder.processor, modality_of(encoder)
        parts = [np.zeros((0, self.width), np.float32)]
        for start in range(0, len(values), self.batch_size):
            raws = [kind.from_python(value, processor) for value in values[start : start + self.batch_size]]
            inputs = processor.collate([processor.prepare(raw) for raw in raws])
            vectors = self.task.embed(modality, encoder(inputs))
            if not is_finite(vectors):
                raise InputError(f"The vectors of {modality} are NaN or infinite: the model's training diverged.")
            parts.append(vectors.numpy())
        return np.concatenate(parts)

    @property
    def width(self) -> int:
        """E."""
        return int(self.task.init_args.get("embed_dim", 128))

    def fingerprint(self) -> str:
        """Changes with any weight and option that a vector depends on."""
        digest = xxhash.xxh3_128()
        for name, encoder in self.encoders.items():
            digest.update(f"{name} {type(encoder).__qualname__} {encoder.init_args!r}".encode())
        modules: list[nn.Module] = [*self.encoders.values(), self.task]
        for module in modules:
            for key, tensor in sorted(module.state_dict().items()):
                digest.update(key.encode())
                digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return str(digest.hexdigest())
