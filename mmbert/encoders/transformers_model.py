"""``TransformersEncoder``: what all encoders share whose network is a model of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from mmbert.core.errors import ConfigError
from mmbert.encoders.finetuning import LayeredEncoder, stack

#: Entries of a model's configuration that say where it was loaded from and by which version.
PASSING = ("_name_or_path", "transformers_version")


class TransformersEncoder(LayeredEncoder):
    """An encoder whose network is a model of transformers: from a hub name, a folder, or a saved encoder's assets.

    A subclass implements ``_model`` and ``_preparer``, and takes ``assets``, the folder of a saved encoder.
    """

    @property
    def _model(self) -> Any:
        """The model of transformers, with ``config``."""
        return self.network

    @property
    def _preparer(self) -> Any:
        """What transformers prepares the model's inputs with: a tokenizer, a feature extractor, an image processor."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """Has the model's configuration in place of its name, since a folder's content may change."""
        config = self._model.config.to_dict()
        for name in PASSING:
            config.pop(name, None)
        options = {name: value for name, value in super().identity().items() if name not in ("name", "config")}
        return {**options, "config": config}

    def _blocks(self) -> nn.ModuleList:
        """The transformer layers, the lowest first."""
        count = int(self._model.config.num_hidden_layers)
        lists = [m for m in self._model.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
        if not lists:
            raise ConfigError(
                f"The layers of {type(self._model).__name__} were not found: leave trainable_last_n and layer_decay "
                "unset, and take a fusion without layer injection."
            )
        return lists[0]

    def layers(self) -> list[list[nn.Parameter]]:
        """Embeddings, then each transformer layer."""
        blocks = self._blocks()
        inside = set(blocks.modules())
        places = [*self.network.children()]
        holder = next(i for i, child in enumerate(places) if inside & set(child.modules()))
        return stack(self.network, list(blocks), places[holder + 1 :])

    def checkpoint_gradients(self) -> None:
        """Gradient checkpointing by transformers itself."""
        if not self._model.supports_gradient_checkpointing:
            raise ConfigError(f"{type(self._model).__name__} has no gradient checkpointing.")
        self._model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})

    def save_assets(self, folder: Path) -> None:
        """Writes the model's config.json and the files of what prepares its inputs."""
        self._model.config.save_pretrained(folder)
        self._preparer.save_pretrained(folder)

    @classmethod
    def rebuild_args(cls, args: dict[str, Any], folder: Path) -> dict[str, Any]:
        """The same encoder with random weights, from the files in ``folder``."""
        return {**args, "pretrained": False, "assets": str(folder)}
