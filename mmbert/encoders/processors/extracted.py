"""``ExtractedProcessor``: sounds as a feature extractor of transformers prepares them, one class a kind of model.

Each sound is given to the extractor alone, so that nothing of it depends on a batch. Sounds are resampled to the
extractor's rate and cut first; what an extractor would draw at random (which part of a long sound CLAP hears, dither)
is left out.
"""

from __future__ import annotations

import importlib.metadata
import math
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mmbert.core.errors import ConfigError
from mmbert.core.types import Inputs
from mmbert.encoders.processors.audio import AudioProcessor, padded
from mmbert.encoders.processors.token_grid import TokenGrid


class ExtractedProcessor(AudioProcessor):
    """Sounds of any rate -> what a feature extractor makes of them.

    Args:
        extractor: of transformers; its rate is that of the waveforms that it is given.
        max_seconds: longer sounds are cut.
        min_samples, grid: see ``AudioProcessor``.

    Attributes:
        most_seconds: the longest sound that the model reads; None = any.

    Raises:
        ConfigError: ``max_seconds`` is more than the model reads, or too little for a token.
    """

    most_seconds: float | None = None

    def __init__(self, extractor: Any, max_seconds: float, min_samples: int, grid: TokenGrid | None = None) -> None:
        if self.most_seconds is not None and max_seconds > self.most_seconds:
            raise ConfigError(
                f"max_seconds={max_seconds}: this model reads {self.most_seconds:.5g} seconds at most. "
                f"Set max_seconds={self.most_seconds:.5g}, or less."
            )
        super().__init__(extractor.sampling_rate, max_seconds, min_samples, grid)
        self.preparer = extractor

    def settings(self) -> dict[str, Any]:
        """See ``Storable``: all that the extractor says of itself, and the version of its code."""
        own = {"extractor": self.preparer.to_dict(), "transformers": importlib.metadata.version("transformers")}
        return {**super().settings(), **own}

    def prepare(self, raw: tuple[np.ndarray, int]) -> Tensor:
        """(waveform (T,) float32, its rate in hertz) -> what the extractor makes of it, less padding."""
        waveform = super().prepare(raw)
        return torch.from_numpy(np.ascontiguousarray(self.extracted(waveform.numpy()), np.float32))

    def extracted(self, waveform: np.ndarray) -> np.ndarray:
        """waveform (T,) at the extractor's rate -> (T,) or (L, N)."""
        raise NotImplementedError

    def extract(self, waveform: np.ndarray, key: str) -> np.ndarray:
        """The extractor's own output for one sound, without the dimension of the batch."""
        made = self.preparer(waveform, sampling_rate=self.sample_rate_hz, return_tensors="np")
        found: np.ndarray = made[key][0]
        return found


class SpeechProcessor(ExtractedProcessor):
    """wav2vec 2.0, HuBERT, WavLM: waveforms, each with mean 0 and variance 1 if the extractor says so."""

    def extracted(self, waveform: np.ndarray) -> np.ndarray:
        """See ``ExtractedProcessor``: (T,)."""
        return self.extract(waveform, "input_values")


class FramesProcessor(ExtractedProcessor):
    """Log-mel frames of a sound, without those that the extractor adds to reach its fixed length."""

    @property
    def bands(self) -> int:
        """N, mel bands of a frame."""
        raise NotImplementedError

    def unpack(self, long: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        """See ``Storable``: -> (L, N)."""
        return long.reshape(-1, self.bands)

    def collate(self, prepared: list[Tensor | np.ndarray | None]) -> Inputs:
        """Sounds (None = missing) -> frames (B, L, N) float, mask (B, L) bool."""
        frames, mask = padded(prepared, 1, self.bands)
        return {"frames": frames, "mask": mask}


class WhisperProcessor(FramesProcessor):
    """Whisper: log-mel frames, cut to 8 below the sound's highest (in powers of ten).

    A frame is the sound's own if any of its window is: of T samples the first ceil(T / hop) have their middle in it,
    and ``TAIL`` more reach back into it. The rest of the 30 seconds is silence of one value, which the network adds.
    """

    TAIL = 2

    def __init__(self, extractor: Any, max_seconds: float) -> None:
        extractor.dither = 0.0  # a sample's tokens are not drawn
        rate, hop, window = extractor.sampling_rate, extractor.hop_length, extractor.n_fft
        if math.ceil(window / 2 / hop) != self.TAIL:
            raise ConfigError(f"Whisper's windows of {window} samples every {hop} are none that this encoder knows.")
        self.most_seconds = extractor.n_samples / rate
        grid = TokenGrid(rate, ((window, hop, window // 2), (3, 1, 1), (3, 2, 1)))
        super().__init__(extractor, max_seconds, 1, grid)

    @property
    def bands(self) -> int:
        """See ``FramesProcessor``."""
        return int(self.preparer.feature_size)

    def extracted(self, waveform: np.ndarray) -> np.ndarray:
        """See ``ExtractedProcessor``: (L, N)."""
        own = math.ceil(len(waveform) / self.preparer.hop_length) + self.TAIL
        return self.extract(waveform, "input_features").T[:own]

    def alignment(self, raw: tuple[np.ndarray, int]) -> dict[str, Any]:
        """See ``Aligned``."""
        return self.alignment_of(self.prepare(raw))

    def alignment_of(self, prepared: Tensor | np.ndarray) -> dict[str, Any]:
        """See ``AlignedAsPrepared``: of frames (L, N)."""
        return self.alignment_of_tokens(whisper_tokens(len(prepared), self.preparer.nb_max_frames))


def whisper_tokens(frames: Any, most: int) -> Any:
    """How many tokens of Whisper begin in a sound with so many frames of its own: two frames make a token.

    Args:
        frames: a number, or (B,) of them.
        most: frames of the longest sound, which has no tail.
    """
    ended = frames - WhisperProcessor.TAIL * (frames < most)
    return (ended + 1) // 2


class SpectrogramProcessor(FramesProcessor):
    """AST: Kaldi's log-mel frames, each with its whole window in the sound, normalised by numbers of AudioSet."""

    WINDOW_SECONDS, HOP_SECONDS = 0.025, 0.01  # torchaudio.compliance.kaldi.fbank's own, which the extractor keeps

    def __init__(self, extractor: Any, max_seconds: float) -> None:
        rate = extractor.sampling_rate
        self.window, self.hop = int(rate * self.WINDOW_SECONDS), int(rate * self.HOP_SECONDS)
        self.most_seconds = ((extractor.max_length - 1) * self.hop + self.window) / rate
        super().__init__(extractor, max_seconds, self.window)

    @property
    def bands(self) -> int:
        """See ``FramesProcessor``."""
        return int(self.preparer.num_mel_bins)

    def extracted(self, waveform: np.ndarray) -> np.ndarray:
        """See ``ExtractedProcessor``: (L, N)."""
        return self.extract(waveform, "input_values")[: (len(waveform) - self.window) // self.hop + 1]


class ClapProcessor(ExtractedProcessor):
    """CLAP: a log-mel spectrogram of fixed length, shorter sounds repeated as the extractor says.

    All of it is one input, as a picture is. Longer sounds are cut at their end: the extractor would take a part at
    random, of fused models four.

    Attributes:
        one_size: inputs have no length of their own.
    """

    one_size: ClassVar[bool] = True

    def __init__(self, extractor: Any, max_seconds: float) -> None:
        self.most_seconds = extractor.nb_max_samples / extractor.sampling_rate
        super().__init__(extractor, max_seconds, extractor.hop_length)

    def extracted(self, waveform: np.ndarray) -> np.ndarray:
        """See ``ExtractedProcessor``: (T, N); of a fused model's four, which are the same, the first."""
        return self.extract(waveform, "input_features")[0]

    @property
    def shape(self) -> tuple[int, int]:
        """T frames and N bands of every sound."""
        return self.preparer.nb_max_samples // self.preparer.hop_length + 1, int(self.preparer.feature_size)

    def unpack(self, long: np.ndarray, fixed: np.ndarray) -> np.ndarray:
        """See ``Storable``: -> (T, N)."""
        return long.reshape(self.shape)

    def collate(self, prepared: list[Tensor | np.ndarray | None]) -> Inputs:
        """Sounds (None = missing) -> spectrogram (B, T, N) float, mask (B, 1) bool."""
        whole = np.zeros((len(prepared), *self.shape), np.float32)
        for row, sound in enumerate(prepared):
            if sound is not None:
                whole[row] = sound
        mask = torch.tensor([[sound is not None] for sound in prepared])
        return {"spectrogram": torch.from_numpy(whole), "mask": mask}
