"""``mmbert-check-data model=RUN``: label errors, contradicting modalities and near-duplicates in the data of a run."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.cli.evaluate import run_of, separate_options
from mmbert.cli.predict import model_folder
from mmbert.cli.run_config import consent, used_config
from mmbert.core.errors import ConfigError
from mmbert.runs.folder import is_own_model
from mmbert.runs.own_privacy import read_privacy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from omegaconf import DictConfig

    from mmbert.analysis.data_quality.folds import Fold
    from mmbert.core.privacy import Privacy
    from mmbert.data.datamodule import MultimodalData
    from mmbert.model import MultimodalModel
    from mmbert.tasks.base import Task

MODEL_FLAGS = ("--html", "--json", "--csv")
MODEL_OPTIONS = ("model", "folds", "seed", "trust_custom_code")
MODEL_GROUPS = ("data", "trainer", "store")
#: Kinds of tasks that can be checked.
CHECKED_KINDS = ("classification", "multilabel", "regression", "tagging", "retrieval")


def check_model_data(pages: dict[str, Path], words: list[str]) -> None:
    """Parses the words, trains a model for each fold, and shows what they say of the rows that they never saw.

    Args:
        pages: files by flag.
        words: the others.

    Raises:
        MmbertError: an option, the run or its data are at fault.
    """
    own, others = separate_options(words, "mmbert-check-data", MODEL_OPTIONS, MODEL_GROUPS)
    folds, seed = number_between(own, "folds", 5, 2, 50), number_between(own, "seed", 0, 0, 2**32 - 1)
    folder = model_folder(own.get("model"))
    run, trusted = run_of(folder), consent(own)
    privacy = read_privacy(run)

    from mmbert.analysis.data_quality.label_errors import check_cleanlab

    check_cleanlab()
    cfg = changed_config(used_config(run, trusted), others)

    from mmbert.model import MultimodalModel
    from mmbert.training.callbacks.console import quiet
    from mmbert.training.resources.out_of_memory import explain_out_of_memory, writing_places

    quiet()
    model = MultimodalModel.from_pretrained(folder, trust_custom_code=trusted or is_own_model(folder))
    with explain_out_of_memory(run.path, "data.eval_batch_size=8", places=writing_places(run.path, cfg.store)):
        content, table, data = judged_data(model, cfg, folds, seed, privacy)
    content = {"model": str(run), "data": str(data.path), "folds": folds, "seed": seed, **content}
    print_quality(content)
    write_quality(content, table, data, model, pages, privacy)


def number_between(own: Mapping[str, str], key: str, otherwise: int, least: int, most: int) -> int:
    """The value of a word.

    Raises:
        ConfigError: it is no whole number, or out of range.
    """
    given = own.get(key, str(otherwise))
    if not (given.isascii() and given.isdigit()) or not least <= int(given) <= most:
        raise ConfigError(f"{key}={given}: a whole number from {least} to {most} is wanted.")
    return int(given)


def changed_config(cfg: DictConfig, words: list[str]) -> DictConfig:
    """The run's config with other values.

    Raises:
        ConfigError: there is no such option, or not of this kind.
    """
    import hydra

    from mmbert.cli.options.check import parse_overrides
    from mmbert.cli.options.groups import Groups
    from mmbert.cli.options.values import apply_override, check_value
    from mmbert.cli.sweep.search_path import PACKAGE, add_working_folder

    add_working_folder()
    with hydra.initialize_config_module(PACKAGE, version_base="1.3", job_name="check_data"):
        from hydra.core.global_hydra import GlobalHydra

        groups = Groups(GlobalHydra.instance().config_loader())
        for override in parse_overrides(words, groups):
            if not override.is_add():
                check_value(cfg, override, groups)
            apply_override(cfg, override)
    return cfg


def judged_data(
    model: MultimodalModel, cfg: DictConfig, folds: int, seed: int, privacy: Privacy
) -> tuple[dict[str, Any], Any, MultimodalData]:
    """The summary, the table of rows, and the data.

    Raises:
        ConfigError: the run has no task that can be checked, or too few rows.
    """
    from omegaconf import open_dict

    from mmbert.analysis.data_quality.likeness import alike_groups
    from mmbert.analysis.data_quality.near_duplicates import groups_of_duplicates
    from mmbert.analysis.data_quality.out_of_sample import predict_out_of_sample
    from mmbert.analysis.data_quality.report import given_and_suggested, row_table, summary
    from mmbert.analysis.data_quality.scored import all_contradictions, all_label_errors
    from mmbert.data.modalities.registry import modality_of
    from mmbert.training.callbacks.console import print_line
    from mmbert.training.cross_fit import fit_on_rows
    from mmbert.training.predict import chosen_device
    from mmbert.training.task_configs import inferred_task
    from mmbert.training.use_store import read_from_store

    tasks = {name: task for name, task in model.named_tasks().items() if task.kind in CHECKED_KINDS}
    if not tasks:
        kinds = ", ".join(f"{name}: {task.kind}" for name, task in model.named_tasks().items())
        raise ConfigError(
            f"The run's tasks ({kinds}) are none of {', '.join(CHECKED_KINDS)}, of which labels can be scored."
        )
    if not any(cfg.tasks.values()):  # the run guessed its task from the column; a fold must not guess another
        with open_dict(cfg):
            cfg.tasks = {name: inferred_task(task.kind) for name, task in model.named_tasks().items()}
    for name, task in tasks.items():  # a fold must not learn other classes than the run has
        for option in ("classes", "tags", "scheme"):
            value: Any = getattr(task, option, None)
            if value:
                cfg.tasks[name][option] = value if option == "scheme" else list(map(str, value))
    data = whole_data(model, cfg)
    split_of = {int(row): split for split, of in data.rows.items() for row in of}
    dealt = dealt_out(data, tasks, folds, seed)
    if cfg.store.enabled:
        read_from_store(data, model, cfg.store, cfg.trainer)
    found = predict_out_of_sample(
        dealt,
        partial(fit_on_rows, cfg),
        tasks,
        list(model.fusion.dims),
        chosen_device("auto"),
        fold_lines(),
    )
    print_line("comparing cells of each modality for near-duplicates")
    splits = [split_of[int(row)] for row in found.rows]
    errors, contradictions = all_label_errors(found), all_contradictions(found, seed)
    inputs = {name: modality_of(encoder.processor) for name, encoder in model.named_encoders().items()}
    alike = {
        name: alike_groups(modality_cells(data, name, found.rows), data.table.folder, modality)
        for name, modality in inputs.items()
        if data.has_column(data.column_of(name))
    }
    labels = {name: given_and_suggested(task)[0] for name, task in found.tasks.items()}
    duplicates = groups_of_duplicates(alike, splits, labels)
    samples = privacy.samples
    content = summary(found, splits, errors, contradictions, duplicates, samples)
    content["not_judged"] = {
        name: f"a task of the kind {task.kind}" for name, task in model.named_tasks().items() if name not in tasks
    }
    return content, row_table(found, splits, errors, contradictions, duplicates, samples), data


def dealt_out(data: MultimodalData, tasks: Mapping[str, Task], count: int, seed: int) -> list[Fold]:
    """Folds of all rows of the data, by their groups and the classes of the first classification task.

    Raises:
        ConfigError: there are fewer rows, or groups, than folds.
    """
    import numpy as np

    from mmbert.analysis.data_quality.folds import make_folds

    rows = np.sort(np.concatenate(list(data.rows.values())))
    first = next((task for task in tasks.values() if task.kind == "classification"), None)
    strata = np.zeros(len(rows), np.int64) if first is None else data.table.codes(first.columns[0])[rows]
    group = data.drawing.group
    groups = data.table.codes(group)[rows] if group is not None and data.has_column(group) else None
    return list(make_folds(rows, strata, groups, count, seed))


def fold_lines() -> Callable[[int, list[Fold]], None]:
    """Prints which fold is trained, and how long the others will take once one is done."""
    from mmbert.training.callbacks.console import print_line

    began = time.monotonic()

    def on_fold(done: int, folds: list[Fold]) -> None:
        fold, seconds = folds[done], time.monotonic() - began
        rest = f"; {seconds:.0f} s so far, about {seconds / done * (len(folds) - done):.0f} s to go" if done else ""
        trained, held_out = len(fold.train) + len(fold.val), len(fold.held_out)
        print_line(f"fold {done + 1} of {len(folds)}: training on {trained:,} rows, {held_out:,} held out{rest}")

    return on_fold


def modality_cells(data: MultimodalData, name: str, rows: np.ndarray) -> list[Any]:
    """The cells of a modality."""
    return list(data.table.column(data.column_of(name), rows))


def whole_data(model: MultimodalModel, cfg: DictConfig) -> MultimodalData:
    """The run's data with its own splits, bound to the model.

    Raises:
        MmbertError: the table cannot be used.
    """
    from mmbert.training.instantiate import make
    from mmbert.training.task_configs import class_column

    tasks, encoders = model.named_tasks(), model.named_encoders()
    data: MultimodalData = make(cfg.data, seed=cfg.seed, label=class_column(cfg), augment=None)
    columns = {name: data.column_of(name) for name in encoders if data.has_column(data.column_of(name))}
    for task in tasks.values():
        task.set_input_columns(columns)
    data.bind(
        {name: encoder.processor for name, encoder in encoders.items()},
        {name: task.without_weights() for name, task in tasks.items()},
    )
    return data


def print_quality(content: Mapping[str, Any]) -> None:
    """The main numbers, and the worst five of each kind."""
    from mmbert.core.terminal import PlainConsole

    console = PlainConsole()

    def line(text: str) -> None:
        console.print(text, soft_wrap=True)

    for name, task in content["label_errors"].items():
        line(f"label errors of {name}: {task['scored']:,} rows scored out of sample")
        if task["estimate"] is not None:
            guess = f"estimated number{' of words' if task['kind'] == 'tagging' else ''} {task['estimate']:,}"
            agreement = "" if task["agreement"] is None else f"; {100 * task['agreement']:.1f} % agree with the model"
            line(f"  {task['flagged']:,} rows taken for errors, {guess}{agreement}")
        if task["class_not_met"]:
            line(f"  {task['class_not_met']:,} rows are not scored: their class is in no other fold")
        for entry in task["worst"][:5]:
            word = f" word {entry['word']}," if "word" in entry else ""
            answered = f"{word} given {entry['given']}, suggested {entry['suggested']}," if "given" in entry else ""
            line(f"  row {entry['row']:,} ({entry['split']}):{answered} quality {entry['quality']:.3f}")
    for name, of in content["contradictions"].items():
        line(f"contradicting modalities of {name}, by {of['source']}: {of['scored']:,} rows scored")
        for planted in of["planted"]:
            area = "–" if planted["auroc"] is None else f"{planted['auroc']:.3f}"
            line(f"  AUROC of planted mismatches, {planted['modality']} of {planted['partners']}: {area}")
        for entry in of["worst"][:5]:
            odd = "" if entry["odd_one_out"] is None else f", odd one out {entry['odd_one_out']}"
            line(f"  row {entry['row']:,} ({entry['split']}): {entry['contradiction']:+.2f}{odd}")
    twins = content["near_duplicates"]
    line(
        f"near-duplicates: {twins['groups']:,} groups alike in every modality, {twins['in_several_splits']:,} of them "
        f"in several splits, {twins['with_several_labels']:,} with several labels; {twins['alike_in_one_modality']:,} "
        "alike in one modality, in several splits or with several labels"
    )
    for name, why in content["not_judged"].items():
        line(f"{name} is not scored: {why}")


def write_quality(
    content: Mapping[str, Any],
    table: Any,
    data: MultimodalData,
    model: MultimodalModel,
    pages: Mapping[str, Path],
    privacy: Privacy,
) -> None:
    """Writes the files that were asked for; one that cannot be written does not keep the others back.

    Raises:
        ConfigError: one cannot be written.
    """
    from mmbert.analysis.data_quality.page import quality_page
    from mmbert.core.whole_files import write_whole_text
    from mmbert.data.modalities.registry import modality_of

    faults = []
    for flag, path in pages.items():
        if flag == "--json":
            masked = privacy.masked_value(content)
            text = json.dumps(masked, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        elif flag == "--csv":
            text = masked_labels(table, privacy).to_csv(index=False, lineterminator="\n")
        else:
            inputs = {name: modality_of(encoder.processor) for name, encoder in model.named_encoders().items()}
            text = quality_page(content, data, inputs, privacy)
        try:
            write_whole_text(path, text)
            print(f"  {path}")
        except OSError as error:
            faults.append(f"{flag} {path}: it cannot be written ({error.strerror}).")
    if faults:
        raise ConfigError(" ".join(faults))


def masked_labels(table: Any, privacy: Privacy) -> Any:
    """The table with what masks find in labels replaced."""
    made = table.copy()
    for column in made.columns:
        if column.endswith(("/given", "/suggested", "/word")):
            made[column] = [cell if cell is None else privacy.masked(str(cell)) for cell in made[column]]
    return made
