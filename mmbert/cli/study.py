"""``mmbert-study``: which studies there are, which jobs one of them has, its files for W&B sweeps and its page there.

mmbert-study list
mmbert-study show fusion_comparison
mmbert-study wandb fusion_comparison --out sweep.yaml
wandb sweep sweep.yaml
mmbert-study workspace fusion_comparison --entity my_team
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.cli.app import run_plain
from mmbert.core.errors import ConfigError, nearest
from mmbert.core.whole_files import write_whole_text
from mmbert.reporting.statistics.summary import is_error

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig


@dataclass(frozen=True)
class Study:
    """An experiment file, composed.

    Attributes:
        name: of the file.
        cfg: the config of its first job, with the ``hydra`` part.
        params: the values of every swept option, as words.
    """

    name: str
    cfg: DictConfig
    params: dict[str, list[str]]

    def jobs(self) -> list[list[str]]:
        """The words of every job, without the study's own."""
        from itertools import product

        return [[f"{k}={v}" for k, v in zip(self.params, v, strict=True)] for v in product(*self.params.values())]


def load_study(name: str) -> Study:
    """Reads a study from the package or from the working folder.

    Raises:
        ConfigError: there is none of this name, or it sweeps nothing.
    """
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from mmbert.cli.options.check import check_words
    from mmbert.cli.options.help import group_choices
    from mmbert.cli.options.quoting import quoted_words
    from mmbert.cli.sweep.search_path import PACKAGE, add_working_folder

    known = group_choices().get("experiment", [])
    if name not in known:
        raise ConfigError(f"There is no study '{name}'. {nearest(name, known)}")
    add_working_folder()
    with hydra.initialize_config_module(PACKAGE, version_base="1.3", job_name="train"):
        cfg = check_words([f"experiment={name}"], "train", sweep=True)
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        given = cfg.hydra.sweeper.get("params") or {}
        swept = parser.parse_overrides(quoted_words([f"{key}={value}" for key, value in given.items()]))
    if not swept:
        raise ConfigError(f"The study '{name}' sweeps nothing: it has no hydra.sweeper.params.")
    return Study(name, cfg, {override.get_key_element(): swept_values(override) for override in swept})


def swept_values(override: Override) -> list[str]:
    """The values of an option as words.

    Raises:
        ConfigError: they cannot be counted.
    """
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if not override.is_discrete_sweep():
        raise ConfigError(f"{override.input_line}: an interval has no end of values; search it: hydra/sweeper=optuna.")
    return list(override.sweep_string_iterator())


def wandb_sweep(study: Study) -> dict[str, Any]:
    """What ``wandb sweep`` reads: a grid of the study's jobs, each started by the plain Hydra command.

    The metric is the one of the validation split: no sweep chooses on a test split.
    """
    decides = study.cfg.study.metric
    sweep: dict[str, Any] = {"name": study.cfg.study.name or study.name, "project": str(study.cfg.logger.project)}
    sweep |= {"program": "mmbert-train", "method": "grid"}
    if decides:
        split, _, metric = str(decides).partition("/")
        sweep["metric"] = {
            "name": f"{split.replace('test', 'val', 1)}/{metric}",
            "goal": "minimize" if is_error(metric) else "maximize",
        }
    sweep["parameters"] = {
        key: {"values": [as_yaml(value) for value in values]} for key, values in study.params.items()
    }
    sweep["command"] = ["mmbert-train", f"experiment={study.name}", "logger=wandb", "${args_no_hyphens}"]
    return sweep


def as_yaml(word: str) -> Any:
    """A value as YAML knows it, where the agent writes it as Hydra reads it; null and lists stay words."""
    import yaml

    value = yaml.safe_load(word)
    return value if isinstance(value, (str, bool, int, float)) else word


def wandb_file(name: str) -> str:
    """The text of a study's file for ``wandb sweep``."""
    import yaml

    head = (
        f"# The study {name} as a W&B sweep; written by: mmbert-study wandb {name}\n"
        f"# Start: wandb sweep THIS_FILE, then on every machine and GPU: CUDA_VISIBLE_DEVICES=0 wandb agent SWEEP\n"
    )
    return head + yaml.safe_dump(wandb_sweep(load_study(name)), sort_keys=False, allow_unicode=True, width=120)


def print_study(name: str) -> None:
    """Prints what a study asks and the command of each of its jobs."""
    study = load_study(name)
    facts = study.cfg.study
    jobs = study.jobs()
    print(f"{name}: {len(jobs)} jobs of {' × '.join(f'{len(v)} {k}' for k, v in study.params.items())}")
    print(
        f"  compared by {', '.join(facts.axes) or '-'}; baseline {dict(facts.baseline) or '-'}; "
        f"decided by {facts.metric}"
    )
    print("\n".join(f"  mmbert-train experiment={name} {' '.join(words)}" for words in jobs))


def save_page(name: str, project: str | None, entity: str | None, dry_run: bool) -> None:
    """Saves a study's workspace and report at W&B and prints their addresses, or what would be saved as JSON.

    Raises:
        ConfigError: no such study, no metric in it, wandb-workspaces is not installed, no key, or the server refuses.
    """
    import json

    from mmbert.reporting.outputs.wandb_workspace import StudyPage, save_pages, stored_form

    cfg = load_study(name).cfg
    facts = cfg.study
    if not facts.metric:
        raise ConfigError(f"The study '{name}' names no metric: set study.metric in its file.")
    page = StudyPage(
        name=facts.name or name,
        metric=str(facts.metric),
        axes=[str(axis) for axis in facts.axes],
        project=project or str(cfg.logger.get("project") or "mmbert"),
        entity=entity or str(cfg.logger.get("entity") or ""),
        question=str(facts.get("question") or ""),
        baseline=dict(facts.baseline),
    )
    if dry_run:
        print(json.dumps(stored_form(page), indent=2, ensure_ascii=False))
        return
    for what, where in save_pages(page).items():
        print(f"{what}: {where}")


def study_parser() -> argparse.ArgumentParser:
    """What may be typed."""
    parser = argparse.ArgumentParser(prog="mmbert-study", description="Studies: experiment files and their jobs.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the studies there are, those of this folder too")
    commands.add_parser("show", help="the jobs of a study").add_argument("name")
    sweep = commands.add_parser("wandb", help="a study's file for wandb sweep")
    sweep.add_argument("name")
    sweep.add_argument("--out", type=Path, help="write it here instead of showing it")
    page = commands.add_parser("workspace", help="save a workspace and a report of a study at W&B")
    page.add_argument("name")
    page.add_argument("--project", help="where the runs are; by default that of the study's config")
    page.add_argument("--entity", help="team or user; by default the key's own")
    page.add_argument("--dry-run", action="store_true", help="print as JSON what would be saved; needs no key")
    return parser


def main() -> None:
    """Entry point of the console script."""
    parser = study_parser()

    def job(words: list[str]) -> None:
        args = parser.parse_args(words)
        if args.command == "list":
            from mmbert.cli.options.help import group_choices

            print("\n".join(group_choices().get("experiment", [])))
        elif args.command == "show":
            print_study(args.name)
        elif args.command == "workspace":
            save_page(args.name, args.project, args.entity, args.dry_run)
        elif args.out is None:
            print(wandb_file(args.name), end="")
        else:
            write_whole_text(args.out, wandb_file(args.name))
            print(args.out, file=sys.stderr)

    run_plain(job, "mmbert-study")


if __name__ == "__main__":
    main()
