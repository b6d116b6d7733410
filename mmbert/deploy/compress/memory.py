"""The most memory that a variant needs, measured in a process of its own that loads it and answers one batch.

    python -m mmbert.deploy.compress.memory KIND PATH INPUTS THREADS WITHOUT

A graph of ONNX is loaded by onnxruntime alone, without torch: that is what such a program needs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmbert.core.errors import MmbertError
from mmbert.runs.peak_memory import resident_mib


def peak_memory(
    kind: str, path: Path, inputs: Path, threads: int, without: str | None, trusted: bool
) -> dict[str, float]:
    """``peak_mib``, the process's largest resident memory, and ``imports_mib``, what its libraries held before.

    Args:
        kind: of the variant.
        path: of the variant.
        inputs: a file of ``write_inputs``.
        threads: of torch or onnxruntime.
        without: the modality taken for missing.
        trusted: classes outside the package may be imported.

    Raises:
        MmbertError: the process failed.
    """
    words = [kind, str(path), str(inputs), str(threads), without or "", str(int(trusted))]
    done = subprocess.run([sys.executable, "-m", __name__, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it was killed"])[-1]
        raise MmbertError(f"The memory of {path} could not be measured: {last}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def write_inputs(path: Path, inputs: Mapping[str, Mapping[str, Any]]) -> None:
    """A batch's prepared tensors as a file of plain arrays."""
    np.savez(path, **{f"{name}.{key}": tensor.numpy() for name, part in inputs.items() for key, tensor in part.items()})


def main(words: list[str]) -> None:
    """The process itself: prints a line of JSON."""
    kind, path, inputs, threads, without, trusted = words
    with np.load(inputs, allow_pickle=False) as file:
        feeds = {name: file[name] for name in file.files}
    imports = (
        run_graph(Path(path), feeds, int(threads))
        if kind == "onnx"
        else run_model(kind, Path(path), feeds, int(threads), without, trusted == "1")
    )
    print(json.dumps({"peak_mib": resident_mib("VmHWM") or 0.0, "imports_mib": imports}))


def run_graph(path: Path, feeds: Mapping[str, np.ndarray], threads: int) -> float:
    """Loads a graph and runs it once; returns what was held before."""
    import onnxruntime

    held = resident_mib("VmRSS") or 0.0
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    session.run(None, {given.name: feeds[given.name] for given in session.get_inputs()})
    return held


def run_model(
    kind: str, path: Path, feeds: Mapping[str, np.ndarray], threads: int, without: str, trusted: bool
) -> float:
    """Loads a model and runs it once; returns what was held before."""
    import torch

    from mmbert.deploy.compress.int8 import quantize_torchao
    from mmbert.deploy.compress.variant import runner_without, torch_runner
    from mmbert.model import MultimodalModel

    torch.set_num_threads(threads)
    held = resident_mib("VmRSS") or 0.0
    model = MultimodalModel.from_pretrained(path, trust_custom_code=trusted)
    if kind == "torchao":
        model = quantize_torchao(model)
    inputs: dict[str, dict[str, Any]] = {}
    for name, array in feeds.items():
        encoder, _, key = name.partition(".")
        inputs.setdefault(encoder, {})[key] = torch.from_numpy(array)
    (runner_without(model, without) if without else torch_runner(model))(inputs, None)
    return held


if __name__ == "__main__":
    main(sys.argv[1:])
