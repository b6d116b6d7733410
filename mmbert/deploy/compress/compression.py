"""A model compressed in several ways and measured side by side: what ``mmbert-compress`` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch

from mmbert.core.errors import ConfigError, nearest
from mmbert.core.whole_files import whole_file
from mmbert.deploy.compress.frontier import frontier
from mmbert.deploy.compress.latency import measure_latency
from mmbert.deploy.compress.memory import peak_memory, write_inputs
from mmbert.deploy.compress.quality import VariantAnswers, quality_summary, variant_answers
from mmbert.deploy.compress.samples import judged_batches, timed_inputs
from mmbert.deploy.compress.settings import Settings
from mmbert.deploy.compress.variant import Variant
from mmbert.deploy.compress.workshop import Workshop
from mmbert.model import MultimodalModel
from mmbert.runs.environment import environment
from mmbert.runs.files import timestamp, write_json

#: Samples at once with which latency is measured, and how many different batches of them.
BATCH_SIZES = {1: 24, 32: 4}
SUMMARY, TABLE = "compression.json", "compression.csv"


def compress(model: MultimodalModel, settings: Settings, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Makes every variant, measures it, and writes the summary and the table; returns the summary.

    Args:
        model: as it was trained, in evaluation mode on the CPU.
        settings: how.
        say: called with what begins.

    Raises:
        MmbertError: an option, the model or the data is at fault.
    """
    refuse_unknown_task(model, settings.task)
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        workshop = Workshop(model, settings, say)
        variants = workshop.variants()
        say("quality")
        quality = measured_quality(variants, settings)
        task = frontier_task(list(quality[variants[0].name]), settings.task)
        say("latency")
        latency = measured_latency(variants, settings)
        say("memory")
        memory = measured_memory(variants, settings)
    finally:
        torch.set_num_threads(threads)
    rows = [
        {
            "name": variant.name,
            "kind": variant.kind,
            "path": str(variant.path),
            "parameters": variant.parameters,
            "zeros": variant.zeros,
            "bytes": variant.bytes,
            "deflated_bytes": variant.deflated,
            "quality": quality[variant.name],
            "latency": {size: found[variant.name] for size, found in latency.items()},
            "memory": memory[variant.name],
            "remarks": list(variant.remarks),
        }
        for variant in variants
    ]
    content = {
        **facts(settings),
        "task": task,
        "variants": rows,
        "failed": workshop.failed,
    }
    mark_frontier(content)
    content |= {"finished": timestamp(), "environment": environment()}
    settings.out.mkdir(parents=True, exist_ok=True)
    with whole_file(settings.out / TABLE) as temporary:
        table_of(content).to_csv(temporary, index=False)
    write_json(settings.out / SUMMARY, content)
    return content


def facts(settings: Settings) -> dict[str, Any]:
    """What was asked for."""
    names = ("split", "amount", "epochs", "temperature", "alpha", "threads", "rounds", "calibration", "bootstraps")
    return {
        "model": str(settings.folder),
        "methods": [method.word for method in settings.methods],
        **{name: getattr(settings, name) for name in names},
        "seed": settings.seed,
    }


def measured_quality(variants: Sequence[Variant], settings: Settings) -> dict[str, dict[str, Any]]:
    """By variant and task; see ``quality_summary``."""
    found: dict[str, dict[str, Any]] = {}
    original: VariantAnswers | None = None
    for variant in variants:
        answers = variant_answers(variant, judged_batches(variant.model, settings.data, settings.split))
        original = original or answers
        found[variant.name] = quality_summary(variant, answers, original, settings.bootstraps, settings.seed)
    return found


def measured_latency(variants: Sequence[Variant], settings: Settings) -> dict[str, dict[str, Any]]:
    """By batch size and variant; see ``measure_latency``."""
    found = {}
    for size, count in BATCH_SIZES.items():
        known: dict[int, Any] = {}
        for variant in variants:  # the same model's inputs are the same
            key = id(variant.model)
            if key not in known:
                known[key] = timed_inputs(variant.model, settings.data, settings.split, size, count)
        batches = {variant.name: known[id(variant.model)] for variant in variants}
        found[str(size)] = measure_latency(variants, batches, settings.rounds)
    return found


def measured_memory(variants: Sequence[Variant], settings: Settings) -> dict[str, dict[str, float]]:
    """By variant; see ``peak_memory``."""
    size = max(BATCH_SIZES)
    found = {}
    with TemporaryDirectory() as scratch:
        for variant in variants:
            inputs = timed_inputs(variant.model, settings.data, settings.split, size, 1)[0]
            path = Path(scratch) / "inputs.npz"
            write_inputs(path, inputs)
            found[variant.name] = peak_memory(
                variant.kind, variant.path, path, settings.threads, variant.without, settings.trusted
            )
    return found


def refuse_unknown_task(model: MultimodalModel, wanted: str | None) -> None:
    """Before anything is trained.

    Raises:
        ConfigError: the model has no task of this name.
    """
    if wanted is not None and wanted not in model.named_tasks():
        raise ConfigError(f"task={wanted}: the model has no such task. {nearest(wanted, model.named_tasks())}")


def frontier_task(measured: Sequence[str], wanted: str | None) -> str:
    """The task whose metric is held against latency and size, of those that have one.

    Raises:
        ConfigError: the wanted one has none on this split, or none has.
    """
    if not measured:
        raise ConfigError("No task has a metric on this split: it needs labels.")
    if wanted is not None and wanted not in measured:
        raise ConfigError(f"task={wanted}: no such task is measured. {nearest(wanted, measured)}")
    return wanted or measured[0]


def mark_frontier(content: dict[str, Any]) -> None:
    """Adds to every variant whether it is on the frontier of quality against latency (batch 1), and against size."""
    rows, task = content["variants"], content["task"]
    signs = [1 if row["quality"].get(task, {}).get("higher_is_better", True) else -1 for row in rows]
    values = [row["quality"].get(task, {}).get("value") for row in rows]
    quality = [sign * (float("nan") if value is None else value) for sign, value in zip(signs, values, strict=True)]
    fast = frontier([row["latency"]["1"]["p50_ms"] for row in rows], quality)
    small = frontier([row["bytes"] for row in rows], quality)
    for row, is_fast, is_small in zip(rows, fast, small, strict=True):
        row["frontier"] = {"latency": is_fast, "size": is_small}


def table_of(content: Mapping[str, Any]) -> pd.DataFrame:
    """A line for each variant and task."""
    lines = []
    for row in content["variants"]:
        about = {
            "variant": row["name"],
            "parameters": row["parameters"],
            "zeros": row["zeros"],
            "bytes": row["bytes"],
            "deflated_bytes": row["deflated_bytes"],
            **{f"p50_ms/{size}": found["p50_ms"] for size, found in row["latency"].items()},
            **{f"p95_ms/{size}": found["p95_ms"] for size, found in row["latency"].items()},
            **{f"speedup/{size}": found["speedup"] for size, found in row["latency"].items()},
            **row["memory"],
            **{f"frontier/{key}": value for key, value in row["frontier"].items()},
        }
        for task, found in row["quality"].items():
            own = {key: found[key] for key in ("metric", "samples", "value", "low", "high")}
            change = {f"difference{suffix}": found["difference"][key] for key, suffix in DIFFERENCE.items()}
            lines.append({"variant": row["name"], "task": task, **own, **change, **about})
    return pd.DataFrame(lines)


DIFFERENCE = {"value": "", "low": "/low", "high": "/high"}
