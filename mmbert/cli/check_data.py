"""``mmbert-check-data data=…``: what a table holds and what is wrong with it, before anybody trains on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.cli.app import run_with_usage
from mmbert.core.errors import ConfigError, DataError, WeightsError
from mmbert.core.privacy import Privacy
from mmbert.core.whole_files import write_whole_text

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from mmbert.data.datamodule import MultimodalData
    from mmbert.data.labels import TargetEncoder
    from mmbert.data.modalities.base import CellFacts
    from mmbert.data.quality.check import EncoderInput
    from mmbert.data.quality.report import DataReport

CHECK_DATA_USAGE = """\
usage: mmbert-check-data data=... [any option of mmbert-train] [--html FILE] [--json FILE]
       mmbert-check-data model=FOLDER [folds=5] [seed=0] [--html FILE] [--json FILE] [--csv FILE]

Reads a table and every file that it names, and says what is there and what is wrong: rows, classes and missing
modalities by split, lengths and sizes, unreadable files, samples that several splits share, classes that train never
shows. Takes the words of mmbert-train, so that what is checked is what would be trained.

  mmbert-check-data data=manifest data.path=my.csv
  mmbert-check-data data=manifest data.path=my.csv audio=none --html data.html

  --html FILE   a page with histograms and examples, in one file
  --json FILE   everything that was found, for programs

With a run's folder it trains that run's config anew on each fold of the run's data and says what the models think of
rows that they never saw: labels that are probably wrong, samples whose modalities contradict each other,
near-duplicates.

  mmbert-check-data model=outputs/DATE/TIME --html suspects.html

  folds         models that are trained, each as long as the run's own (default: 5)
  seed          of the folds (default: 0)
  --csv FILE    every row with its scores
  data.OPTION, trainer.OPTION, store.OPTION   other values than the run's own, such as trainer.max_epochs=5
  trust_custom_code=true   let classes outside the package be imported; a run that you began yourself needs no such word

Exit code: 0 = nothing that training would stop at; 1 = errors in the data; 2 = the check could not be made.
"""

REPORT_FLAGS = ("--html", "--json")


def main() -> None:
    """Entry point of the console script."""
    run_with_usage(check_data_table, "mmbert-check-data", CHECK_DATA_USAGE, needs_words=False)


def check_data_table(words: list[str]) -> None:
    """Parses the words, checks, and shows what was found.

    Raises:
        MmbertError: an option is wrong, or the table cannot be read at all.
    """
    if any(word.partition("=")[0] == "model" for word in words):
        from mmbert.cli.check_data_model import MODEL_FLAGS, check_model_data

        check_model_data(*split_flags(words, MODEL_FLAGS))
        return
    pages, others = split_flags(words)
    cfg = compose_train_config(others)

    from mmbert.cli.data_tables import print_data_report
    from mmbert.data.quality.check import check_data

    data, encoders, tasks, faults = data_to_check(cfg)
    report = check_data(data, encoders, tasks, progress)
    report.findings[:0] = faults
    print_data_report(report, data.path)
    write_reports(report, data, encoders, tasks, pages, Privacy.of(cfg.privacy))
    if report.errors:
        raise SystemExit(1)


def split_flags(words: list[str], flags: tuple[str, ...] = REPORT_FLAGS) -> tuple[dict[str, Path], list[str]]:
    """The files asked for by flag, of those that there are, and the other words.

    Raises:
        ConfigError: a flag is unknown, or its file is not named or cannot be written.
    """
    pages: dict[str, Path] = {}
    others = []
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag in flags:
            value = value if equals else next(rest, "")
            if not value or value.startswith("-"):
                raise ConfigError(f"{flag} needs the name of a file: {flag} data.{flag.removeprefix('--')}")
            pages[flag] = Path(value)
            if not pages[flag].absolute().parent.is_dir():
                raise ConfigError(f"{flag} {value}: there is no folder {pages[flag].parent}.")
        elif word.startswith("-"):
            raise ConfigError(f"'{word}' is no flag of mmbert-check-data: it has {', '.join(flags)} and --help.")
        else:
            others.append(word)
    return pages, others


def compose_train_config(words: list[str]) -> DictConfig:
    """The config that mmbert-train would have from the same words.

    Raises:
        ConfigError: a word is wrong.
    """
    import hydra

    from mmbert.cli.options.check import check_words
    from mmbert.cli.sweep.search_path import PACKAGE, add_working_folder

    add_working_folder()
    with hydra.initialize_config_module(PACKAGE, version_base="1.3", job_name="check_data"):
        return check_words(words, "train")


def data_to_check(
    cfg: DictConfig,
) -> tuple[MultimodalData, dict[str, EncoderInput], dict[str, TargetEncoder], list[Any]]:
    """The data, what the encoders read, and the tasks, without any encoder's weights.

    The last is what kept a task from learning its labels: findings like the others.
    """
    from mmbert.core.init_args import find_class
    from mmbert.data.modalities.registry import modality_of
    from mmbert.data.quality.check import EncoderInput
    from mmbert.data.quality.report import Finding
    from mmbert.encoders.base import Encoder
    from mmbert.training.instantiate import make
    from mmbert.training.language_models import language_models
    from mmbert.training.task_configs import all_tasks, class_column, fit_labels, given_arguments

    parts = {str(name): part for name, part in cfg.encoders.items() if part}
    if not parts:
        raise ConfigError("Every encoder is 'none', so there is nothing to check.")
    data: MultimodalData = make(cfg.data, seed=cfg.seed, label=class_column(cfg), augment=None)
    encoders: dict[str, EncoderInput] = {}
    tasks: dict[str, TargetEncoder] = {}
    faults: list[Any] = []
    for name, part in parts.items():
        found = find_class(part._target_)
        limit = None
        try:
            limit = found.length_limit(part) if issubclass(found, Encoder) else None
        except WeightsError as error:
            faults.append(Finding("warning", f"{name}: which rows are longer than max_tokens is not known. {error}"))
        modality = found.modality_with(part) if issubclass(found, Encoder) else modality_of(found)
        encoders[name] = EncoderInput(modality, part, limit)
    data.read_as({name: reads.modality for name, reads in encoders.items()})
    for name, reads in encoders.items():
        kind = find_class(parts[name]._target_)
        if not issubclass(kind, Encoder) or not reads.modality.learns_of_train:
            continue
        if not data.has_column(data.column_of(name)):
            continue
        try:
            learned = kind.learned(parts[name], data.train_cells(name, reads.modality))
        except DataError as error:
            faults.append(Finding("error", f"{name}: {str(error).removeprefix(f'{data.path}, ')}"))
        else:
            encoders[name] = EncoderInput(reads.modality, {**parts[name], **learned}, reads.limit)
    try:
        parts_of_tasks = all_tasks(cfg, data)
    except DataError as error:
        parts_of_tasks = {}
        faults.append(Finding("error", str(error).removeprefix(f"{data.path}: "), subject="tasks"))
    columns = {encoder: data.column_of(encoder) for encoder in parts if data.has_column(data.column_of(encoder))}
    with language_models(parts_of_tasks) as assets:
        for name, part in parts_of_tasks.items():
            try:
                learned = fit_labels(part, data)
            except DataError as error:
                subject = f"{name}, column '{part.column}'"
                faults.append(Finding("error", f"{subject}: {error}", subject=subject))
                continue
            given = given_arguments(part, 1, dict.fromkeys(parts, 1), columns)
            tasks[str(name)] = make(part, **{**learned, **given, **assets.get(name, {})}).without_weights()
    return data, encoders, tasks, faults


def progress(facts: Iterable[CellFacts], count: int, name: str) -> Iterator[CellFacts]:
    """A moving bar on a terminal, for the reading of an encoder's files."""
    from rich.console import Console
    from rich.progress import track

    quiet = not sys.stderr.isatty()
    yield from track(facts, f"reading {name}", count, console=Console(stderr=True), disable=quiet, transient=True)


def write_reports(
    report: DataReport,
    data: MultimodalData,
    encoders: dict[str, EncoderInput],
    tasks: dict[str, TargetEncoder],
    pages: dict[str, Path],
    privacy: Privacy,
) -> None:
    """Writes the files that were asked for, as far as ``privacy`` allows.

    Raises:
        ConfigError: one cannot be written.
    """
    texts, report = {}, report.private(privacy)
    if "--json" in pages:
        texts["--json"] = json.dumps(report.as_json(), ensure_ascii=False, indent=2) + "\n"
    if "--html" in pages:
        from mmbert.data.quality.page import data_page

        texts["--html"] = data_page(
            report, data, {name: reads.modality for name, reads in encoders.items()}, tasks, privacy
        )
    for flag, text in texts.items():
        try:
            write_whole_text(pages[flag], text)
        except OSError as error:
            raise ConfigError(f"{flag} {pages[flag]}: it cannot be written ({error.strerror}).") from error
        print(f"  {pages[flag]}")


if __name__ == "__main__":
    main()
