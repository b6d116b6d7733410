"""``ModelImageProcessor``: pictures as an image processor of transformers prepares them.

Scaling and cropping are those of its Pillow classes, as CLIP was trained; what ``AutoImageProcessor`` takes where
torchvision is installed scales a little differently.
"""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from mmbert.core.errors import ConfigError
from mmbert.encoders.processors.image import MOST_SCALED, ImageProcessor

if TYPE_CHECKING:
    from PIL.Image import Image


class ModelImageProcessor(ImageProcessor):
    """An upright RGB picture -> (3, height, width) float32.

    Args:
        preparer: an image processor of transformers, over Pillow.

    Raises:
        ConfigError: it gives pictures of different sizes, or colours on another scale than 0 to 1.
    """

    def __init__(self, preparer: Any) -> None:
        from PIL.Image import Resampling

        final = preparer.crop_size if preparer.do_center_crop else preparer.size if preparer.do_resize else None
        if final is None or not final.height or not final.width:
            raise ConfigError(
                f"By its preprocessor_config.json a {type(preparer).__name__} gives pictures of different sizes: set "
                'do_center_crop and crop_size there, or size to {"height": …, "width": …}.'
            )
        if not preparer.do_rescale or abs(preparer.rescale_factor * 255 - 1) > 1e-6:
            raise ConfigError(
                "preprocessor_config.json must say do_rescale=true and rescale_factor=0.00392156862745098 (1 / 255): "
                "colours are numbers from 0 to 1."
            )
        mean, std = (preparer.image_mean, preparer.image_std) if preparer.do_normalize else ((0.0,) * 3, (1.0,) * 3)
        size = (int(final.height), int(final.width))
        super().__init__(size, tuple(mean), tuple(std), Resampling(preparer.resample).name.lower())
        self.preparer = preparer

    def settings(self) -> dict[str, Any]:
        """See ``Storable``: all that the preparer says of itself, and the version of its code."""
        own = {"preparer": self.preparer.to_dict(), "transformers": importlib.metadata.version("transformers")}
        return {**super().settings(), **own}

    def _place(self, image: Image) -> Any:
        """The picture at its final scale, colours (height, width, 3) uint8."""
        preparer = self.preparer
        shortest = preparer.size.shortest_edge if preparer.do_resize else None
        if shortest and shortest**2 * max(image.size) // min(image.size) > MOST_SCALED:
            return super()._place(image)  # of a picture like a line only what stays is scaled
        colours = np.asarray(image, np.uint8).transpose(2, 0, 1)
        if preparer.do_resize:
            colours = preparer.resize(colours, preparer.size, resample=preparer.resample)
        if preparer.do_center_crop:
            colours = preparer.center_crop(colours, preparer.crop_size)
        return colours.transpose(1, 2, 0)
