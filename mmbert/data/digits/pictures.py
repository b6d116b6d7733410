"""Images of numbers for talking_digits, made of real handwritten digits and degraded by known amounts.

The scans are scikit-learn's copy of the UCI optical recognition of handwritten digits (1,797 scans of 8 by 8 pixels).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 40, 56


@dataclass(frozen=True)
class PictureDifficulty:
    """How images are degraded; each image draws its own values up to these.

    Attributes:
        noise: deviation of the pixel noise, as a share of full scale, at most.
        blur: deviation in pixels of the Gaussian blur, at most.
        occlusion: share of pictures in which bars of grey cover parts of the number.
        rotation: degrees either way, at most.
        contrast: difference of ink and paper, as a share of full scale, at least.
    """

    noise: float = 0.1
    blur: float = 1.0
    occlusion: float = 0.15
    rotation: float = 15.0
    contrast: float = 0.45


def scans_by_split(shares: dict[str, int], seed: int) -> dict[str, dict[int, np.ndarray]]:
    """The scans, dealt out so that no scan is in two splits.

    Args:
        shares: relative size of each split's share.
        seed: of the dealing.

    Returns:
        {split: {digit: (n, 8, 8) float in [0, 1], 1 = ink}}.
    """
    from sklearn.datasets import load_digits

    loaded = load_digits()
    images, digits = loaded.images / 16.0, loaded.target
    rng = np.random.default_rng([seed, 1])
    total = sum(shares.values())
    dealt: dict[str, dict[int, np.ndarray]] = {split: {} for split in shares}
    for digit in range(10):
        mine = rng.permutation(np.flatnonzero(digits == digit))
        start = 0
        edges = np.cumsum(list(shares.values())) / total
        for split, edge in zip(shares, edges, strict=True):
            stop = round(edge * len(mine))
            dealt[split][digit] = images[mine[start:stop]]
            start = stop
    return dealt


def draw_number(
    number: int, scans: dict[int, np.ndarray], rng: np.random.Generator, difficulty: PictureDifficulty
) -> Image.Image:
    """A number of one or two digits as a grey picture of 40 by 56 pixels."""
    from scipy.ndimage import gaussian_filter

    ink = np.zeros((HEIGHT, WIDTH), np.float32)
    digits = [int(c) for c in str(number)]
    size = rng.uniform(20, 30)
    left = rng.uniform(1, max(2.0, WIDTH - 1 - 0.8 * size * len(digits)))
    top = rng.uniform(1, HEIGHT - size - 1)
    for place, digit in enumerate(digits):
        scan = scans[digit][rng.integers(len(scans[digit]))]
        side = round(size * rng.uniform(0.9, 1.1))
        glyph = Image.fromarray(scan.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
        glyph = glyph.rotate(rng.uniform(-difficulty.rotation, difficulty.rotation), Image.Resampling.BILINEAR)
        corner = (round(left + place * 0.8 * size), round(top + rng.uniform(-2, 2)))
        layer = Image.new("F", (WIDTH, HEIGHT), 0.0)
        layer.paste(glyph, corner)
        ink = np.maximum(ink, np.asarray(layer))
    pixels = np.clip(gaussian_filter(ink, rng.uniform(0, difficulty.blur)), 0, 1)
    contrast = rng.uniform(difficulty.contrast, 1.0)
    paper = rng.uniform(0, 1 - contrast)
    shade = paper + contrast * (1 - pixels)
    shade = cover(shade, rng, difficulty.occlusion)
    shade = shade + rng.normal(0, rng.uniform(0, difficulty.noise), shade.shape)
    return Image.fromarray((np.clip(shade, 0, 1) * 255).round().astype(np.uint8))


def cover(shade: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    """One to three grey bars over the picture, in ``share`` of the cases."""
    if rng.random() >= share:
        return shade
    shade = shade.copy()
    for _ in range(rng.integers(1, 4)):
        thick, grey = int(rng.integers(2, 7)), rng.random()
        if rng.random() < 0.5:
            start = int(rng.integers(0, WIDTH - thick))
            shade[:, start : start + thick] = grey
        else:
            start = int(rng.integers(0, HEIGHT - thick))
            shade[start : start + thick, :] = grey
    return shade
