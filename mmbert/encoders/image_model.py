"""``ImageModelEncoder``: the vision towers of transformers' CLIP and SigLIP with their own preprocessing."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from mmbert.core.errors import ConfigError
from mmbert.core.ranges import Range
from mmbert.encoders.pretrained.towers import load_tower
from mmbert.encoders.pretrained.transformers import quiet_transformers
from mmbert.encoders.processors.model_images import ModelImageProcessor
from mmbert.encoders.tower_encoder import TowerEncoder
from mmbert.encoders.towers.clip import ClipProjectionTower, ClipTower
from mmbert.encoders.towers.siglip import SiglipTower


class ImageModelEncoder(TowerEncoder):
    """A vision tower of transformers; what its tokens are is said in the files of ``mmbert.encoders.towers``.

    Args:
        name: a model of the Hugging Face hub (``openai/clip-vit-base-patch32``), or a local folder with its
            config.json, weights and preprocessor_config.json; of a model for pictures and texts the part for pictures.
        pretrained: load the weights; False builds the architecture with random ones.
        projection: of CLIP: the vector that is compared with that of a text, and tokens of the same width.
        frozen: no gradients, always in evaluation mode.
        lr_scale: factor on the learning rate.
        config: overrides of the tower's own configuration, such as ``{"num_hidden_layers": 4}``.
        trainable_last_n, layer_decay, gradient_checkpointing, lora: see ``LayeredEncoder.tune``.
        assets: folder of a saved encoder, which replaces hub and folder (set by ``rebuild_args``).

    Raises:
        ConfigError: the model is of another kind, or an option does not fit it.
        WeightsError: the model, or what prepares its inputs, cannot be had.
    """

    kind: ClassVar[str] = "image"
    processor: ModelImageProcessor

    def __init__(
        self,
        name: str,
        pretrained: bool = True,
        projection: bool = False,
        frozen: bool = False,
        lr_scale: float = 1.0,
        config: dict[str, Any] | None = None,
        trainable_last_n: Annotated[int | None, Range(1)] = None,
        layer_decay: Annotated[float, Range(above=0)] = 1.0,
        gradient_checkpointing: bool = False,
        lora: dict[str, Any] | None = None,
        assets: str | None = None,
    ) -> None:
        super().__init__(frozen, lr_scale)
        self.init_args.pop("assets", None)  # where this copy came from is no part of how it is built
        towers = (ClipProjectionTower if projection else ClipTower, SiglipTower)
        with quiet_transformers():
            self.network, preparer = load_tower("image", name, assets or name, pretrained, config or {}, towers)
        if projection and isinstance(self.network, SiglipTower):
            raise ConfigError(
                f"projection=true: {name} has none, its pooled vector is already the one that SigLIP compares with "
                "that of a text. Set projection=false."
            )
        self.processor = ModelImageProcessor(preparer)
        self.out_dim = self.network.width
        self.tune(trainable_last_n, layer_decay, gradient_checkpointing, lora)
