"""The parts of a first encoder that differ between kinds of input, for ``mmbert-new-encoder``."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Template:
    """Source text, by its place in the class; every line ends with a newline unless it is a single one.

    Attributes:
        summary: the class's docstring.
        imports: below ``from __future__``.
        shapes: the docstring of ``encode``.
        layers: of ``__init__``, the processor too.
        encode: the body.
        arguments: of ``__init__``, beside those that all encoders take.
        documented: their lines in the docstring.
        options: their lines in the YAML file.
        processor: a class of one's own, before the encoder.
    """

    summary: str
    imports: str
    shapes: str
    layers: str
    encode: str
    arguments: str = ""
    documented: str = ""
    options: str = ""
    processor: str = ""

    def parts(self) -> dict[str, str]:
        """By name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


IMAGE = Template(
    summary="Square patches of a picture, each a token, and two layers over each.",
    imports="""\
from torch import nn

from mmbert.core.masks import blank
from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.base import Encoder
from mmbert.encoders.processors.image import ImageProcessor
""",
    shapes="pixels (B, 3, height, width), mask (B, 1) -> tokens (B, L, D), L = (image_size / patch)².",
    arguments="        image_size: int = 32,\n        patch: int = 8,\n",
    documented="        image_size: side in pixels to which pictures are brought.\n"
    "        patch: side of a patch in pixels.\n",
    options="image_size: 32 # side in pixels\npatch: 8 # side of a patch in pixels\n",
    layers="""\
        half = (0.5, 0.5, 0.5)
        self.processor = ImageProcessor((image_size, image_size), mean=half, std=half, fit="pad")
        self.patches = nn.Conv2d(3, out_dim, patch, patch)
        self.layers = nn.Sequential(nn.Linear(out_dim, out_dim), nn.GELU(), nn.Linear(out_dim, out_dim))
""",
    encode="""\
        present = inputs["mask"].any(1)  # (B,)
        patches = self.patches(blank(inputs["pixels"], present)).flatten(2).mT  # (B, L, D)
        tokens = self.dropout(self.norm(patches + self.layers(patches)))
        return Encoded.from_tokens(tokens, present.unsqueeze(1).expand(tokens.shape[:2]))
""",
)

AUDIO = Template(
    summary="Log-mel frames -> two convolutions over time, the first of which takes every second frame.",
    imports="""\
from torch import nn
from torch.nn import functional as F

from mmbert.core.masks import blank
from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.base import Encoder
from mmbert.encoders.processors.log_mel import LogMel, LogMelProcessor, frames_of
""",
    shapes="waveform (B, T) or log-mel frames (B, F, N), and their mask -> tokens (B, L, D), L = F / 2 rounded up.",
    arguments="        max_seconds: float = 10.0,\n        num_mels: int = 40,\n",
    documented="        max_seconds: longer sounds are cut.\n        num_mels: bands of the spectrogram.\n",
    options="max_seconds: 10.0 # longer sounds are cut\nnum_mels: 40 # bands of the spectrogram\n",
    layers="""\
        frames = {"sample_rate_hz": 16000, "num_mels": num_mels, "window_seconds": 0.025, "hop_seconds": 0.016}
        self.log_mel = LogMel(**frames)
        self.processor = LogMelProcessor(LogMel(**frames), 16000, max_seconds)
        self.first = nn.Conv1d(num_mels, out_dim, 3, stride=2, padding=1)
        self.second = nn.Conv1d(out_dim, out_dim, 3, padding=1)
""",
    encode="""\
        frames, real = frames_of(inputs, self.log_mel)  # (B, F, N), (B, F)
        tokens = F.gelu(self.first(blank(frames, real).mT).mT)  # (B, L, D)
        mask = real[:, ::2]  # a token is real if the frame in the middle of its window is
        tokens = self.second(blank(tokens, mask).mT).mT
        return Encoded.from_tokens(self.dropout(self.norm(tokens)), mask)
""",
)

TEXT = Template(
    summary="The bytes of a text -> embeddings and a convolution over neighbouring bytes.",
    imports="""\
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mmbert.core.masks import blank
from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.base import Encoder
""",
    shapes="bytes (B, L) int64, mask (B, L) -> tokens (B, L, D).",
    arguments="        max_tokens: int = 128,\n",
    documented="        max_tokens: longer texts are cut, in bytes.\n",
    options="max_tokens: 128 # longer texts are cut, in bytes\n",
    layers="""\
        self.processor = BytesProcessor(max_tokens)
        self.embed = nn.Embedding(256, out_dim)
        self.convolution = nn.Conv1d(out_dim, out_dim, 5, padding=2)
""",
    encode="""\
        mask = inputs["mask"]
        embedded = blank(self.embed(torch.where(mask, inputs["bytes"], 0)), mask)  # (B, L, D)
        tokens = embedded + self.convolution(embedded.mT).mT
        return Encoded.from_tokens(self.dropout(self.norm(tokens)), mask)
""",
    processor='''\
class BytesProcessor:
    """UTF-8 bytes of a text. It goes to the loader's worker processes: it can be pickled and holds no weights.

    Args:
        max_tokens: longer texts are cut.
    """

    kind = "text"

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens

    def prepare(self, raw: str) -> Tensor:
        """A text -> its bytes (L,) int64; a space for an empty one."""
        return torch.tensor(list(raw.encode("utf-8", "replace")[: self.max_tokens] or b" "))

    def collate(self, prepared: list[Tensor | None]) -> Inputs:
        """Texts (None = missing) -> bytes (B, L) int64, mask (B, L) bool."""
        lengths = torch.tensor([0 if text is None else len(text) for text in prepared])
        rows = [torch.zeros(1, dtype=torch.int64) if text is None else text for text in prepared]
        padded = pad_sequence(rows, batch_first=True)
        return {"bytes": padded, "mask": torch.arange(padded.shape[1]) < lengths.unsqueeze(1)}


''',
)

FEATURES = Template(
    summary="Ready vectors -> a layer over each and a convolution over neighbours.",
    imports="""\
from torch import nn
from torch.nn import functional as F

from mmbert.core.masks import blank
from mmbert.core.types import Encoded, Inputs
from mmbert.encoders.base import Encoder
from mmbert.encoders.features import FeatureProcessor
""",
    shapes="features (B, L, width), mask (B, L) -> tokens (B, L, D).",
    arguments="        width: int = 16,\n        max_tokens: int = 512,\n",
    documented="        width: numbers in a vector.\n        max_tokens: longer sequences are cut.\n",
    options="width: 16 # numbers in a vector\nmax_tokens: 512 # longer sequences are cut\n",
    layers="""\
        self.processor = FeatureProcessor(width, max_tokens)
        self.layer = nn.Linear(width, out_dim)
        self.convolution = nn.Conv1d(out_dim, out_dim, 3, padding=1)
""",
    encode="""\
        mask = inputs["mask"]
        hidden = F.gelu(self.layer(blank(inputs["features"], mask)))  # (B, L, D)
        tokens = hidden + self.convolution(blank(hidden, mask).mT).mT
        return Encoded.from_tokens(self.dropout(self.norm(tokens)), mask)
""",
)

TEMPLATES = {"text": TEXT, "image": IMAGE, "audio": AUDIO, "features": FEATURES}
