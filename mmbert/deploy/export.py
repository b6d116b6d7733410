"""Writes a model as a folder of exported files, with what other programs must know to use them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch.export import ExportedProgram

from mmbert.core.errors import InputError
from mmbert.core.permissions import usual_permissions
from mmbert.core.types import Inputs, Tensors
from mmbert.core.whole_files import whole_folder
from mmbert.deploy.equality import EXPORT_TOLERANCE, Difference, Runner, compare_exports
from mmbert.deploy.export_readme import readme
from mmbert.deploy.exported_graph import (
    EncoderGraph,
    FusionGraph,
    WholeGraph,
    flat_encoded,
    flat_inputs,
    tasks_in_graph,
    trace,
    varying_encoded,
    varying_inputs,
)
from mmbert.deploy.manifest import TracedPart, export_manifest
from mmbert.deploy.onnx_files import quietly, write_onnx
from mmbert.deploy.onnx_model import MANIFEST, TASK_TENSORS, OnnxModel, task_tensors
from mmbert.deploy.torch_files import write_torch
from mmbert.model import MultimodalModel

ExportFormat = Literal["onnx", "torch"]
ExportParts = Literal["whole", "separate"]
FORMAT_ENDINGS: dict[str, str] = {"onnx": "onnx", "torch": "pt2"}
EXPORT_RECORD = "export.json"


@dataclass
class Exported:
    """What an export has written.

    Attributes:
        folder: of the files.
        files: by format, the paths' names in the order in which they run.
        sizes: of the files, in bytes.
        seconds: of tracing and writing, by format.
        differences: from the model, by format and subset.
        left_out: tasks that are not in the graph, and why.
    """

    folder: Path
    files: dict[str, list[str]]
    sizes: dict[str, int]
    seconds: dict[str, float]
    differences: dict[str, dict[tuple[str, ...], Difference]]
    left_out: dict[str, str]


def export_model(
    model: MultimodalModel,
    folder: Path,
    batches: Sequence[Mapping[str, Inputs]],
    formats: Sequence[ExportFormat] = ("onnx",),
    parts: ExportParts = "whole",
    facts: Mapping[str, Any] | None = None,
    notify: Callable[[str], None] = lambda what: None,
) -> Exported:
    """Traces a model, writes its files, runs them beside it, and keeps them only if they are equal.

    Args:
        model: any; it is put into evaluation mode on the CPU.
        folder: appears whole or not at all; one that exists is replaced.
        batches: real inputs by encoder, or ``made_inputs``; by the first the graph is traced, by all it is checked.
        formats: ``onnx`` (read by onnxruntime and others), ``torch`` (torch.export, read by torch).
        parts: ``whole`` = one file; ``separate`` = each encoder a file, fusion and tasks another.
        facts: added to ``export.json``.
        notify: told what begins, for each step takes up to minutes.

    Raises:
        InputError: the model cannot be exported, says why; or the files do not give what the model gives.
    """
    model = model.cpu().eval()
    kept, left_out = tasks_in_graph(model)
    refuse_parting(model, parts)
    graphs = parts_to_trace(model, batches[0], parts)
    with whole_folder(folder.absolute()) as scratch:
        programs: dict[str, ExportedProgram] = {}
        seconds = {"trace": 0.0}
        for name, graph in graphs.items():
            notify(f"tracing {name}")
            begun = time.perf_counter()
            programs[name] = trace(graph.module, graph.example, graph.varying)
            seconds["trace"] += time.perf_counter() - begun
        files: dict[str, dict[str, str]] = {}
        for form in formats:
            notify(f"writing {form}")
            begun = time.perf_counter()
            files[form] = {name: f"{name}.{FORMAT_ENDINGS[form]}" for name in graphs}
            for name, graph in graphs.items():
                path = scratch / files[form][name]
                if form == "onnx":
                    write_onnx(programs[name], list(graph.example), list(graph.outputs), path)
                else:
                    write_torch(programs[name], path)
            seconds[form] = time.perf_counter() - begun
        manifest = export_manifest(model, graphs, files, kept, left_out, scratch)
        (scratch / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        with usual_permissions(scratch / TASK_TENSORS):
            save_file(task_tensors(model.named_tasks(), kept), scratch / TASK_TENSORS)
        runners: dict[str, Runner] = {form: runner_of(form, scratch, list(files[form].values())) for form in formats}
        notify("running the files beside the model, with every subset of modalities")
        differences = compare_exports(model, runners, batches)
        refuse_unequal(differences)
        sizes = {name: (scratch / name).stat().st_size for each in files.values() for name in each.values()}
        record = {**(facts or {}), **record_of(seconds, sizes, differences, left_out, parts)}
        (scratch / EXPORT_RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (scratch / "README.md").write_text(readme(manifest, record), encoding="utf-8")
    listed = {form: list(each.values()) for form, each in files.items()}
    return Exported(folder, listed, sizes, seconds, differences, left_out)


def refuse_parting(model: MultimodalModel, parts: str) -> None:
    """Refuses to part an encoder from a fusion that works inside it.

    Raises:
        InputError: says which.
    """
    injected = model.fusion.injects_into
    if parts == "separate" and injected is not None:
        raise InputError(
            f"{type(model.fusion).__name__} changes the hidden states between the layers of '{injected}' by what the "
            "other encoders gave (layer injection), so that encoder and fusion are one graph: parts=whole."
        )


def parts_to_trace(model: MultimodalModel, inputs: Mapping[str, Inputs], parts: str) -> dict[str, TracedPart]:
    """What is traced, by the file's name."""
    encoders = model.named_encoders()
    varying = varying_inputs(inputs, encoders)
    with torch.no_grad():
        if parts == "whole":
            whole = WholeGraph(model).eval()
            example = flat_inputs(inputs)
            return {"model": TracedPart(whole, example, varying, whole(example))}
        graphs = {}
        for name, encoder in encoders.items():
            one = EncoderGraph(name, encoder).eval()
            example = flat_inputs({name: inputs[name]})
            graphs[f"encoder_{name}"] = TracedPart(one, example, varying, one(example))
        encoded = model.encode(inputs)
        fusion = FusionGraph(model).eval()
        example = flat_encoded(encoded)
        graphs["fusion"] = TracedPart(fusion, example, varying_encoded(encoded, encoders), fusion(example))
    return graphs


def runner_of(form: str, folder: Path, files: Sequence[str]) -> Runner:
    """Runs exported files from the disk, as whoever gets the folder will."""
    if form == "onnx":
        exported = OnnxModel(folder)

        def run_onnx(inputs: Tensors) -> Tensors:
            feeds = {key: tensor.numpy() for key, tensor in inputs.items()}
            return {key: torch.from_numpy(value) for key, value in exported.run(feeds).items()}

        return run_onnx
    # torch takes sizes of 2 or more for granted and guards them; the trials run sizes of 1, and must be right there too
    with quietly():
        modules = [torch.export.load(folder / name).module(check_guards=False) for name in files]

    def run_torch(inputs: Tensors) -> Tensors:
        if len(modules) == 1:
            outputs: Tensors = modules[0](dict(inputs))
            return outputs
        encoded: Tensors = {}
        for name, module in zip(files, modules[:-1], strict=False):
            encoder = name.removeprefix("encoder_").removesuffix(".pt2")
            encoded |= module({key: x for key, x in inputs.items() if key.startswith(f"{encoder}.")})
        fused: Tensors = modules[-1](encoded)
        return fused

    return run_torch


def refuse_unequal(differences: Mapping[str, Mapping[tuple[str, ...], Difference]]) -> None:
    """Keeps files out that do not give what the model gives.

    Raises:
        InputError: names the format, the subset and the output.
    """
    for form, by_subset in differences.items():
        subset, worst = max(by_subset.items(), key=lambda item: item[1].scaled)
        if not worst.scaled <= EXPORT_TOLERANCE:
            raise InputError(
                f"The exported files (format={form}) do not give what the model gives: with {' + '.join(subset)} "
                f"'{worst.output}' is off by {worst.absolute:.2g} ({worst.scaled:.2g} of its largest number, or of 1), "
                f"where {EXPORT_TOLERANCE:.0e} is let through. They were not kept."
            )


def record_of(
    seconds: Mapping[str, float],
    sizes: Mapping[str, int],
    differences: Mapping[str, Mapping[tuple[str, ...], Difference]],
    left_out: Mapping[str, str],
    parts: str,
) -> dict[str, Any]:
    """The content of ``export.json``."""
    return {
        "parts": parts,
        "torch": torch.__version__,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "bytes": dict(sizes),
        "tolerance": EXPORT_TOLERANCE,
        "differences": {
            form: [{"modalities": list(subset), **asdict(one)} for subset, one in by_subset.items()]
            for form, by_subset in differences.items()
        },
        "tasks_left_out": dict(left_out),
    }
