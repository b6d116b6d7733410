"""Saved models, as ``save_pretrained`` writes them: config, weights, a frozen encoder's file, tokenizer, card."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random
from typing import Any

from damage_harness.mutate_bytes import damage_file_bytes
from damage_harness.mutate_trees import damage_json
from damage_harness.subject import Subject, all_files

#: Of models that earlier versions saved: what is damaged, but well formed, cannot be known.
WITHOUT = "no checksums,"


class SavedModels(Subject):
    """A model of three encoders and three tasks is loaded and asked."""

    name = "saved models"
    inputs = 1000
    quick = 12
    imports = ("mmbert.model", "mmbert.encoders.text", "mmbert.encoders.image", "mmbert.encoders.melspec_cnn")

    def make(self, folder: Path) -> None:
        """Random little networks; the one for pictures is frozen, so its weights are in a file of their own."""
        import torch

        from mmbert.encoders.image import ImageEncoder
        from mmbert.encoders.melspec_cnn import MelspecCNN
        from mmbert.encoders.text import TextEncoder
        from mmbert.fusion.concat import ConcatFusion
        from mmbert.model import MultimodalModel
        from mmbert.tasks.classification import Classification
        from mmbert.tasks.multilabel import Multilabel
        from mmbert.tasks.regression import Regression

        torch.manual_seed(0)
        encoders = {
            "text": TextEncoder("tiny", pretrained=False),
            "image": ImageEncoder("tiny", pretrained=False, frozen=True),
            "audio": MelspecCNN(8, channels=[4], time_strides=[2], num_mels=8),
        }
        fusion = ConcatFusion({name: encoder.out_dim for name, encoder in encoders.items()}, 8)
        tasks = {
            "animal": Classification(8, "animal", ["cat", "dog", "cow"]),
            "tags": Multilabel(8, "tags", ["big", "small"]),
            "age": Regression(8, "age", mean=3.0, std=2.0),
        }
        MultimodalModel(encoders, fusion, tasks).save_pretrained(folder / "model")

    def damage(self, draw: Random, folder: Path) -> str:
        """Of JSON the tree, of weights the tensors, of any file the bytes; of every other model without checksums."""
        if draw.random() < 0.5:
            return self.damage_file(draw, folder)
        config = folder / "model" / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text("utf-8")), "checksums": {}}), encoding="utf-8")
        return f"{WITHOUT} {self.damage_file(draw, folder)}"

    def damage_file(self, draw: Random, folder: Path) -> str:
        """Damages one file."""
        path = draw.choice(all_files(folder))
        if path.suffix == ".json":
            return damage_json(draw, path)
        if path.suffix == ".safetensors" and draw.random() < 0.6:
            return damage_tensors(draw, path)
        if draw.random() < 0.1:
            path.unlink()
            return f"{path.name} missing"
        return damage_file_bytes(draw, path)

    def use(self, folder: Path) -> Any:
        """The answers to two samples."""
        import numpy as np
        from PIL import Image

        from mmbert.model import MultimodalModel

        model = MultimodalModel.from_pretrained(folder / "model")
        sound = np.sin(np.arange(3200) / 20).astype(np.float32)
        sample = {"text": "two words", "image": Image.new("RGB", (20, 20), (9, 99, 199)), "audio": sound}
        return model.predict([sample, {"text": "three words here"}])

    def wrong(self, found: Any, whole: Any, what: str) -> str:
        """Numbers are finite; with checksums, damage to anything but ``config.json`` changes none of them."""
        odd = [number for number in numbers_in(found) if not math.isfinite(number)]
        if odd:
            return f"answers with {odd[0]}"
        if not what.startswith(("config.json", WITHOUT)) and found != whole:
            return f"other answers: {json.dumps(found)[:1000]}"
        return ""


def damage_tensors(draw: Random, path: Path) -> str:
    """Writes one tensor of a safetensors file anew: not finite, of another shape, type or name, or not at all."""
    import torch
    from safetensors.torch import load_file, save_file

    state = load_file(path)
    name = draw.choice(sorted(state))
    way = draw.choice(("nan", "inf", "shape", "half", "integer", "drop", "rename", "extra", "empty", "huge"))
    tensor = state[name]
    if way in ("nan", "inf"):
        changed = tensor.float().clone().reshape(-1)
        changed[draw.randrange(len(changed)) :: draw.choice((1, 7, 10**9))] = math.nan if way == "nan" else math.inf
        state[name] = changed.reshape(tensor.shape)
    elif way == "shape":
        state[name] = draw.choice((tensor.reshape(-1)[:-1], tensor.unsqueeze(0), torch.cat([tensor.reshape(-1)] * 2)))
    elif way in ("half", "integer"):
        state[name] = tensor.half() if way == "half" else tensor.long()
    elif way in ("drop", "rename"):
        state |= {f"{name}_2": state[name]} if way == "rename" else {}
        del state[name]
    elif way == "extra":
        state["x.y"] = torch.ones(3)
    elif way == "empty":
        state[name] = tensor.new_zeros(0)
    else:
        state[name] = tensor.float() * 1e38
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return f"{path.name}: tensor {name}: {way}"


def numbers_in(value: Any) -> list[float]:
    """All numbers of answers, however deep."""
    if isinstance(value, dict):
        return [number for inner in value.values() for number in numbers_in(inner)]
    if isinstance(value, (list, tuple)):
        return [number for inner in value for number in numbers_in(inner)]
    return [float(value)] if isinstance(value, (int, float)) and not isinstance(value, bool) else []
