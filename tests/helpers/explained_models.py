"""A linear model whose explanation is known, and a real tiny one of three modalities with a batch."""

import numpy as np
import torch
from torch import nn

from mmbert.core.types import Batch, Encoded
from mmbert.encoders.base import Encoder
from mmbert.encoders.continuous import Continuous
from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.melspec_cnn import MelspecCNN
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.base import Fusion
from mmbert.fusion.cross_attention import CrossAttentionFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.classification import Classification
from mmbert.tasks.multilabel import Multilabel
from mmbert.tasks.regression import Regression


class Plain(Encoder):
    """The vectors themselves."""

    kind = "features"

    def __init__(self, dim, neutral=0.0):
        super().__init__()
        self.out_dim, self.neutral = dim, neutral

    def continuous(self, inputs):
        return Continuous.of(inputs, "vectors", torch.full_like(inputs["vectors"], self.neutral), "a number")

    def encode(self, inputs):
        return Encoded.from_tokens(inputs["vectors"], inputs["mask"])


class Added(Fusion):
    """W_a a + W_b b, of pooled vectors."""

    def __init__(self, dims, out_dim):
        super().__init__(dims, out_dim)
        self.layers = nn.ModuleDict({name: nn.Linear(dim, out_dim, bias=False) for name, dim in dims.items()})

    def fuse(self, inputs):
        return sum(self.layers[name](x.pooled) for name, x in inputs.items())


def linear_model():
    torch.manual_seed(0)
    task = Regression(4, "value", mean=5.0, std=2.0, dropout=0.0)
    return MultimodalModel({"a": Plain(2), "b": Plain(3)}, Added({"a": 2, "b": 3}, 4), {"value": task}).eval()


def vectors(seed=0):
    generator = torch.Generator().manual_seed(seed)
    a = {"vectors": torch.randn(3, 2, 2, generator=generator), "mask": torch.ones(3, 2).bool()}
    b = {"vectors": torch.randn(3, 4, 3, generator=generator), "mask": torch.ones(3, 4).bool()}
    a["mask"][1, 1] = False
    b["mask"][2] = False
    return {"a": a, "b": b}


def real_model(fusion=CrossAttentionFusion, kind="classification", frozen=False):
    torch.manual_seed(1)
    encoders = {
        "text": TextEncoder("tiny", frozen=frozen),
        "image": ImageEncoder("tiny", pretrained=False, image_size=16, frozen=frozen),
        "audio": MelspecCNN(out_dim=16, channels=(4, 8), time_strides=(2, 2), num_mels=16, frozen=frozen),
    }
    tasks = {
        "classification": lambda: Classification(8, "answer", ["a", "b", "c"], dropout=0.0),
        "multilabel": lambda: Multilabel(8, "answer", ["a", "b", "c"], dropout=0.0),
        "regression": lambda: Regression(8, "answer", mean=3.0, std=2.0, dropout=0.0),
    }
    dims = {name: encoder.out_dim for name, encoder in encoders.items()}
    model = MultimodalModel(encoders, fusion(dims, 8), {"answer": tasks[kind]()})
    with torch.no_grad():  # untrained heads say nearly nothing
        for weight in model.tasks.parameters():
            weight.mul_(6)
    return model.eval()


def real_batch(model, size=4, seed=0):
    """Texts and sounds of unlike length; the second has no sound, the third no text, the last no picture."""
    draws = np.random.default_rng(seed)
    texts = ["a longer text than others", "short", None, "你好 word"][:size]
    sounds = [(draws.standard_normal(n).astype(np.float32) / 4, 16000) for n in (8000, 0, 4000, 6000)][:size]
    encoders = model.named_encoders()
    pictures = [torch.from_numpy(draws.standard_normal((3, 16, 16)).astype(np.float32)) for _ in range(size)]
    prepared = {
        "text": [None if t is None else encoders["text"].processor.prepare(t) for t in texts],
        "image": [None if place == 3 else each for place, each in enumerate(pictures)],
        "audio": [encoders["audio"].processor.prepare(s) if len(s[0]) else None for s in sounds],
    }
    inputs = {name: encoders[name].processor.collate(prepared[name]) for name in encoders}
    aligned = {"text": [None if t is None else encoders["text"].processor.alignment(t) for t in texts]}
    return Batch(inputs, {}, torch.arange(size), (), aligned)
