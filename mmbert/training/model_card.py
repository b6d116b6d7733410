"""The model card that a run writes: what the model is, what it was trained and measured on, and what it is not for.

A card of the Hugging Face hub (Mitchell et al. 2019, arXiv 1810.03993): YAML for machines, then Markdown for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmbert.core.shown_text import markdown_code, markdown_text
from mmbert.data.modalities.registry import modality_of
from mmbert.model import MultimodalModel
from mmbert.runs.environment import environment
from mmbert.runs.naming import fusion_name, modalities_label
from mmbert.training.resources.parameter_counts import count_parameters, count_trainable

#: A class list longer than this is cut.
CLASSES = 30
#: The hub's words for what a task does.
HUB_TASKS = {
    "Classification": "text-classification",
    "Multilabel": "text-classification",
    "Regression": "tabular-regression",
}


def model_card(
    model: MultimodalModel,
    config: Mapping[str, Any],
    metrics: Mapping[str, float],
    facts: Mapping[str, Any],
    splits: Sequence[str],
) -> str:
    """The whole card.

    Args:
        model: as it was chosen on validation.
        config: the run's, resolved.
        metrics: ``SPLIT/TASK/METRIC``.
        facts: the run's other facts: seed, fingerprints, rows by split, the checkpoint.
        splits: those that chose nothing, in order.
    """
    name = f"{fusion_name(config)} over {modalities_label(config)}"
    data = Path(str(config["data"].get("path", "data"))).name
    parts = [
        f"---\n{front_matter(name, data, metrics, splits[:1], model)}\n---\n",
        f"# {markdown_text(name)}\n",
        "A multimodal model of mmbert: each modality is encoded by itself, a fusion "
        "strategy joins them, and every task reads the joint representation. Any subset of the modalities will do.\n",
        "## Parts\n",
        table(["part", "class", "parameters", "options"], rows_of_parts(model, config)),
        "## Tasks\n",
        table(["task", "kind", "column", "classes"], rows_of_tasks(model)),
        "## Use\n",
        use(model),
        "## Data\n",
        about_data(data, config, facts),
        "## Metrics\n",
        about_metrics(facts),
        table(["metric", "val", *splits], rows_of_metrics(metrics, ["val", *splits])),
        "## Limits\n",
        limits(model, facts.get("privacy")),
        "## Made with\n",
        made_with(facts),
    ]
    return "\n".join(parts)


def front_matter(
    name: str, data: str, metrics: Mapping[str, float], splits: Sequence[str], model: MultimodalModel
) -> str:
    """YAML with the results of the first test split."""
    from huggingface_hub import EvalResult, ModelCardData

    results, tasks = [], model.named_tasks()
    for key, value in metrics.items():
        split, _, rest = key.partition("/")
        task, _, metric = rest.rpartition("/")
        if split in splits and task in tasks and metric != "loss":  # a fusion's own losses are of no task
            kind = HUB_TASKS.get(type(tasks[task]).__name__, "other")
            shown = round(float(value), 4)
            results.append(
                EvalResult(kind, data, data, metric, shown, dataset_split=split, metric_name=f"{task} {metric}")
            )
    tags = ["mmbert", "multimodal", *model.named_encoders()]
    card = ModelCardData(library_name="mmbert", tags=tags, model_name=name, eval_results=results or None)
    return card.to_yaml().strip()


def rows_of_parts(model: MultimodalModel, config: Mapping[str, Any]) -> list[list[str]]:
    """Encoders and fusion: class, size, and what they were built with."""
    rows, source = [], config.get("encoders_from") or {}
    for name, encoder in model.named_encoders().items():
        total = count_parameters(encoder)
        trained = "frozen" if encoder.frozen else f"{count_trainable(encoder):,} trained"
        origin = source.get(name) if isinstance(source, Mapping) else source
        given = {**(config["encoders"].get(name) or {}), "encoders_from": origin}
        rows.append([name, type(encoder).__name__, f"{total:,} ({trained})", options(given)])
    size = f"{count_parameters(model.fusion):,}"
    return [*rows, ["fusion", type(model.fusion).__name__, size, options(config.get("fusion") or {})]]


def options(part: Mapping[str, Any]) -> str:
    """The short options of a part, as they would be typed."""
    plain = {key: value for key, value in part.items() if key != "_target_" and value is not None}
    return ", ".join(f"{key}={value}" for key, value in plain.items() if isinstance(value, (str, int, float)))


def rows_of_tasks(model: MultimodalModel) -> list[list[str]]:
    """What each task answers."""
    rows = []
    for name, task in model.named_tasks().items():
        classes = list(getattr(task, "classes", []))
        more = f", and {len(classes) - CLASSES} more" if len(classes) > CLASSES else ""
        rows.append([name, type(task).__name__, ", ".join(task.columns), ", ".join(classes[:CLASSES]) + more])
    return rows


def use(model: MultimodalModel) -> str:
    """Code that loads the model and asks it."""
    sample = ", ".join(
        f'"{name}": {modality_of(encoder).python_example}' for name, encoder in model.named_encoders().items()
    )
    return (
        "    from mmbert.model import MultimodalModel\n"
        '    model = MultimodalModel.from_pretrained("this folder, or user/name")\n'
        f"    model.predict([{{{sample}}}])\n"
    )


def about_data(data: str, config: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """What it was trained on, as far as fingerprints identify it."""
    rows = {key.removesuffix("_rows"): value for key, value in facts.items() if key.endswith("_rows")}
    skipped = rows.pop("skipped", 0)
    counts = ", ".join(f"{split} {count:,}" for split, count in rows.items())
    left_out = f" {skipped:,} rows could not be used and were left out." if skipped else ""
    return (
        f"{markdown_code(data)}, fingerprint `{facts.get('data_fingerprint')}`; rows: {markdown_text(counts)} "
        f"(fingerprint of the splits `{facts.get('splits_fingerprint')}`).{left_out}\n"
    )


def about_metrics(facts: Mapping[str, Any]) -> str:
    """Which weights the numbers belong to."""
    checkpoint = facts.get("checkpoint") or {}
    return (
        f"Seed {facts.get('seed')}; weights of epoch {checkpoint.get('epoch', -1) + 1}, chosen by "
        f"{markdown_code(checkpoint.get('monitor'))} on validation. One run: no interval can be given. The test splits "
        "chose nothing.\n"
    )


def rows_of_metrics(metrics: Mapping[str, float], splits: Sequence[str]) -> list[list[str]]:
    """A metric a row, a split a column."""
    names = dict.fromkeys(key.partition("/")[2] for key in metrics)
    cells = [[f"{metrics[f'{s}/{name}']:.4f}" if f"{s}/{name}" in metrics else "–" for s in splits] for name in names]
    return [[name, *row] for name, row in zip(names, cells, strict=True)]


def limits(model: MultimodalModel, privacy: Mapping[str, Any] | None = None) -> str:
    """What a reader must not conclude."""
    names = ", ".join(model.named_encoders())
    return (
        "- The numbers hold for samples such as those of the data above; nothing is known of others.\n"
        f"- Answers without one of its modalities ({names}) are worse by as much as the fusion relied on it: "
        "measure with `mmbert-evaluate drop=[...]`.\n"
        f"- {calibration(model)}; see `plots/` of the run.\n"
        "- Nobody has examined the model for unequal errors between groups of people, nor for what it keeps of its "
        "data.\n"
        f"{about_privacy(privacy)}"
        "- The licences of the data and of pretrained weights bind whoever passes the model on.\n"
    )


def about_privacy(facts: Mapping[str, Any] | None) -> str:
    """Of a model that was trained with differential privacy, with what, and what that does not cover."""
    if not facts:
        return ""
    seeded = "" if facts["secure"] else " The noise follows from the run's seed: who knows it can take it off again."
    bound = f"({facts['epsilon']:.4g}, {facts['delta']:.3g})-differentially private"
    return (
        f"- Trained by DP-SGD: the weights are {bound} with regard to adding or removing one row of train "
        f"({facts['accountant']} accountant, noise multiplier {facts['noise_multiplier']:.4g}, sampling rate "
        f"{facts['sample_rate']:.4g}, {facts['steps']:,} steps, gradients clipped to {facts['max_grad_norm']:g}). "
        "Classes, class weights, means of numbers, the choice of the checkpoint on validation and of options are not "
        f"covered.{seeded}\n"
    )


def calibration(model: MultimodalModel) -> str:
    """Which tasks' probabilities are calibrated."""
    tasks = model.named_tasks()
    fitted = [name for name, task in tasks.items() if task.init_args.get("calibrate")]
    if not fitted:
        return "Probabilities are not calibrated"
    rest = ", those of other tasks are not" if len(fitted) < len(tasks) else ""
    return f"Probabilities of {', '.join(fitted)} are calibrated by a temperature fitted on validation{rest}"


def made_with(facts: Mapping[str, Any]) -> str:
    """Versions, commit, and how long it took."""
    about = environment()
    commit = ((about["git"] or {}).get("package") or {}).get("commit")
    wanted = ("mmbert", "torch", "transformers", "timm", "torchaudio")
    versions = ", ".join(f"{name} {about['packages'][name]}" for name in wanted if name in about["packages"])
    where = f" at commit {commit}" if commit else ""
    took = f"; training took {facts['fit_seconds']:.0f} s" if "fit_seconds" in facts else ""
    return f"Python {about['python']}, {versions}{where}{took}.\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; whatever is in a cell is shown as it is."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(markdown_text, line))} |" for line in lines) + "\n"
