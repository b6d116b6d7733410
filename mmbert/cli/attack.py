"""``mmbert-attack model=RUN``: how well it can be told which samples models like a run's were trained on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from mmbert.cli.app import run_with_usage
from mmbert.cli.evaluate import names_in, run_of, separate_options
from mmbert.cli.out_folder import out_folder
from mmbert.cli.predict import model_folder
from mmbert.cli.run_config import consent, used_config
from mmbert.cli.saved_model import number_up_to
from mmbert.core.errors import ConfigError, nearest
from mmbert.runs.folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ATTACK_USAGE = """\
usage: mmbert-attack model=RUN [task=NAME] [shadows=64] [attack=online] [variance=auto] [out=FOLDER] [bootstraps=1000]

Measures membership inference by LiRA (Carlini et al. 2022): trains models as the run was trained, on random halves of
its training split, and tells from their answers which samples each was trained on. Encoders must be frozen: their
features are computed once. With the run's own options, privacy=dp included.

  mmbert-attack model=outputs/DATE/TIME
  mmbert-attack model=outputs/DATE/TIME task=answer shadows=128

  task        names, with commas (default: every task with a probability of its label, or a number)
  shadows     how many models are trained, an even number from 6 (default: 64)
  attack      online = references with and without each sample; offline = only those without it (default: online)
  variance    of the Gaussians: global = one for all samples, sample = one for each, auto = global below 64 reference
              models (default: auto)
  out         where membership.json, .csv and .html and membership_scores.csv go (default: the run's folder)
  bootstraps  number of resamples of the intervals; 0 = no intervals (default: 1000)
  seed        of halves, models and resamples (default: 0)

  trust_custom_code=true   let classes outside the package be imported, and use the run's own config as it says; a run
              that you began yourself needs no such word
"""

ATTACK_OPTIONS = ("model", "task", "shadows", "attack", "variance", "out", "bootstraps", "seed", "trust_custom_code")
MOST_SHADOWS = 4096


def main() -> None:
    """Entry point of the console script."""
    run_with_usage(attack_run, "mmbert-attack", ATTACK_USAGE)


def attack_run(words: list[str]) -> None:
    """Parses the words, trains and attacks the models, writes the files and prints the table.

    Raises:
        MmbertError: an option, the run or the data is at fault.
    """
    own, _ = separate_options(words, "mmbert-attack", ATTACK_OPTIONS, ())
    folder = model_folder(own.get("model"))
    trusted = consent(own)
    shadows = number_up_to(own, "shadows", 64, MOST_SHADOWS)
    if shadows < 6 or shadows % 2:
        raise ConfigError(f"shadows={shadows}: an even number from 6 is wanted, for a result 64 or more.")
    offline = chosen_word(own, "attack", ("online", "offline")) == "offline"
    variance: Any = chosen_word(own, "variance", ("auto", "global", "sample"))
    bootstraps, seed = number_up_to(own, "bootstraps", 1000, 100_000), number_up_to(own, "seed", 0, 2**32 - 1)
    out, trained = out_folder(own), trained_run(folder)
    cfg = used_config(trained, trusted)
    refuse_unknown(names_in(own.get("task", "")), {name: part for name, part in cfg.tasks.items() if part})
    run = trained if out is None else RunFolder(out)

    from mmbert.analysis.membership.audit import AttackOptions, attack, attacked_tasks, observe  # heavy, so late
    from mmbert.analysis.membership.files import write_attack
    from mmbert.analysis.membership.shadows import ShadowTrainer
    from mmbert.core.whole_files import write_whole_text
    from mmbert.reporting.outputs.page.membership import membership_page
    from mmbert.runs.start import run_lock
    from mmbert.tasks.regression import Regression
    from mmbert.training.callbacks.console import print_line, quiet
    from mmbert.training.instantiate import resolved
    from mmbert.training.resources.out_of_memory import explain_out_of_memory, less_memory, writing_places
    from mmbert.training.use_store import progress_bar

    quiet()
    options = AttackOptions(shadows, offline, None if variance == "auto" else variance, bootstraps, seed)
    places = {**writing_places(run.path, cfg.get("store")), run.path: "name another folder, out=FOLDER"}
    with (
        explain_out_of_memory(run.path, less_memory(cfg), places=places),
        run_lock(run, "wait until it has ended, or name another folder: out=FOLDER"),
    ):
        trainer = ShadowTrainer(cfg)
        tasks = trainer.parts.model.named_tasks()
        names, refused = attacked_tasks(tasks, names_in(own.get("task", "")))
        with progress_bar("shadow models", shadows) as shown:
            notify = announced(len(trainer.rows), shadows, print_line, shown)
            observed = observe(trainer, names, options, notify)
        found = {name: attack(one, options, not isinstance(tasks[name], Regression)) for name, one in observed.items()}
        facts = {
            "model": str(trained),
            "data": str(trainer.parts.data.path),
            "privacy": guarantees(resolved(cfg.get("privacy")) or {}),
            "refused": refused,
        }
        content = write_attack(found, facts, options, run)
        write_whole_text(run.membership_page, membership_page(content))
    print_attack(content, run)


def chosen_word(own: Mapping[str, str], key: str, choices: tuple[str, ...]) -> str:
    """The value of a word that is one of a few; the first by default.

    Raises:
        ConfigError: it is none of them.
    """
    given = own.get(key, choices[0])
    if given not in choices:
        raise ConfigError(f"{key}={given}: one of {', '.join(choices)} is wanted.")
    return given


def refuse_unknown(names: list[str], tasks: Mapping[str, Any]) -> None:
    """Before any data are read; what a run without configured tasks has is known from its table alone.

    Raises:
        ConfigError: the run has no task of one of these names.
    """
    for name in names if tasks else ():
        if name not in tasks:
            raise ConfigError(f"task={name}: the run has no such task. {nearest(name, tasks)}")


def trained_run(folder: Any) -> RunFolder:
    """The run that the model lies in.

    Raises:
        ConfigError: it lies in none, so that nobody knows how it was trained.
    """
    try:
        return run_of(folder)
    except ConfigError:
        raise ConfigError(
            f"model={folder} lies in no run's folder. The attack trains models as the run was trained, so it needs the "
            "run's options: name the folder that mmbert-train wrote."
        ) from None


def guarantees(privacy: Mapping[str, Any]) -> dict[str, Any]:
    """What of ``privacy`` concerns the training, not what is written of samples."""
    return {key: value for key, value in privacy.items() if key not in ("samples", "mask") and value is not None}


def announced(
    rows: int, shadows: int, print_line: Callable[[str], None], shown: Callable[[int], None]
) -> Callable[[int], None]:
    """What is called after each model: tells, after the second one, how long all will take."""
    began = time.monotonic()
    ends: list[float] = []

    def notify(count: int) -> None:
        ends.append(time.monotonic())
        shown(1)
        if count == 1:
            print_line(f"shadows   {shadows} models, each trained on about half of {rows:,} training rows")
        if count == 2:  # the first one also reads all features
            each = ends[1] - ends[0]
            left = ends[0] - began + each * (shadows - 1)
            print_line(f"          {each:.1f} s a model, about {duration(left)} in all")

    return notify


def duration(seconds: float) -> str:
    """``45 s``, ``3 min``."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def print_attack(content: Mapping[str, Any], run: RunFolder) -> None:
    """A table a task, and where everything was written."""
    from rich.table import Table

    from mmbert.core.terminal import PlainConsole
    from mmbert.reporting.outputs.page.membership import ATTACKS, MEASURES, measure_cell, too_few
    from mmbert.training.callbacks.console import shortest

    console = PlainConsole()
    for name, task in content["tasks"].items():
        title = f"{name}: {task['samples']:,} training samples, {content['shadows']} models"
        table = Table(title=title, title_justify="left")
        table.add_column("")
        for attack in task["attacks"]:
            table.add_column(ATTACKS[attack], justify="right")
        for key, called in MEASURES.items():
            table.add_row(called, *(measure_cell(found[key]).text for found in task["attacks"].values()))
        console.print(table)
        for line in attack_remarks(task):
            console.print(f"  {line}", soft_wrap=True)
    if why := too_few(content["shadows"]):
        console.print(f"  warning      {why}", soft_wrap=True)
    for name, why in content["refused"].items():
        console.print(f"  {name:<12} not attacked: {why}", soft_wrap=True)
    places = {"attack": run.membership, "rows": run.membership_rows, "scores": run.membership_scores}
    for what, path in {**places, "page": run.membership_page}.items():
        console.print(f"  {what:<12} {shortest(path)}", soft_wrap=True)


def attack_remarks(task: Mapping[str, Any]) -> list[str]:
    """What must be known to read a table."""
    lines = [f"chance      TPR = FPR, AUC 0.5, over {task['non_member_pairs']:,} pairs of a model and a non-member"]
    accuracy = task["accuracy"]
    if accuracy["members"] is not None:
        inside, outside = accuracy["members"], accuracy["non_members"]
        lines.append(f"accuracy    {inside:.4f} on samples a model was trained on, {outside:.4f} on others")
    return [*lines, *(f"rate        {one['why']}" for one in task["attacks"]["lira"].values() if one.get("why"))]


if __name__ == "__main__":
    main()
