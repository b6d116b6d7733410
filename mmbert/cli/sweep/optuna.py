"""A search for the best options with Optuna: ``hydra/sweeper=optuna``.

hydra-optuna-sweeper 1.3.0 wants an Optuna older than 3, which is of 2022; this one uses the current Optuna. The search
lives in ``optuna.log`` in the sweep's folder, or in a database, where the jobs, in whatever process a launcher runs
them, report to it; ``study.resume=true`` goes on with it, and with ``hydra.sweeper.shared=true`` several processes, on
one machine or many, ask for its trials at the same time.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mmbert.cli.failures import SweepFailed
from mmbert.cli.options.quoting import quoted_words
from mmbert.cli.sweep.search_storage import SHARING_A_SEARCH, mend_log, search_storage, study_name, waited_for
from mmbert.core.errors import ConfigError
from mmbert.core.folder_lock import folder_lock
from mmbert.core.whole_files import write_whole_text
from mmbert.core.working_folder import admit_working_folder
from mmbert.runs.folder import RunFolder

SEARCH_RESULTS = "optimization_results.yaml"
#: Samplers whose seed is that of one sequence, of which each trial takes the next point: they resume by themselves.
SEQUENCE_SAMPLERS = (optuna.samplers.QMCSampler, optuna.samplers.GridSampler, optuna.samplers.BruteForceSampler)


class OptunaSweeper(Sweeper):
    """Asks Optuna for options, runs a job with them and reports its result.

    Args:
        n_trials: altogether, those of an earlier call that is resumed included.
        n_jobs: begun at once.
        direction: ``maximize`` or ``minimize``.
        sampler: one of ``optuna.samplers``.
        pruner: one of ``optuna.pruners``; None = no trial is cut short.
        params: what is searched, where an experiment file says it.
        storage: a database that SQLAlchemy knows, ``postgresql://...``; None = ``optuna.log`` in the sweep's folder.
        shared: other processes with the same folder work on the search at the same time.
    """

    def __init__(
        self,
        n_trials: int,
        n_jobs: int,
        direction: str,
        sampler: Any,
        pruner: Any,
        params: dict[str, Any] | None,
        storage: str | None = None,
        shared: bool = False,
    ) -> None:
        self.n_trials, self.n_jobs, self.direction = n_trials, n_jobs, direction
        self.storage, self.shared = storage, shared
        self.sampler, self.pruner = sampler, pruner or optuna.pruners.NopPruner()
        self.params = params or {}
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before it sweeps."""
        self.config, self.hydra_context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the trials and leaves the best in ``optimization_results.yaml``.

        Raises:
            ConfigError: an option of the search is wrong, or the folder holds one already.
            SweepFailed: at the end, if trials failed.
        """
        assert self.config is not None and self.hydra_context is not None
        if self.direction not in ("maximize", "minimize") or min(self.n_trials, self.n_jobs) < 1:
            raise ConfigError(
                "A search wants hydra.sweeper.direction=maximize or minimize, and hydra.sweeper.n_trials and n_jobs "
                "of at least 1."
            )
        words = quoted_words([*(f"{key}={value}" for key, value in self.params.items()), *arguments])
        overrides = OverridesParser.create(config_loader=self.hydra_context.config_loader).parse_overrides(words)
        last = {override.get_key_element(): override for override in overrides}  # a later word wins
        space = {key: search_distribution(one) for key, one in last.items() if one.is_sweep_override()}
        fixed = [str(override.input_line) for override in last.values() if not override.is_sweep_override()]
        if not space:
            raise ConfigError("Nothing is searched: give an option several values, optimizer.lr=interval(1e-4,1e-2).")
        folder = Path(str(self.config.hydra.sweep.dir))
        mend_log(folder)
        with folder_lock(folder, SHARING_A_SEARCH, shared=self.shared):
            study = self.begin(folder)
            errors = self.run_trials(study, space, fixed)
            self.conclude(study)
        if errors:
            raise SweepFailed(errors)

    def begin(self, folder: Path) -> optuna.Study:
        """The search in a folder: a new one, or the one that is resumed."""
        assert self.config is not None
        resume = bool(self.config.study.resume)
        if (folder / "multirun.yaml").exists() and not (resume or self.shared):
            raise ConfigError(
                f"{folder} holds a search already. study.resume=true goes on with it; a new one needs another folder: "
                f"hydra.sweep.dir=FOLDER"
            )
        write_whole_text(folder / "multirun.yaml", OmegaConf.to_yaml(self.config))
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return optuna.create_study(
            storage=search_storage(folder, self.storage),
            study_name=study_name(folder, self.storage),
            direction=StudyDirection[self.direction.upper()],
            sampler=self.sampler,
            pruner=self.pruner,
            load_if_exists=True,
        )

    def run_trials(self, study: optuna.Study, space: dict[str, BaseDistribution], fixed: list[str]) -> list[Exception]:
        """Runs until there are enough; what failed earlier is tried again with the same options."""
        assert self.launcher is not None
        errors: list[Exception] = []

        def launch(trials: Sequence[tuple[int, dict[str, Any]]]) -> None:
            jobs = [[*fixed, *(f"{k}={v}" for k, v in options.items()), f"study.trial={n}"] for n, options in trials]
            assert self.launcher is not None
            for (number, _), job in zip(trials, self.launcher.launch(jobs, trials[0][0]), strict=True):
                errors.extend(report_result(study, number, job))

        if not self.shared:  # what others may be running cannot be told from what was killed
            before = study.get_trials(deepcopy=False)
            for trial in before:
                if trial.state == TrialState.RUNNING:  # killed: it is resumed in its own folder
                    launch([(trial.number, trial.params)])
            retried = {trial.user_attrs.get("again") for trial in before}
            for trial in before:
                if trial.state == TrialState.FAIL and trial.number not in retried:
                    study.enqueue_trial(trial.params, user_attrs={"again": trial.number})
        failed_earlier = {trial.number for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.FAIL}
        while asked := self.ask_some(study, space, failed_earlier):
            launch([(trial.number, trial.params) for trial in asked])
        return errors

    def ask_some(
        self, study: optuna.Study, space: dict[str, BaseDistribution], failed_earlier: Collection[int]
    ) -> list[optuna.Trial]:
        """The next trials, ``n_jobs`` at most; none when there are ``n_trials``, whoever runs them.

        Of several processes one asks at a time: together they would ask for too many. What fails now counts as well,
        or a fault in all trials would have no end; what failed before this call is tried again.
        """
        assert self.config is not None
        with waited_for(Path(str(self.config.hydra.sweep.dir))):
            trials = study.get_trials(deepcopy=False)
            begun = [trial for trial in trials if trial.state != TrialState.WAITING]
            left = self.n_trials - sum(trial.number not in failed_earlier for trial in begun)
            return [self.ask(study, space) for _ in range(min(self.n_jobs, left))]

    def ask(self, study: optuna.Study, space: dict[str, BaseDistribution]) -> optuna.Trial:
        """The next trial. Its draws follow from the sampler's seed and its number alone, whatever was drawn before.

        In a resumed search a sampler that starts from its seed would draw again what it drew at the start.
        """
        assert self.config is not None
        seed = OmegaConf.select(self.config, "hydra.sweeper.sampler.seed")
        if seed is not None and not isinstance(self.sampler, SEQUENCE_SAMPLERS):
            sequence = np.random.SeedSequence([seed, len(study.get_trials(deepcopy=False))])
            study.sampler = instantiate(self.config.hydra.sweeper.sampler, seed=int(sequence.generate_state(1)[0]))
        return study.ask(space)

    def conclude(self, study: optuna.Study) -> None:
        """Writes the results file and prints a summary."""
        assert self.config is not None
        folder = Path(str(self.config.hydra.sweep.dir))
        trials = study.get_trials(deepcopy=False)
        counts = {state.name.lower(): sum(trial.state == state for trial in trials) for state in TrialState}
        found: dict[str, Any] = {"name": "optuna", "trials": {name: count for name, count in counts.items() if count}}
        if counts["complete"]:
            best: FrozenTrial = study.best_trial
            found |= {"best_trial": best.number, "best_value": best.value, "best_params": dict(best.params)}
        write_whole_text(folder / SEARCH_RESULTS, OmegaConf.to_yaml(OmegaConf.create(found)))
        counts_text = ", ".join(f"{count} {name}" for name, count in found["trials"].items())
        print(f"{folder}: {counts_text}", file=sys.stderr)
        if "best_params" in found:
            options = " ".join(f"{key}={value}" for key, value in found["best_params"].items())
            print(f"best: trial {found['best_trial']} with {found['best_value']:g} on validation: {options}")


def search_distribution(override: Override) -> BaseDistribution:
    """Hydra's words for several values -> Optuna's.

    ``a,b`` and ``choice(a,b)``, ``range(1,9)``, ``interval(0.1,1)``, ``int(interval(1,9))``; with ``tag(log, ...)`` on
    a logarithmic scale.
    """
    value = override.value()
    log = "log" in getattr(value, "tags", ())
    if isinstance(value, IntervalSweep):
        assert value.start is not None and value.end is not None
        if isinstance(value.start, int) and isinstance(value.end, int):
            return IntDistribution(value.start, value.end, log=log)
        return FloatDistribution(value.start, value.end, log=log)
    if isinstance(value, RangeSweep):
        values = list(value.range())
        if not values:
            raise ConfigError(f"{override.input_line}: the range is empty.")
        if all(isinstance(one, int) for one in values) and value.step > 0:
            return IntDistribution(values[0], values[-1], log=log, step=1 if log else int(value.step))
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def report_result(study: optuna.Study, number: int, job: JobReturn) -> list[Exception]:
    """Reports a trial's result to the search; returns what it raised, if it failed."""
    if job.status == JobStatus.FAILED:
        study.tell(number, state=TrialState.FAIL)
        return [job._return_value]
    assert job.hydra_cfg is not None
    folder = Path(str(job.hydra_cfg.hydra.runtime.output_dir))
    value = float(job.return_value)
    if RunFolder(folder).pruned.exists():
        study.tell(number, state=TrialState.PRUNED)
    elif math.isfinite(value):
        study.tell(number, value)
    else:
        study.tell(number, state=TrialState.FAIL)
    return []


def trial_of(hydra_cfg: Any, number: int) -> optuna.Trial:
    """The trial of a search that the job being run is, by its number.

    Args:
        hydra_cfg: the job's ``hydra`` part.
        number: of the trial.
    """
    admit_working_folder(str(OmegaConf.select(hydra_cfg, "sweeper.pruner._target_")))
    pruner = instantiate(hydra_cfg.sweeper.pruner) or optuna.pruners.NopPruner()
    folder, address = Path(str(hydra_cfg.sweep.dir)), OmegaConf.select(hydra_cfg, "sweeper.storage")
    study = optuna.load_study(
        study_name=study_name(folder, address), storage=search_storage(folder, address), pruner=pruner
    )
    return optuna.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
