"""``FrameParts`` and ``WaveformParts``: spans of a sound that are silenced; their log-mel frames are to be told.

Papers: Liu et al. 2020, "Mockingjay", arXiv:1910.12638, and Liu et al. 2021, "TERA", arXiv:2007.06028 (alteration along
time): 15 % of the frames of a spectrogram in spans of 7, replaced by zeros, and regressed with the absolute error.
Differs from them: all spans are replaced by zeros, none by other frames or by itself; frames at either side that share
samples with a span are hidden too and not scored, and the frames that are read are normalised by themselves alone, so
that nothing of a scored frame is read; a token of an encoder that thins the frames tells all that it stands for. For
encoders of waveforms (wav2vec 2.0, HuBERT, WavLM) the samples are replaced by zeros, and what is told is the log-mel
frame of each token; that is no contrastive and no cluster objective of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmbert.core.errors import ConfigError
from mmbert.core.masks import blank
from mmbert.core.types import Inputs
from mmbert.encoders.processors.audio import AudioProcessor
from mmbert.encoders.processors.log_mel import LogMelProcessor, log_mel_of, standardise_frames
from mmbert.encoders.processors.token_grid import TokenGrid
from mmbert.tasks.masking.hidden_parts import HiddenParts, chosen_spans, widened

#: Bands of the frames that an encoder of waveforms tells.
MEL_BANDS = 80


class FrameParts:
    """A part is a log-mel frame, for encoders that read such frames; see ``InputParts``.

    Args:
        processor: of the encoder.

    Raises:
        ConfigError: the encoder does not say which frames a token stands for.
    """

    before, squared, share, span = 0, False, 0.15, 7

    def __init__(self, processor: LogMelProcessor) -> None:
        self.width = processor.num_mels
        log_mel = processor.log_mel
        self.mel = (processor.sample_rate_hz, processor.num_mels, log_mel.window, log_mel.hop)
        self.margin = -(-log_mel.window // log_mel.hop) - 1  # frames to either side that share samples
        above = known_windows(processor)[1:]
        self.per_token = int(np.prod([stride for _, stride, _ in above], initial=1))
        thinned = TokenGrid(processor.sample_rate_hz, above)
        if any(thinned.count(n) != -(-n // self.per_token) for n in range(1, 4 * self.per_token)):
            raise ConfigError("tasks: masked features need an audio encoder whose tokens stand for all frames in turn.")

    def hide(
        self, inputs: Inputs, randoms: Sequence[np.random.Generator | None], share: float, span: int
    ) -> HiddenParts:
        """See ``InputParts``: waveform (B, T) or frames (B, L, W), and mask -> frames."""
        if "frames" in inputs:
            frames, real = inputs["frames"].float(), inputs["mask"]
        else:
            with torch.no_grad():
                frames, real = log_mel_of(*self.mel).raw_frames(inputs["waveform"], inputs["mask"])
        chosen = chosen_spans(real.numpy(), share, span, randoms)
        read = real & ~torch.from_numpy(widened(chosen, self.margin))
        hidden = torch.from_numpy(chosen)
        vectors = blank(standardise_frames(frames, real), hidden)
        changed = {"frames": standardise_frames(frames, read), "mask": real}
        return HiddenParts(changed, self._by_token(hidden), self._by_token(vectors))

    def _by_token(self, frames: Tensor) -> Tensor:
        """(B, L, ...) -> (B, tokens, G, ...)."""
        lacking = -frames.shape[1] % self.per_token
        longer = F.pad(frames, (0, 0) * (frames.ndim - 2) + (0, lacking))
        return longer.unflatten(1, (-1, self.per_token))


class WaveformParts:
    """A part is the log-mel frame of the samples that a token sees, for encoders of waveforms; see ``InputParts``.

    Args:
        processor: of the encoder.

    Raises:
        ConfigError: the encoder does not say which samples a token sees.
    """

    before, per_token, squared, share, span, width = 0, 1, False, 0.15, 7, MEL_BANDS

    def __init__(self, processor: AudioProcessor) -> None:
        window, hop = 1, 1
        for length, stride, padding in reversed(known_windows(processor)):
            window, hop = (window - 1) * stride + length, hop * stride
            if padding:
                raise ConfigError("tasks: masked features cannot hide samples of an encoder that pads its sounds.")
        self.mel = (processor.sample_rate_hz, MEL_BANDS, window, hop)

    def hide(
        self, inputs: Inputs, randoms: Sequence[np.random.Generator | None], share: float, span: int
    ) -> HiddenParts:
        """See ``InputParts``: waveform (B, T), mask (B, T)."""
        *_, window, hop = self.mel
        waveform, mask = inputs["waveform"], inputs["mask"]
        with torch.no_grad():
            frames, real = log_mel_of(*self.mel)(waveform, mask)
        hidden = torch.from_numpy(chosen_spans(real.numpy(), share, span, randoms))
        silent = np.zeros(tuple(mask.shape), bool)
        for row, token in hidden.nonzero().tolist():
            silent[row, token * hop : token * hop + window] = True
        changed = {**inputs, "waveform": waveform.masked_fill(torch.from_numpy(silent), 0.0)}
        return HiddenParts(changed, hidden, blank(frames, hidden))


def known_windows(processor: AudioProcessor) -> tuple[tuple[int, int, int], ...]:
    """The windows that an encoder slides over a sound.

    Raises:
        ConfigError: it does not say.
    """
    if processor.grid is None:
        raise ConfigError(
            "tasks: masked features need an audio encoder that says when its tokens are: "
            "give its processor a TokenGrid."
        )
    return processor.grid.windows
