"""Data augmentation for series: noise, scaling, and stretches that are taken away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np

from mmbert.core.errors import ConfigError
from mmbert.core.ranges import Range
from mmbert.data.augment.base import InputAugmentation


@dataclass
class SeriesAugmentation(InputAugmentation):
    """Options of ``augment.series``: what happens to a training series, in this order, before it is put on a grid.

    Noise and scaling are those of Um et al. 2017, "Data Augmentation of Wearable Sensor Data for Parkinson's Disease
    Monitoring using Convolutional Neural Networks", arXiv:1706.00527, in standard scores of train.

    Attributes:
        noise: normal noise added to each number, in standard deviations of train.
        scale: each channel's distance from the mean of train is multiplied by a number drawn from N(1, ``scale``²).
        gap_share: all numbers in a stretch of at most this share of the series' duration are taken away; never the
            last one.

    Raises:
        ConfigError: an option lies outside its range.
    """

    noise: Annotated[float, Range(0)] = 0.0
    scale: Annotated[float, Range(0)] = 0.0
    gap_share: Annotated[float, Range(0, below=1)] = 0.0

    def __post_init__(self) -> None:
        for name, value in (("noise", self.noise), ("scale", self.scale)):
            if not 0 <= value < float("inf"):
                raise ConfigError(f"augment.series.{name}={value} must be at least 0.")
        if not 0 <= self.gap_share < 1:
            raise ConfigError(f"augment.series.gap_share={self.gap_share} must be at least 0 and below 1.")

    @property
    def active(self) -> bool:
        """Whether anything happens."""
        return bool(self.noise or self.scale or self.gap_share)

    def check(self, encoder: str, processor: Any) -> None:
        """Refuses a processor that knows no means and deviations.

        Raises:
            ConfigError: names the encoder.
        """
        if (self.noise or self.scale) and not hasattr(processor, "statistics"):
            raise ConfigError(
                f"augment.series.noise and scale are in deviations of train, which the encoder '{encoder}' does not "
                "know: augment.series.gap_share alone can be used."
            )

    def prepare(self, raw: Any, processor: Any, random: np.random.Generator) -> Any:
        """See ``InputAugmentation``."""
        if not self.active:
            return processor.prepare(raw)
        known: Mapping[str, Mapping[str, float]] = getattr(processor, "statistics", {})
        mean = np.array([known[name]["mean"] if name in known else 0.0 for name in raw.channels])
        std = np.array([known[name]["std"] if name in known else 0.0 for name in raw.channels])
        return processor.prepare(replace(raw, values=self(raw.times, raw.values, mean, std, random)))

    def __call__(
        self, times: np.ndarray, values: np.ndarray, mean: np.ndarray, std: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """Changed values.

        Args:
            times: (n,) seconds.
            values: (n, C), NaN where there is none; it is left as it is.
            mean: (C,) of train.
            std: (C,) of train.
            random: the sample's own random numbers; what one option draws does not depend on the others.

        Returns:
            (n, C); NaN stays NaN.
        """
        noise_random, scale_random, gap_random = random.spawn(3)
        if self.noise:
            values = values + self.noise * std * noise_random.standard_normal(values.shape)
        if self.scale:
            values = mean + (values - mean) * (1 + self.scale * scale_random.standard_normal(values.shape[1]))
        if self.gap_share:
            values = without_stretch(times, values, self.gap_share * gap_random.random(), gap_random.random())
        return values


def without_stretch(times: np.ndarray, values: np.ndarray, share: float, place: float) -> np.ndarray:
    """A series without the numbers of a stretch of time; as it is where none would be left.

    Args:
        times: (n,) seconds, ascending.
        values: (n, C).
        share: of the time from the first row to the last one that the stretch takes.
        place: from 0, where it begins with the first row, to 1, where it ends with the last one.
    """
    if not len(times):
        return values
    seconds = times[-1] - times[0]
    start = times[0] + place * (1 - share) * seconds
    gone = (times >= start) & (times < start + share * seconds)
    changed = np.where(gone[:, None], np.nan, values)
    return changed if np.isfinite(changed).any() else values
