"""The ``README.md`` of an exported folder: what lies there, and a short program that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def readme(manifest: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Markdown of an exported folder.

    Args:
        manifest: the content of ``preprocessing.json``.
        record: the content of ``export.json``.
    """
    names, tasks = list(manifest["encoders"]), list(manifest["tasks"])
    files = [f"`{name}`" for name in record["bytes"]]
    worst = max(one["scaled"] for form in record["differences"].values() for one in form)
    lines = [
        "# An exported model",
        "",
        f"A multimodal model ({', '.join(names)}; fusion: {manifest['fusion']}) that answers {', '.join(tasks)}, "
        f"written by mmbert {manifest['mmbert_version']}. Files: {', '.join(files)}.",
        "",
        "- Every tensor has the samples first; batch and lengths may be of any size.",
        "- A modality that a sample lacks has a mask that is False throughout; its other tensors are not read. Each",
        "  sample needs one modality at least.",
        "- `preprocessing.json` says how raw values become inputs, and what each output is.",
        f"- `export.json`: largest difference from the model in PyTorch {worst:.1e}, over every subset of modalities.",
        "",
    ]
    for name, why in manifest["tasks_left_out"].items():
        lines += [f"The task `{name}` is not in these files: it {why}.", ""]
    if "onnx" in manifest["files"]:
        lines += ["With onnxruntime, in this folder:", "", "```python", *onnx_example(manifest), "```", ""]
        lines += [
            "With `mmbert`, which prepares raw values too:",
            "",
            "```python",
            "from mmbert.deploy.onnx_model import OnnxModel",
            "",
            "model = OnnxModel('.', threads=2)",
            f"# model.predict([{{{', '.join(repr(name) + ': …' for name in names)}}}])",
            "```",
            "",
        ]
    if "torch" in manifest["files"]:
        lines += [
            "With torch, `torch.export.load(FILE).module(check_guards=False)` takes and gives a dictionary of tensors",
            "by name; with guards torch refuses sizes of 1, for which the numbers are right as well.",
            "",
        ]
    return "\n".join(lines)


def onnx_example(manifest: Mapping[str, Any]) -> list[str]:
    """A program that answers one sample with the first modality alone."""
    encoders = manifest["encoders"]
    first = next((name for name, each in encoders.items() if each["kind"] == "text"), next(iter(encoders)))
    text = encoders[first]["kind"] == "text" and "folder" in encoders[first]
    files = manifest["files"]["onnx"]
    stages = [files["whole"]] if "whole" in files else [*files["encoders"].values(), files["fusion"]]
    task = next(iter(manifest["tasks"]))
    lines = ["import json, numpy as np, onnxruntime as ort", "spec = json.load(open('preprocessing.json'))"]
    # a length for each encoder: sounds need a window at least
    lines += [
        "feeds = {}",
        "for name, part in spec['encoders'].items():  # every modality is absent: its masks are False",
        "    for key, x in part['inputs'].items():",
        "        length = {'batch': 1, name + '_length': part.get('min_samples', 1)}",
        "        feeds[key] = np.zeros([length.get(n, n) for n in x['shape']], x['dtype'])",
    ]
    if text:
        lines += [
            "from tokenizers import Tokenizer",
            f"tokenizer = Tokenizer.from_file('encoders/{first}/tokenizer.json')",
            "ids = np.array([tokenizer.encode('two trains').ids])",
            f"feeds |= {{'{first}.input_ids': ids, '{first}.mask': ids >= 0}}",
        ]
        if f"{first}.token_type_ids" in encoders[first]["inputs"]:
            lines.append(f"feeds['{first}.token_type_ids'] = np.zeros_like(ids)")
    else:
        lines.append(f"feeds['{first}.mask'][:] = True  # and its values into the other tensors of {first}")
    lines += [
        f"for file in {stages}:",
        "    session = ort.InferenceSession(file)",
        "    names = [x.name for x in session.get_outputs()]",
        "    feeds |= dict(zip(names, session.run(names, {x.name: feeds[x.name] for x in session.get_inputs()})))",
        f"print({{name: x for name, x in feeds.items() if name.startswith('{task}.')}})",
    ]
    return lines
