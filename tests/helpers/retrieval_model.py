"""A tiny model of texts and pictures with a retrieval task, and a folder of pictures and texts."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mmbert.encoders.image import ImageEncoder
from mmbert.encoders.text import TextEncoder
from mmbert.fusion.mean import MeanFusion
from mmbert.model import MultimodalModel
from mmbert.tasks.retrieval import Retrieval


def retrieval_model(seed: int = 0) -> MultimodalModel:
    torch.manual_seed(seed)
    encoders = {
        "text": TextEncoder("tiny", max_tokens=24),
        "image": ImageEncoder("resnet10t", pretrained=False, image_size=32),
    }
    dims = {name: encoder.out_dim for name, encoder in encoders.items()}
    return MultimodalModel(encoders, MeanFusion(dims, 8), {"pairs": Retrieval(8, dims, embed_dim=6)}).eval()


def fill_folder(folder: Path, count: int = 6) -> None:
    draw = np.random.default_rng(0)
    (folder / "deep").mkdir(parents=True)
    for i in range(count):
        pixels = draw.integers(0, 255, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / ("deep" if i % 2 else "") / f"picture{i}.png")
    (folder / "note.txt").write_text("a red house", encoding="utf-8")
