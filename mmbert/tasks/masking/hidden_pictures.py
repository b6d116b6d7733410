"""``PictureParts``: blocks of a picture that become the mean colour; their pixels are to be told.

Paper: Xie et al. 2022, "SimMIM: A Simple Framework for Masked Image Modeling", arXiv:2111.09886: blocks of 32 of 224
pixels on a fixed grid, a share of 0.6 of them, one linear layer from a token to the normalised pixels of its patch, the
absolute error of hidden pixels alone. Differs from it: what is hidden is hidden in the picture, not behind the patch
embedding, so that convolutional networks can be trained too (as Pathak et al. 2016, "Context Encoders",
arXiv:1604.07379, put the mean colour in). A vision transformer then has no mask token of its own: it reads the bias of
its patch embedding there. And tokens are read after fusion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmbert.core.errors import ConfigError
from mmbert.core.types import Inputs
from mmbert.encoders.image import ImageEncoder
from mmbert.tasks.masking.hidden_parts import HiddenParts

#: A block's side in parts of the picture's shorter side, as 32 of 224 pixels.
BLOCKS_A_SIDE = 7


class PictureParts:
    """A part is the patch of pixels that a token stands for; see ``InputParts``. ``span`` is a block's side in patches.

    Args:
        before: tokens before those of the picture.
        rows, columns: of patches.
        size: height and width of the picture in pixels.
        padded: whether a picture may be smaller than its frame, which is 0 around it: such patches are not hidden.

    Raises:
        ConfigError: the picture cannot be cut into that many equal patches.
    """

    per_token, squared, share = 1, False, 0.6

    def __init__(self, before: int, rows: int, columns: int, size: tuple[int, int], padded: bool = False) -> None:
        height, width = size
        if height % rows or width % columns:
            raise ConfigError(
                f"tasks: masked features need pictures that {rows} × {columns} tokens divide into equal patches, and "
                f"{height} × {width} pixels are not: set image_size=[{-(-height // rows) * rows}, "
                f"{-(-width // columns) * columns}] of the encoder, or another multiple of its stride."
            )
        self.before, self.rows, self.columns, self.padded = before, rows, columns, padded
        self.patch = (height // rows, width // columns)
        self.width = 3 * self.patch[0] * self.patch[1]
        self.span = max(1, round(min(size) / BLOCKS_A_SIDE / max(self.patch)))

    @classmethod
    def of(cls, encoder: ImageEncoder) -> PictureParts:
        """Of what an encoder reads."""
        processor = encoder.processor
        return cls(*encoder.token_positions(), processor.size, processor.fit == "pad")

    def hide(
        self, inputs: Inputs, randoms: Sequence[np.random.Generator | None], share: float, span: int
    ) -> HiddenParts:
        """See ``InputParts``: pixels (B, 3, height, width), mask (B, 1)."""
        pixels, present = inputs["pixels"], inputs["mask"].flatten(1).any(1).tolist()
        chosen = np.zeros((len(pixels), self.rows, self.columns), bool)
        for row, random in enumerate(randoms):
            if random is not None and present[row]:
                chosen[row] = self._blocks(share, span, random)
        hidden = torch.from_numpy(chosen) & self._whole(pixels)
        down, across = self.patch
        spread = hidden.repeat_interleave(down, 1).repeat_interleave(across, 2).unsqueeze(1)  # (B, 1, height, width)
        vectors = self.patches(torch.where(spread, pixels.float(), 0.0)).flatten(1, 2)
        changed = {**inputs, "pixels": pixels.masked_fill(spread, 0.0)}
        return HiddenParts(changed, hidden.flatten(1), vectors)

    def _blocks(self, share: float, span: int, random: np.random.Generator) -> np.ndarray:
        """(rows, columns) bool: whole blocks, about ``share`` of them."""
        down, across = -(-self.rows // span), -(-self.columns // span)
        count = int(share * down * across + random.random())
        blocks = np.zeros(down * across, bool)
        blocks[random.permutation(down * across)[:count]] = True
        wide: np.ndarray = blocks.reshape(down, across).repeat(span, 0).repeat(span, 1)
        return wide[: self.rows, : self.columns]

    def patches(self, pixels: Tensor) -> Tensor:
        """pixels (B, C, height, width) -> (B, rows, columns, C · height of a patch · width of a patch)."""
        cut = pixels.unflatten(3, (self.columns, self.patch[1])).unflatten(2, (self.rows, self.patch[0]))
        return cut.permute(0, 2, 4, 1, 3, 5).flatten(3)

    def _whole(self, pixels: Tensor) -> Tensor:
        """(B, rows, columns) bool: patches without any padding."""
        if not self.padded:
            return torch.ones(len(pixels), self.rows, self.columns, dtype=torch.bool)
        coloured = (pixels != 0).any(1)  # padding is 0 in every colour, and lies around the picture
        inside = reached(coloured.any(2)).unsqueeze(2) & reached(coloured.any(1)).unsqueeze(1)  # (B, height, width)
        return self.patches(inside.unsqueeze(1)).all(3)


def reached(there: Tensor) -> Tensor:
    """(B, N) bool -> True from the first True to the last of each row."""
    counts = there.int()
    return (counts.cumsum(1) > 0) & (counts.flip(1).cumsum(1).flip(1) > 0)
