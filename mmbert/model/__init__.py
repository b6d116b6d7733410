"""``MultimodalModel``, which holds encoders, fusion and tasks as one ``nn.Module``; saving, loading and the hub."""

from mmbert.model.model import ModelOutput, MultimodalModel

__all__ = ["ModelOutput", "MultimodalModel"]
