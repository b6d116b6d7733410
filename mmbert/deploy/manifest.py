"""``preprocessing.json`` of an exported folder: its files, the encoders' inputs, and the tasks' outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

import mmbert
from mmbert.core.types import Tensors
from mmbert.deploy.exported_graph import Varying
from mmbert.deploy.preprocessing import describe_encoders, describe_task
from mmbert.model import MultimodalModel
from mmbert.model.saving import part_config


@dataclass
class TracedPart:
    """One file to be: what is traced, by which example.

    Attributes:
        module: takes and gives named tensors.
        example: its inputs.
        varying: which of their dimensions vary.
        outputs: its outputs for the example.
    """

    module: nn.Module
    example: Tensors
    varying: Varying
    outputs: Tensors


def export_manifest(
    model: MultimodalModel,
    graphs: Mapping[str, TracedPart],
    files: Mapping[str, Mapping[str, str]],
    kept: Sequence[str],
    left_out: Mapping[str, str],
    folder: Path,
) -> dict[str, Any]:
    """The content of ``preprocessing.json``; the encoders' files are written into the folder."""
    whole = "model" in graphs
    placed = {
        form: {"whole": each["model"]}
        if whole
        else {
            "encoders": {name: each[f"encoder_{name}"] for name in model.named_encoders()},
            "fusion": each["fusion"],
        }
        for form, each in files.items()
    }
    encoders = describe_encoders(model.named_encoders(), folder)
    for name in encoders:
        graph = graphs["model" if whole else f"encoder_{name}"]
        encoders[name]["inputs"] = {
            key: tensor_facts(tensor, graph.varying[key], name)
            for key, tensor in graph.example.items()
            if key.startswith(f"{name}.")
        }
        longest = longest_of(model.named_encoders()[name].processor)
        if longest is not None:
            encoders[name]["longest"] = longest
    outputs = graphs["model" if whole else "fusion"].outputs
    tasks = {}
    for name in kept:
        task = model.named_tasks()[name]
        own = {key: {"dtype": str(x.dtype).removeprefix("torch.")} for key, x in outputs.items()}
        mine = {key: each for key, each in own.items() if key.startswith(f"{name}.")}
        described = {key.removeprefix(f"{name}."): each for key, each in mine.items()}
        assets = folder / "tasks" / name
        assets.mkdir(parents=True)
        task.save_assets(assets)
        if not any(assets.iterdir()):
            assets.rmdir()
        tasks[name] = {**describe_task(task, described), **part_config(task)}
    if (folder / "tasks").is_dir() and not any((folder / "tasks").iterdir()):
        (folder / "tasks").rmdir()
    return {
        "format": 1,
        "mmbert_version": mmbert.__version__,
        "fusion": type(model.fusion).__name__,
        "files": placed,
        "encoders": encoders,
        "tasks": tasks,
        "tasks_left_out": dict(left_out),
    }


def tensor_facts(tensor: torch.Tensor, varying: Sequence[int], encoder: str) -> dict[str, Any]:
    """Type and shape of an input; sizes that vary have names."""
    named = {0: "batch", 1: f"{encoder}_length"}
    shape = [named[i] if i in varying else size for i, size in enumerate(tensor.shape)]
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": shape}


def longest_of(processor: Any) -> dict[str, Any] | None:
    """The longest input that the graph takes, where the model itself takes longer ones or fails at them."""
    window, most = getattr(processor, "window", None), getattr(processor, "most_tokens", float("inf"))
    if window is not None:
        why = (
            "the model runs longer texts in windows, whose number depends on each text's length, which a graph of "
            "fixed operations does not; cut the text, or use the model itself (mmbert-predict)."
        )
        return {"size": int(window), "unit": "tokens", "why": why}
    if most != float("inf"):
        return {"size": int(most), "unit": "tokens", "why": "the network has no more positions."}
    return None
