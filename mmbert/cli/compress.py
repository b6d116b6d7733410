"""``mmbert-compress model=FOLDER``: a saved model made smaller in several ways, and measured side by side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.cli.app import run_with_usage
from mmbert.cli.compress_refusals import refuse_made, refuse_no_student, refuse_private
from mmbert.cli.evaluate import compose_configs, names_in, run_of, separate_options
from mmbert.cli.out_folder import out_folder
from mmbert.cli.predict import model_folder
from mmbert.cli.run_config import consent, used_config
from mmbert.cli.saved_model import folder_of_run, number_up_to, one_split
from mmbert.core.errors import ConfigError
from mmbert.deploy.compress.methods import DEFAULT, PRUNINGS, Method, parse_methods
from mmbert.runs.folder import RunFolder, is_own_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omegaconf import DictConfig

COMPRESS_USAGE = """\
usage: mmbert-compress model=FOLDER [methods=[...]] [amount=0.25] [epochs=2] [split=test] [out=FOLDER] [data.OPTION=...]

Makes a saved model smaller and faster in several ways, and measures them side by side: quality of every task with
95 % intervals, size, latency at batch 1 and 32, memory; what no other variant beats is marked. FOLDER is a run's
folder, the model/ in it, or user/name on the Hugging Face hub. Needs pip install 'mmbert[compress]'.

  mmbert-compress model=outputs/DATE/TIME
  mmbert-compress model=outputs/DATE/TIME methods=[int8_onnx,without]
  mmbert-compress model=outputs/DATE/TIME methods=[structured,structured+int8_onnx] amount=0.5 epochs=4
  mmbert-compress model=outputs/DATE/TIME methods=[distil,student] student=[text=none]

  methods     rows of the table; changes are joined by +, what runs the model comes last (default: onnx, int8_onnx,
              structured, structured+int8_onnx, without):
                original      as it is, in PyTorch; always there
                structured    heads and channels cut out (torch-pruning), then trained on
                layers        top layers of text encoders cut off, then trained on
                magnitude     the smallest weights set to zero, then trained on: smaller files when compressed, no speed
                distil        a student that learns from labels and from the model; student is the same without it
                without       a row for each modality that is taken away
                onnx          float32 in onnxruntime        int8_onnx     int8 in onnxruntime
                int8_torchao  int8 in PyTorch by torchao
  amount      share of heads, channels, layers or weights that goes (default: 0.25)
  epochs      of training after pruning; 0 = none (default: 2)
  student     options of mmbert-train in which the student differs from the run, in brackets; of samples that lack all
              modalities it has, data.on_error=skip (outside the brackets) judges it without them
  temperature of distillation (default: 2)
  alpha       share of the model in the student's loss (default: 0.5)
  task        whose metric the frontier is drawn with (default: the first)
  split       that quality is measured on (default: the first test split)
  out         where everything goes (default: compressed/ in the run's folder; outputs/DATE/TIME with other data)
  threads     of torch and onnxruntime (default: the cores)
  rounds      in which latencies are measured, in turns (default: 7)
  calibration training samples by which int8 ranges of convolutions are found; 0 = they stay float32 (default: 128)
  bootstraps  number of resamples of the intervals; 0 = no intervals (default: 1000)
  seed        of training and of the resamples (default: 0)
  data        as for mmbert-train; without data=, the run's own, changed by data.OPTION=VALUE

  trust_custom_code=true   let classes outside the package be imported, and use the run's own data as it says; a run
              that you began yourself needs no such word
"""

COMPRESS_OPTIONS: tuple[str, ...] = (
    "model",
    "methods",
    "amount",
    "epochs",
    "student",
    "temperature",
    "alpha",
    "task",
    "split",
    "out",
)
COMPRESS_OPTIONS += ("threads", "rounds", "calibration", "bootstraps", "seed", "trust_custom_code")
COMPRESS_GROUPS = ("data", "store")


def main() -> None:
    """Entry point of the console script."""
    run_with_usage(compress_model, "mmbert-compress", COMPRESS_USAGE)


def compress_model(words: list[str]) -> None:
    """Parses the words, makes and measures the variants, and prints the table.

    Raises:
        MmbertError: an option, the model or the data is at fault.
    """
    own, others = separate_options(words, "mmbert-compress", COMPRESS_OPTIONS, COMPRESS_GROUPS)
    folder = model_folder(own.get("model"))
    trusted = consent(own)
    methods = parse_methods(names_in(own.get("methods", ",".join(DEFAULT))))
    numbers = {
        "amount": number_from_to(own, "amount", 0.25, 0.01, 0.95),
        "alpha": number_from_to(own, "alpha", 0.5, 0, 1),
        "temperature": number_from_to(own, "temperature", 2.0, 0.01, 1000),
        **{key: number_up_to(own, key, default, most) for key, (default, most) in WHOLE_NUMBERS.items()},
    }
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads, rounds = number_up_to(own, "threads", cores, 1024), number_up_to(own, "rounds", 7, 1000)
    if not threads or not rounds:
        raise ConfigError("threads and rounds: at least 1 is wanted.")
    named = out_folder(own)
    cfg = compose_configs(others, folder, trusted)
    split = one_split(own.get("split"), cfg.data)
    other_data = any(word.lstrip("+~").startswith("data") for word in others)
    out = named or default_out(folder, other_data)
    refuse_made(out, methods)
    refuse_no_student(methods, "student" in own)
    training = training_of(folder, trusted, cfg, methods)
    refuse_private(methods, training, numbers["epochs"])
    student = student_of(folder, own.get("student"), cfg, trusted)

    from mmbert.core.whole_files import write_whole_text
    from mmbert.deploy.compress.compression import compress  # heavy: after the words are known to be right
    from mmbert.deploy.compress.settings import Settings
    from mmbert.model import MultimodalModel
    from mmbert.reporting.outputs.page.compression import compression_page
    from mmbert.training.callbacks.console import print_line, quiet
    from mmbert.training.resources.out_of_memory import explain_out_of_memory

    quiet()
    trusted = trusted or is_own_model(folder)
    model = MultimodalModel.from_pretrained(folder, trust_custom_code=trusted)
    settings = Settings(
        methods,
        folder,
        out,
        cfg.data,
        split,
        training,
        student,
        threads=threads,
        rounds=rounds,
        task=own.get("task"),
        trusted=trusted,
        **numbers,  # type: ignore[arg-type]
    )
    places = {out: "name another folder, out=FOLDER"}
    with explain_out_of_memory(out, "data.batch_size=16, data.eval_batch_size=8", places=places):
        content = compress(model, settings, lambda what: print_line(f"  {what}"))
        write_whole_text(out / PAGE, compression_page(content))
    print_compression(content, out)


PAGE = "compression.html"
WHOLE_NUMBERS = {"epochs": (2, 10_000), "calibration": (128, 10**6), "bootstraps": (1000, 100_000)}
WHOLE_NUMBERS |= {"seed": (0, 2**32 - 1)}


def number_from_to(own: Mapping[str, str], key: str, otherwise: float, least: float, most: float) -> float:
    """The value of a word that is a number.

    Raises:
        ConfigError: it is none, or out of range.
    """
    try:
        value = float(own.get(key, otherwise))
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise ConfigError(f"{key}={own[key]}: a number from {least:g} to {most:g} is wanted.")
    return value


def default_out(folder: Path, other_data: bool) -> Path:
    """``compressed/`` in the model's run, or a new folder."""
    run = folder_of_run(folder, other_data).path
    return run / "compressed" if RunFolder(run).config.is_file() else run


def training_of(folder: Path, trusted: bool, cfg: DictConfig, methods: list[Method]) -> DictConfig | None:
    """The run's whole config with the data of this command; None where nothing is trained on."""
    if not any(set(method.changes) & PRUNINGS for method in methods):
        return None
    whole = used_config(run_of(folder), trusted)
    whole.data, whole.store = cfg.data, cfg.store
    return whole


def student_of(folder: Path, given: str | None, cfg: DictConfig, trusted: bool) -> DictConfig | None:
    """The config of a student: of mmbert-train with the run's own words and then these.

    Raises:
        ConfigError: a word is wrong, or the run's own are not known; or they name what needs consent.
    """
    if given is None:
        return None
    changes = split_outside_brackets(given[1:-1] if given.startswith("[") and given.endswith("]") else given)
    replaced = {word.lstrip("+~").partition("=")[0] for word in changes}
    for name in replaced:
        if name.partition(".")[0].partition("@")[0] in COMPRESS_GROUPS:
            raise ConfigError(
                f"student=: {name} is for all variants alike: give it to mmbert-compress itself, outside student=[...]."
            )
    run = run_of(folder)
    begun = starting_words(run)
    import hydra
    from omegaconf import OmegaConf

    from mmbert.cli.options.check import check_words
    from mmbert.cli.options.task_word import with_task_sets
    from mmbert.cli.options.trusted import check_untrusted
    from mmbert.cli.options.values import without_hydra
    from mmbert.cli.sweep.search_path import PACKAGE, add_working_folder

    add_working_folder()
    kept = [word for word in begun if word.lstrip("+~").partition("=")[0] not in replaced]
    with hydra.initialize_config_module(PACKAGE, version_base="1.3", job_name="compress"):
        made = without_hydra(check_words(with_task_sets([*kept, *changes]), "train"))
    if not (trusted or run.begun_here):
        plain: Any = OmegaConf.to_container(made, resolve=True)
        check_untrusted(plain, str(run.job))
    made.data, made.store = cfg.data, cfg.store
    return made


def starting_words(run: RunFolder) -> list[str]:
    """The options that a run was started with.

    Raises:
        ConfigError: it was not started by words, so that its config's groups are not known.
    """
    job = run.read_job()
    if job.get("command") is None:
        raise ConfigError(
            f"student=: {run} was not started by mmbert-train with words of its own (a pruned model, or a run from "
            "Python), so that nobody knows what the student would have in common with it. Take the run that it comes "
            "from, or train the student by mmbert-train."
        )
    return [str(word) for word in job.get("overrides", [])]


def split_outside_brackets(text: str) -> list[str]:
    """``a=[1,2],b={c: 3, d: 4}`` -> the words at its commas, those inside brackets left alone."""
    words, depth, word = [], 0, ""
    for letter in text:
        depth += (letter in "[{(") - (letter in "]})")
        if letter == "," and depth == 0:
            words.append(word)
            word = ""
        else:
            word += letter
    return [word.strip() for word in [*words, word] if word.strip()]


def print_compression(content: Mapping[str, Any], out: Path) -> None:
    """What each variant costs in quality, what it gives, and where everything was written.

    Two tables, each of which fits a terminal of 80 columns.
    """
    from rich.table import Table

    from mmbert.core.terminal import PlainConsole
    from mmbert.training.callbacks.console import shortest

    console, task = PlainConsole(), content["task"]
    first = content["variants"][0]["quality"][task]
    quality = Table(title=f"{task}: {first['metric']} on {content['split']}", title_justify="left")
    cost = Table(title=f"latency (p50) at batch 1 and 32 with {content['threads']} threads", title_justify="left")
    for table, heads in (
        (quality, (first["metric"], "difference", "frontier")),
        (cost, ("MiB", "ms, 1", "×", "ms, 32", "×", "peak MiB")),
    ):
        table.add_column("", no_wrap=True)
        for head in heads:
            table.add_column(head, justify="left" if head == "frontier" else "right")
    for row in content["variants"]:
        found = row["quality"].get(task, {"value": None, "difference": {"value": None}})
        one, many = row["latency"]["1"], row["latency"]["32"]
        quality.add_row(
            row["name"],
            value_and_interval(found, ".3f"),
            "" if row is content["variants"][0] else value_and_interval(found["difference"], "+.3f"),
            " ".join(key for key, there in row["frontier"].items() if there),
        )
        cost.add_row(
            row["name"],
            f"{row['bytes'] / 2**20:.1f}",
            *(f"{one['p50_ms']:.2f}", f"{one['speedup']:.2f}", f"{many['p50_ms']:.1f}", f"{many['speedup']:.2f}"),
            f"{row['memory']['peak_mib']:.0f}",
        )
    console.print(quality)
    console.print(cost)
    for row in content["variants"]:
        for remark in row["remarks"]:
            console.print(f"  {row['name']}: {remark}", soft_wrap=True)
    for method, why in content["failed"].items():
        console.print(f"  {method} could not be made: {why}", soft_wrap=True)
    for what, name in {"summary": "compression.json", "table": "compression.csv", "page": PAGE}.items():
        console.print(f"  {what:<12} {shortest(out / name)}", soft_wrap=True)


def value_and_interval(found: Mapping[str, Any], shown: str) -> str:
    """``0.9100 [0.9000, 0.9200]``."""
    if found["value"] is None:
        return "–"
    if found["low"] is None:
        return f"{found['value']:{shown}}"
    return f"{found['value']:{shown}} [{found['low']:{shown}}, {found['high']:{shown}}]"


if __name__ == "__main__":
    main()
