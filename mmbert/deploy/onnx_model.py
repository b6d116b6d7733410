"""``OnnxModel``: an exported folder run by onnxruntime, with the model's own inputs, outputs and predictions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from mmbert.core.errors import ConfigError, InputError, nearest
from mmbert.core.init_args import find_class
from mmbert.core.types import Fused, Inputs, State, Tensors
from mmbert.data.modalities.processor import Processor
from mmbert.deploy.exported_graph import flat_inputs, nested
from mmbert.deploy.preprocessing import rebuild_processor
from mmbert.model.samples import prepared_inputs, present_values
from mmbert.tasks.base import Task

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions

#: Files of an exported folder.
MANIFEST, TASK_TENSORS = "preprocessing.json", "tasks.safetensors"


class OnnxModel:
    """A model that ``mmbert-export`` wrote, in onnxruntime; torch computes nothing here.

    Args:
        folder: of the export.
        file: another ``.onnx`` file of the whole model in the folder, with the same inputs and outputs, such as a
            quantised one; None = the export's own file or files.
        threads: of onnxruntime within an operation; None = its own choice, all cores.
        session_options: of onnxruntime, instead of ``threads``.
        providers: of onnxruntime, the first that fits is used.
        processors: by encoder, for classes of one's own; None = those that ``preprocessing.json`` describes.
        tasks: by name, for classes of one's own; None = rebuilt from ``preprocessing.json`` when they are asked for.

    Attributes:
        manifest: the content of ``preprocessing.json``.
        sessions: of onnxruntime, by file.

    Raises:
        ConfigError: onnxruntime is not installed, or options exclude each other.
        InputError: the folder holds no export of ONNX, or onnxruntime refuses the file.
    """

    def __init__(
        self,
        folder: str | Path,
        file: str | None = None,
        threads: int | None = None,
        session_options: SessionOptions | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        processors: Mapping[str, Processor] | None = None,
        tasks: Mapping[str, Task] | None = None,
    ) -> None:
        if threads is not None and session_options is not None:
            raise ConfigError("threads and session_options exclude each other: set intra_op_num_threads in the latter.")
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        files = self.manifest["files"].get("onnx")
        if files is None and file is None:
            raise InputError(f"{self.folder} holds no file of ONNX: mmbert-export model=… format=onnx writes one.")
        self.stages: list[str] = [file] if file is not None else stages_of(files)
        options = session_options if session_options is not None else options_with(threads)
        self.sessions: dict[str, InferenceSession] = {
            name: session(self.folder / name, options, providers) for name in self.stages
        }
        self._processors = None if processors is None else dict(processors)
        self._tasks = None if tasks is None else dict(tasks)

    @property
    def encoders(self) -> list[str]:
        """Their names, which are the keys of inputs and samples."""
        return list(self.manifest["encoders"])

    @property
    def processors(self) -> dict[str, Processor]:
        """What prepares raw values, by encoder."""
        if self._processors is None:
            described = self.manifest["encoders"].items()
            self._processors = {name: rebuild_processor(name, each, self.folder) for name, each in described}
        return self._processors

    @property
    def tasks(self) -> dict[str, Task]:
        """The tasks in the graph by name, for predictions and metrics; their heads are not used."""
        if self._tasks is None:
            self._tasks = rebuild_exported_tasks(self.manifest, self.folder)
        return self._tasks

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The graph itself, or one after the other: ``ENCODER.TENSOR`` -> ``TASK.TENSOR``.

        Args:
            feeds: what ``preprocessing.json`` lists; samples first, lengths may be any up to the described limits.

        Raises:
            InputError: a tensor is missing, or onnxruntime refuses its shape or type.
        """
        known: dict[str, Any] = dict(feeds)
        for name in self.stages:
            one = self.sessions[name]
            wanted = [given.name for given in one.get_inputs()]
            for key in wanted:
                if key not in known:
                    raise InputError(f"{self.folder / name} needs the input '{key}'. {nearest(key, known)}")
            names = [given.name for given in one.get_outputs()]
            try:
                values = one.run(names, {key: known[key] for key in wanted})
            except Exception as error:  # onnxruntime's own errors have no common base
                shapes = {key: known[key].shape for key in wanted}
                first = str(error).strip().splitlines()[0][:300]
                raise InputError(f"{self.folder / name} cannot run inputs of the shapes {shapes}: {first}") from error
            known |= dict(zip(names, values, strict=True))
        tasks = set(self.manifest["tasks"])
        return {key: value for key, value in known.items() if key.partition(".")[0] in tasks and key not in feeds}

    def outputs(self, inputs: Mapping[str, Inputs]) -> dict[str, Tensors]:
        """Each task's output tensors by its name, equal to those of ``MultimodalModel`` on the same inputs.

        Args:
            inputs: of a batch by encoder, as ``Batch.inputs`` or the processors' ``collate`` has them; an encoder that
                is left out stands for a modality that no sample has.

        Raises:
            InputError: an encoder is unknown, a sample has no modality, or an input is longer than the graph takes.
        """
        whole = self._with_blanks(inputs)
        self._refuse_too_long(whole)
        feeds = {key: tensor.detach().cpu().numpy() for key, tensor in flat_inputs(whole).items()}
        found: dict[str, Tensor] = {key: torch.from_numpy(value) for key, value in self.run(feeds).items()}
        return nested(found, self.manifest["tasks"])

    def predict(self, samples: Sequence[Mapping[str, Any]], batch_size: int = 32) -> list[dict[str, dict[str, Any]]]:
        """As ``MultimodalModel.predict``, by the tasks that are in the graph.

        Args:
            samples: values by encoder name; any non-empty subset of the modalities will do.
            batch_size: samples that go through the graph at once.

        Raises:
            InputError: a sample has an unknown key or none of the modalities.
            DataError: a file cannot be read.
        """
        processors, tasks = self.processors, self.tasks
        aligned = list(dict.fromkeys(name for task in tasks.values() for name in task.aligned_to))
        answers: list[dict[str, dict[str, Any]]] = []
        for start in range(0, len(samples), batch_size):
            chunk = samples[start : start + batch_size]
            values = [present_values(sample, start + i, processors) for i, sample in enumerate(chunk)]
            inputs, alignments = prepared_inputs(values, processors, aligned)
            answers += self.answers(self.outputs(inputs), inputs, alignments)
        return answers

    def answers(
        self,
        outputs: Mapping[str, Tensors],
        inputs: Mapping[str, Inputs] | None = None,
        alignments: Mapping[str, Sequence[Any]] | None = None,
    ) -> list[dict[str, dict[str, Any]]]:
        """What ``predict`` returns for a batch of ``outputs``.

        Args:
            outputs: of ``outputs``.
            inputs: of the batch.
            alignments: of the modalities that tasks are aligned to; ``Batch.alignments``.
        """
        size = len(next(iter(next(iter(outputs.values())).values())))
        state = State(Fused(torch.zeros(size, 0)), {}, inputs or {}, alignments or {})
        with torch.inference_mode():
            by_task = {name: task.predict(state, outputs[name]) for name, task in self.tasks.items()}
        return [dict(zip(by_task, row, strict=True)) for row in zip(*by_task.values(), strict=True)]

    def _with_blanks(self, inputs: Mapping[str, Inputs]) -> dict[str, Inputs]:
        unknown = [name for name in inputs if name not in self.encoders]
        if unknown or not inputs:
            named = f"There is no encoder '{unknown[0]}'." if unknown else "No input is given."
            raise InputError(f"{named} {nearest(unknown[0] if unknown else '', self.encoders)}")
        masks = [tensors["mask"].flatten(1).any(1) for tensors in inputs.values()]
        none = (~torch.stack(masks).any(0)).nonzero().flatten().tolist()
        if none:
            raise InputError(f"Sample {none[0]} of the batch has no modality at all: every mask is False.")
        size = len(masks[0])
        given = {name: inputs.get(name) for name in self.encoders}
        whole = {name: self.processors[name].collate([None] * size) if x is None else x for name, x in given.items()}
        return {name: self._with_marks(name, tensors) for name, tensors in whole.items()}

    def _with_marks(self, name: str, tensors: Inputs) -> Inputs:
        """With what only some batches have (of pairs of texts, where the first is), False where it is absent."""
        described = self.manifest["encoders"][name]["inputs"].items()
        marks = [key.partition(".")[2] for key, facts in described if facts["dtype"] == "bool"]
        return {**{key: torch.zeros_like(tensors["mask"]) for key in marks if key not in tensors}, **tensors}

    def _refuse_too_long(self, inputs: Mapping[str, Inputs]) -> None:
        for name, tensors in inputs.items():
            most = self.manifest["encoders"][name].get("longest")
            if most is not None and tensors["mask"].shape[1] > most["size"]:
                raise InputError(
                    f"The exported graph takes at most {most['size']} {most['unit']} of '{name}', but an input has "
                    f"{tensors['mask'].shape[1]}: {most['why']}"
                )


def read_manifest(folder: Path) -> dict[str, Any]:
    """``preprocessing.json`` of an exported folder.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no exported model: {MANIFEST} is missing.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}. Export the model again.") from error
    if not isinstance(content, dict) or not {"files", "encoders", "tasks"} <= set(content):
        raise InputError(f"{path} is not what mmbert-export writes. Export the model again.")
    return content


def stages_of(files: Mapping[str, Any]) -> list[str]:
    """The files in the order in which they run."""
    return [files["whole"]] if "whole" in files else [*files["encoders"].values(), files["fusion"]]


def options_with(threads: int | None) -> SessionOptions:
    """onnxruntime's options with so many threads, and without its warnings."""
    try:
        from onnxruntime import SessionOptions
    except ImportError as error:
        raise ConfigError(
            "This needs the package onnxruntime, which is not installed: pip install mmbert[export]"
        ) from error
    options = SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def session(path: Path, options: SessionOptions, providers: Sequence[str]) -> InferenceSession:
    """A file in onnxruntime.

    Raises:
        InputError: the file is missing, or onnxruntime refuses it.
    """
    from onnxruntime import InferenceSession

    if not path.is_file():
        raise InputError(f"{path} is missing: copy the exported folder again, whole.")
    try:
        return InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # onnxruntime's own errors have no common base
        raise InputError(f"onnxruntime refuses {path}: {str(error).strip().splitlines()[0][:300]}") from error


def rebuild_exported_tasks(manifest: Mapping[str, Any], folder: Path) -> dict[str, Task]:
    """The tasks that predictions are made by; what they fitted (temperature, threshold) is read from their tensors.

    Raises:
        InputError: a task is of a class from outside the package.
    """
    tensors = load_file(folder / TASK_TENSORS)
    found: dict[str, Task] = {}
    for name, part in manifest["tasks"].items():
        if not part["class"].startswith("mmbert."):
            raise InputError(
                f"The task '{name}' is of the class {part['class']}, from outside the package: give tasks=."
            )
        kind = find_class(part["class"])
        if not issubclass(kind, Task):
            raise InputError(f"{folder / MANIFEST} names '{part['class']}', which is no Task.")
        task = kind(**kind.rebuild_args(part["args"], folder / "tasks" / name))
        own = task.state_dict()
        state = {key: tensors[f"{name}.{key}"] for key in own if f"{name}.{key}" in tensors}
        task.load_state_dict(state, strict=False)
        found[name] = task.eval()
    return found


def task_tensors(tasks: Mapping[str, Task], kept: Iterable[str]) -> Tensors:
    """The tensors of tasks by ``TASK.NAME``: heads are in the graph, the rest is small."""
    return {
        f"{name}.{key}": tensor.detach().cpu().contiguous().clone()
        for name in kept
        for key, tensor in tasks[name].state_dict().items()
    }
