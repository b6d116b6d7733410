"""``mmbert-explain model=FOLDER``: what each modality contributes to what a saved model answers, and to its metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmbert.cli.app import run_with_usage
from mmbert.cli.evaluate import compose_configs, names_in, separate_options
from mmbert.cli.explain_numbers import magnitude, number, percent
from mmbert.cli.explain_parts import PARTS_OPTIONS, explain_parts_of
from mmbert.cli.out_folder import out_folder
from mmbert.cli.predict import model_folder
from mmbert.cli.run_config import consent
from mmbert.cli.saved_model import bound_data, folder_of_run, number_up_to, one_split
from mmbert.core.errors import ConfigError
from mmbert.runs.folder import RunFolder, is_own_model

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPLAIN_USAGE = """\
usage: mmbert-explain model=FOLDER [parts=true] [split=test] [task=NAME] [out=FOLDER] [data=...] [data.OPTION=...]

Shares out what a saved model answers, and its metric, to the modalities: exact Shapley values over every subset of
them, with 95 % intervals over the samples. FOLDER is a run's folder, the model/ in it, or user/name on the Hugging Face
hub.

  mmbert-explain model=outputs/DATE/TIME
  mmbert-explain model=outputs/DATE/TIME split=val task=answer
  mmbert-explain model=outputs/DATE/TIME data.path=corrected.csv out=corrected
  mmbert-explain model=outputs/DATE/TIME data=manifest data.path=other.csv split=all out=other
  mmbert-explain model=outputs/DATE/TIME parts=true
  mmbert-explain model=outputs/DATE/TIME parts=true rows=3,17 task=answer class=12

With parts=true instead: which words, pixels and moments of some samples the answers rest on, by integrated gradients
(captum), with attention rollout and the gates of the fusion; in parts.json, .csv, .npz and .html.

  split       which one; all = every row of the table (default: the first test split)
  task        names, with commas (default: every task of which one sample's answer has a probability or a number)
  out         where explanation.json, .csv and .html go (default: the run's folder; outputs/DATE/TIME with other data)
  data        as for mmbert-train; without data=, the run's own, changed by data.OPTION=VALUE
  store       store.OPTION=VALUE, as for mmbert-train; without it, that of a run that you began yourself
  device      auto, cpu, cuda, cuda:1, mps (default: auto)
  bootstraps  number of resamples of the intervals; 0 = no intervals (default: 1000)
  seed        of the resamples (default: 0)

  with parts=true
  rows        of the table, from 0, with commas (default: some drawn at random)
  samples     number that is drawn; 0 = all of the split (default: 24)
  shown       samples on the page, the others are in its sums alone (default: 12)
  class       of one task, with commas: explain these instead of what is answered
  steps       terms of the sum along the way; doubled where the completeness gap is above the tolerance (default: 64)
  most_steps  at most so many (default: 1024)
  tolerance   share of a probability of 1, or of a number's deviation in training (default: 0.01)

  trust_custom_code=true   let classes outside the package be imported, and use the run's own data as it says; a run
              that you began yourself needs no such word
"""

EXPLAIN_OPTIONS = (
    *("model", "split", "task", "out", "device", "bootstraps", "seed", "trust_custom_code"),
    *("parts", *PARTS_OPTIONS),
)
EXPLAIN_GROUPS = ("data", "store")


def main() -> None:
    """Entry point of the console script."""
    run_with_usage(explain_model, "mmbert-explain", EXPLAIN_USAGE)


def explain_model(words: list[str]) -> None:
    """Parses the words, measures every subset, writes the files and prints the tables.

    Raises:
        MmbertError: an option, the model or the data is at fault.
    """
    own, others = separate_options(words, "mmbert-explain", EXPLAIN_OPTIONS, EXPLAIN_GROUPS)
    folder = model_folder(own.get("model"))
    if parts_wanted(own):
        explain_parts_of(own, others, folder)
        return
    trusted = consent(own)
    bootstraps, seed = number_up_to(own, "bootstraps", 1000, 100_000), number_up_to(own, "seed", 0, 2**32 - 1)
    out = out_folder(own)
    cfg = compose_configs(others, folder, trusted)
    split = one_split(own.get("split"), cfg.data)
    other_data = any(word.lstrip("+~").startswith("data") for word in others)
    run = folder_of_run(folder, other_data) if out is None else RunFolder(out)

    from mmbert.analysis.explanation import chosen_tasks, explain_tasks  # heavy: after the words are known to be right
    from mmbert.analysis.explanation_files import write_explanation
    from mmbert.core.whole_files import write_whole_text
    from mmbert.model import MultimodalModel
    from mmbert.reporting.outputs.page.explanation import explanation_page
    from mmbert.runs.start import run_lock
    from mmbert.training.callbacks.console import print_line, quiet
    from mmbert.training.predict import chosen_device
    from mmbert.training.resources.out_of_memory import explain_out_of_memory, writing_places
    from mmbert.training.use_store import moving_on, progress_bar

    quiet()
    device = chosen_device(own.get("device", "auto"))
    model = MultimodalModel.from_pretrained(folder, trust_custom_code=trusted or is_own_model(folder))
    tasks = chosen_tasks(model, names_in(own.get("task", "")))
    places = {**writing_places(run.path, cfg.store), run.path: "name another folder, out=FOLDER"}
    with explain_out_of_memory(run.path, "data.eval_batch_size=8, data.num_workers=0", places=places):
        data = bound_data(model, cfg, split)
        with run_lock(run, "wait until it has ended, or name another folder: out=FOLDER"):
            loader, subsets = data.loader(split), 2 ** len(model.fusion.dims) - 1
            print_line(f"explain   {len(data.rows[split]):,} samples, each fused {subsets} times")
            with progress_bar("batches", len(loader)) as shown:
                found = explain_tasks(model, moving_on(loader, shown), tasks, device, bootstraps, seed)
            facts = {"model": str(folder), "data": str(data.path), "split": split, "skipped": len(found.skipped)}
            content = write_explanation(found, facts, run)
            write_whole_text(run.explanation_page, explanation_page(content))
    print_explanation(content, run)


def parts_wanted(own: Mapping[str, str]) -> bool:
    """Whether parts of samples are explained instead of whole modalities.

    Raises:
        ConfigError: ``parts`` is neither true nor false, or an option of parts is given without it.
    """
    given = own.get("parts", "false")
    if given not in ("true", "false"):
        raise ConfigError(f"parts={given}: true or false is wanted.")
    for option in PARTS_OPTIONS:
        if given == "false" and option in own:
            raise ConfigError(f"{option}={own[option]} is an option of parts=true: say that too.")
    return given == "true"


def print_explanation(content: Mapping[str, Any], run: RunFolder) -> None:
    """For each task a table of the modalities and one of their pairs, and where everything was written."""
    from rich.table import Table

    from mmbert.core.terminal import PlainConsole
    from mmbert.training.callbacks.console import shortest

    console = PlainConsole()
    for name, task in content["tasks"].items():
        output, metric = task["output"], task["metric"]
        gain = f"gain in {metric['metric']}" if metric["metric"] else None
        title = f"{name}: {output['explained']}; {output['samples']} samples of {content['split']}"
        table = Table(title=title, title_justify="left")
        for column in ("", "share of output", "φ of output", "mean |φ|", *([gain, "share"] if gain else [])):
            table.add_column(column, justify="left" if not column else "right")
        for modality, found in output.get("modalities", {}).items():
            cells = [percent(found["share"]), number(found["value"]), magnitude(found["size"])]
            gains = metric["modalities"][modality] if gain else {}
            table.add_row(modality, *cells, *([number(gains["value"]), percent(gains["share"])] if gain else []))
        table.add_section()
        for place, pair in enumerate(output.get("interactions", [])):
            cells = ["", number(pair["value"]), magnitude(pair["size"])]
            more = [number(metric["interactions"][place]["value"]), ""] if gain else []
            table.add_row(" × ".join(pair["modalities"]), *cells, *more)
        console.print(table)
        for line in remarks_of(output, metric):
            console.print(f"  {line}", soft_wrap=True)
    if content["skipped"]:
        console.print(f"  skipped      {content['skipped']} rows that could not be read")
    places = {"explanation": run.explanation, "samples": run.explained_samples, "page": run.explanation_page}
    for what, path in places.items():
        console.print(f"  {what:<12} {shortest(path)}", soft_wrap=True)


def remarks_of(output: Mapping[str, Any], metric: Mapping[str, Any]) -> list[str]:
    """What must be known to read a table."""
    lines = []
    if output["samples"]:
        lines.append(
            f"output      {output['mean_output']:.4f} on average, {output['mean_without_any']:.4f} without any modality"
        )
    if output.get("without_share"):
        lines.append(f"            {output['without_share']} samples have no share: no modality changes their output")
    if metric["metric"]:
        whole, empty = metric["subsets"][-1]["value"], metric["subsets"][0]["value"]
        less = "" if metric["higher_is_better"] else "; less is better, a gain is what it falls by"
        lines.append(f"{metric['metric']:<11} {whole:.4f}, {empty:.4f} without any modality{less}")
    why = metric.get("why") or metric.get("why_no_interval")
    return [*lines, *([f"metric      {why}"] if why else [])]


if __name__ == "__main__":
    main()
