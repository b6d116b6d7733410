"""``mmbert-evaluate model=FOLDER``: a saved model measured on any split of any table, with or without a modality."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmbert.cli.app import run_with_usage
from mmbert.cli.out_folder import out_folder
from mmbert.cli.predict import model_folder
from mmbert.cli.run_config import consent, run_privacy, used_config
from mmbert.core.errors import ConfigError, nearest
from mmbert.runs.contents import METRIC_NOTES
from mmbert.runs.folder import RunFolder, is_own_model

if TYPE_CHECKING:
    from omegaconf import DictConfig

EVALUATE_USAGE = """\
usage: mmbert-evaluate model=FOLDER [split=test] [drop=[audio]] [out=FOLDER] [data=...] [data.OPTION=...] [trainer=...]
                       [robustness=subsets]

Measures a saved model: metrics, predictions and plots, from the splits of the data that it was trained on, or from
any other table. FOLDER is a run's folder, the model/ in it, or user/name on the Hugging Face hub.

  mmbert-evaluate model=outputs/DATE/TIME
  mmbert-evaluate model=outputs/DATE/TIME split=val,test drop=[audio]
  mmbert-evaluate model=outputs/DATE/TIME robustness=subsets
  mmbert-evaluate model=outputs/DATE/TIME data.path=corrected.csv
  mmbert-evaluate model=outputs/DATE/TIME data=manifest data.path=other.csv split=all

  split    which splits, with commas; all = every row of the table, which then needs no split column
           (default: the test splits)
  drop     modalities that are taken away; rows that have no other are left out and counted
  out      where the results go (default: outputs/DATE/TIME)
  data     as for mmbert-train; without data=, the run's own, changed by data.OPTION=VALUE
  trainer  as for mmbert-train (default: trainer=auto)
  robustness  subsets, missing or noise: the first split with modalities missing or damaged, as for mmbert-train
           (robustness.json; default: none of it)
  store    store.OPTION=VALUE, as for mmbert-train; without it, that of a run that you began yourself
  privacy  privacy.samples=false, privacy.mask=[email], as for mmbert-train (default: as in the run)

  trust_custom_code=true   let classes outside the package be imported, and use the run's own data as it says; a run
           that you began yourself needs no such word
"""

OWN_OPTIONS = ("model", "split", "drop", "out", "trust_custom_code")
#: Whose words are those of mmbert-train.
TRAIN_GROUPS = ("data", "trainer", "store", "robustness", "privacy")


def main() -> None:
    """Entry point of the console script."""
    run_with_usage(evaluate_model, "mmbert-evaluate", EVALUATE_USAGE)


def evaluate_model(words: list[str]) -> None:
    """Parses the words, measures, and prints the table.

    Raises:
        MmbertError: an option, the model or the data is at fault.
    """
    own, others = separate_options(words)
    folder = model_folder(own.get("model"))
    trusted, named = consent(own), out_folder(own)
    cfg = compose_configs(others, folder, trusted)
    splits = names_in(own.get("split", "")) or test_splits(cfg.data)
    out = RunFolder(named or default_folder())
    if out.metrics.exists():
        raise ConfigError(f"out={out} is a run's folder, whose predictions would be overwritten: out={out}/evaluation")

    privacy = run_privacy(folder, cfg.privacy, others)

    from mmbert.model import MultimodalModel  # heavy: after the words are known to be right
    from mmbert.training.callbacks.console import print_results
    from mmbert.training.evaluate import evaluate
    from mmbert.training.monitor import hidden_metrics
    from mmbert.training.resources.out_of_memory import explain_out_of_memory, writing_places

    model = MultimodalModel.from_pretrained(folder, trust_custom_code=trusted or is_own_model(folder))
    drop = names_in(own.get("drop", ""))
    less_memory = "data.eval_batch_size=8, data.num_workers=0, trainer.precision=bf16-mixed"
    places = {**writing_places(out.path, cfg.store), out.path: "name another folder, out=FOLDER"}
    with explain_out_of_memory(out.path, less_memory, places=places):
        done = evaluate(model, cfg.data, cfg.trainer, out.path, splits, drop, cfg.store, cfg.robustness, privacy)
    without = f", without {' and '.join(drop)}" if drop else ""
    title, hidden = f"Metrics of {folder}{without}", hidden_metrics(model.named_tasks())
    print_results(done.metrics, list(done.predictions), out, title, done.facts.get(METRIC_NOTES), hidden)


def separate_options(
    words: list[str],
    command: str = "mmbert-evaluate",
    options: tuple[str, ...] = OWN_OPTIONS,
    groups: tuple[str, ...] = TRAIN_GROUPS,
) -> tuple[dict[str, str], list[str]]:
    """A command's own words by key, and those for Hydra.

    Args:
        words: of the command line.
        command: its name.
        options: keys of its own words.
        groups: whose words are those of mmbert-train.

    Raises:
        ConfigError: a word is of neither kind, or comes twice.
    """
    own: dict[str, str] = {}
    others = []
    for word in words:
        key, equals, value = word.partition("=")
        group = key.lstrip("+~").split(".")[0].split("@")[0]
        if equals and key in options:
            if key in own:
                raise ConfigError(f"'{key}' is given twice.")
            own[key] = value
        elif group in groups:
            others.append(word)
        else:
            raise ConfigError(f"'{word}' is no option of {command}. {nearest(group, [*options, *groups])}")
    return own, others


def names_in(value: str) -> list[str]:
    """``[audio,image]`` or ``audio,image`` -> the names."""
    return [name.strip() for name in value.strip("[] ").split(",") if name.strip()]


def compose_configs(words: list[str], folder: Path, trusted: bool = False) -> DictConfig:
    """A config with data, trainer, store and robustness: from the words, or of the run that the model comes from.

    Args:
        words: for Hydra.
        folder: of the saved model.
        trusted: the user consents to whatever the run's config names.

    Raises:
        ConfigError: a word is wrong, the model lies outside its run and no ``data=`` is given, or the run's own data
            need consent.
    """
    import hydra

    from mmbert.cli.options.check import check_config, check_words
    from mmbert.cli.sweep.search_path import PACKAGE, add_working_folder

    add_working_folder()
    chosen = any(word.partition("=")[0].lstrip("+") == "data" for word in words)
    own = [] if chosen else [word for word in words if word.lstrip("+~").startswith("data")]
    with hydra.initialize_config_module(PACKAGE, version_base="1.3", job_name="evaluate"):
        cfg = check_words([word for word in words if word not in own], "train")
        if not chosen:
            run = run_of(folder)
            begun_with = used_config(run, trusted, ("data",))
            cfg.data = with_overrides(begun_with.data, own)
            check_config(cfg.__class__({"data": cfg.data}))
            if run.begun_here and not any(word.lstrip("+~").startswith("store") for word in words):
                cfg.store = begun_with.get("store", cfg.store)
    return cfg


def with_overrides(data_cfg: Any, words: list[str]) -> Any:
    """The run's own data config with other values.

    Raises:
        ConfigError: there is no such option, or not of this kind.
    """
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    from mmbert.cli.options.check import parse_overrides
    from mmbert.cli.options.groups import Groups
    from mmbert.cli.options.values import apply_override, check_value

    cfg = OmegaConf.create({"data": data_cfg})
    groups = Groups(GlobalHydra.instance().config_loader())
    for override in parse_overrides(words, groups):
        if not override.is_add():
            check_value(cfg, override, groups)
        apply_override(cfg, override)
    return cfg.data


def run_of(folder: Path) -> RunFolder:
    """The run that a model's folder lies in.

    Raises:
        ConfigError: it lies in none.
    """
    for run in (RunFolder(folder), RunFolder(folder.parent)):
        if run.config.is_file():
            return run
    raise ConfigError(
        f"model={folder} lies in no run's folder, so its data are not known. Say which: data=manifest data.path=my.csv"
    )


def test_splits(data_cfg: DictConfig) -> list[str]:
    """The splits that a run measures at its end."""
    splits = data_cfg.get("splits") or {"test": "test"}
    return [str(name) for name, value in splits.items() if name not in ("train", "val") and value is not None]


def default_folder() -> Path:
    """``outputs/DATE/TIME``, as a run's."""
    return Path(datetime.datetime.now().strftime("outputs/%Y-%m-%d/%H-%M-%S-%f"))


if __name__ == "__main__":
    main()
