"""``MultimodalModel``, which holds encoders, fusion and tasks as one ``nn.Module``; saving, loading and the hub."""

from mmbert.model.model import MultimodalModel
from mmbert.model.output import ModelOutput

__all__ = ["ModelOutput", "MultimodalModel"]
