"""The folder of a run: in what state it is, and what is read from its files and written to them.

Where the files lie is in ``paths.py``; they and their keys are described in docs/runs.md. What is written here is
written by global rank 0 alone.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbert.core.distributed import is_rank_zero
from mmbert.core.errors import ConfigError, DataError, MmbertError
from mmbert.core.folder_lock import refuse_locked
from mmbert.core.privacy import Privacy
from mmbert.core.regular_files import refuse_special
from mmbert.core.whole_files import whole_file
from mmbert.runs import contents
from mmbert.runs.contents import shaped
from mmbert.runs.environment import environment
from mmbert.runs.files import read_json, read_yaml, timestamp, write_config, write_json
from mmbert.runs.own_runs import is_signed, signature
from mmbert.runs.paths import RunPaths

#: What whoever finds a folder in use can do.
IN_USE = "wait until it has ended, or end it first; a new run needs another folder: hydra.run.dir=FOLDER"


class RunFolder(RunPaths):
    """The files of a run or of an evaluation: their paths by name, and what is in them.

    Args:
        path: of the folder, which need not exist.
    """

    # ------------------------------------------------------------------------------------------ in what state it is

    @property
    def exists(self) -> bool:
        """Whether a run began here: there is a config, and beside it an environment, metrics or an error."""
        return self.config.is_file() and any(path.is_file() for path in (self.environment, self.metrics, self.error))

    @property
    def finished(self) -> bool:
        """Whether the run is complete: its metrics are there, and so is what is written after them."""
        return self.metrics.exists() and self.weights.exists() and not self.error.exists()

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do: the run finished, or a search ended it early."""
        return self.finished or self.pruned.exists()

    @property
    def begun_here(self) -> bool:
        """Whether this user began the run, and nobody has changed its config since."""
        try:
            return is_signed(self.config, self.read_environment().get("config_signature"))
        except DataError:
            return False

    @property
    def model_made_here(self) -> bool:
        """Whether a run of this user made the saved model, and nobody has changed its description since."""
        try:
            return self.begun_here and is_signed(self.model_config, self.read_environment().get("model_signature"))
        except DataError:
            return False

    @property
    def resumable(self) -> bool:
        """Whether there is a checkpoint to go on from; there is none if the run was interrupted before the first."""
        return self.last_checkpoint.is_file()

    @property
    def crashed(self) -> bool:
        """Whether the run ended by a fault of a program, not by a user's mistake or an interruption."""
        try:
            refuse_special(self.error)
            return "traceback" in json.loads(self.error.read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError, RecursionError):
            return False

    def refuse_taken(self) -> None:
        """Refuses to begin a run where there is one already, unless that failed before there was anything to lose.

        Raises:
            ConfigError: says what is there.
            FolderInUse: another process trains there.
        """
        refuse_locked(self.path, IN_USE)
        lost = self.metrics.exists() or any(self.checkpoints.glob("*.ckpt"))
        another = "hydra.run.dir=FOLDER, or hydra.sweep.dir=FOLDER of a sweep"
        if self.evaluation.exists():
            raise ConfigError(f"{self} holds an evaluation, which would be overwritten. Name another folder: {another}")
        if not lost and (self.error.exists() or not self.config.exists()):
            return
        if self.finished:
            raise ConfigError(
                f"{self} holds a finished run, which would be overwritten. Name another folder: {another}"
            )
        raise ConfigError(
            f"{self} holds a run that is not finished. mmbert-train resume={self} goes on with it; a new one needs "
            f"another folder: {another}"
        )

    def clear(self) -> None:
        """Deletes what an unfinished run left and a new one in its folder would go on from, or be taken for."""
        weights = [self.weights] if self.exists else []  # with those and new metrics it would count as finished
        files = [self.history, self.metrics, self.diagnostics, self.robustness, self.skipped]
        for path in [*self.checkpoints.glob("*.ckpt"), *files, *weights]:
            path.unlink(missing_ok=True)
        shutil.rmtree(self.models, ignore_errors=True)

    # --------------------------------------------------------------------------------------------------- what is read

    def read_config(self) -> dict[str, Any]:
        """The config as plain dictionaries.

        Raises:
            DataError: there is none, or it is damaged.
        """
        config: dict[str, Any] = read_yaml(self.config, shaped(contents.CONFIG_SHAPE))
        return config

    def read_metrics(self) -> dict[str, Any] | None:
        """Metrics (keys with a ``/``) and facts; None if there are none yet.

        Raises:
            DataError: the file is damaged.
        """
        return read_json(self.metrics, contents.metrics_fault)

    def read_environment(self) -> dict[str, Any]:
        """See ``mmbert.runs.environment``; empty if there is none.

        Raises:
            DataError: the file is damaged.
        """
        return read_json(self.environment, shaped(contents.ENVIRONMENT_SHAPE)) or {}

    def read_job(self) -> dict[str, Any]:
        """See ``mmbert.runs.job``; empty if there is none.

        Raises:
            DataError: the file is damaged.
        """
        return read_json(self.job, shaped(contents.JOB_SHAPE)) or {}

    def read_diagnostics(self) -> dict[str, Any]:
        """What weight the fusion gave each modality; empty if it reports none.

        Raises:
            DataError: the file is damaged.
        """
        return read_json(self.diagnostics, contents.diagnostics_fault) or {}

    def read_robustness(self) -> dict[str, Any]:
        """Metrics with modalities missing or damaged; empty if they were not measured.

        Raises:
            DataError: the file is damaged.
        """
        return read_json(self.robustness, shaped(contents.ROBUSTNESS_SHAPE)) or {}

    def read_error(self) -> dict[str, Any] | None:
        """``type``, ``message``, ``when`` and perhaps ``traceback`` of why the run failed; None if it did not.

        Raises:
            DataError: the file is damaged.
        """
        return read_json(self.error, shaped(contents.ERROR_SHAPE))

    def read_pruned(self) -> dict[str, Any] | None:
        """Where a search ended the run early; None if it did not.

        Raises:
            DataError: the file is damaged.
        """
        return read_json(self.pruned, shaped(contents.PRUNED_SHAPE))

    def read_choices(self) -> dict[str, Any]:
        """The choice made in each config group, as Hydra noted it; empty if the run was started without Hydra.

        Raises:
            DataError: the file is damaged.
        """
        content = read_yaml(self.hydra_config, shaped(contents.HYDRA_SHAPE)) if self.hydra_config.is_file() else {}
        hydra = content.get("hydra") or {}
        choices: dict[str, Any] = (hydra.get("runtime") or {}).get("choices") or {}
        return choices

    def read_overrides(self) -> list[str]:
        """The words that followed the command, as Hydra noted them; empty if the run was started without Hydra.

        Raises:
            DataError: the file is damaged.
        """
        if not self.hydra_overrides.is_file():
            return []
        return list(map(str, read_yaml(self.hydra_overrides, shaped(contents.OVERRIDES_SHAPE)) or []))

    # ------------------------------------------------------------------------------------------------ what is written

    def write_start(self, config: Mapping[str, Any]) -> None:
        """Leaves the config (resolved) and the environment, and deletes the error of an earlier attempt.

        Args:
            config: a plain dictionary or an OmegaConf one.
        """
        if not is_rank_zero():
            return
        self.path.mkdir(parents=True, exist_ok=True)
        for outcome in (self.error, self.pruned):
            outcome.unlink(missing_ok=True)
        about = {"started": timestamp(), **environment()}
        # the config comes last, so that a run which has one has everything else
        with whole_file(self.config) as temporary:
            write_config(temporary, config)
            write_json(self.environment, {**about, "config_signature": signature(temporary)})

    def sign_model(self) -> None:
        """Signs the saved model, which names classes, as the config is signed."""
        if is_rank_zero():
            write_json(self.environment, {**self.read_environment(), "model_signature": signature(self.model_config)})

    def write_metrics(
        self,
        metrics: Mapping[str, float],
        checkpoint: Mapping[str, Any] | str | None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Leaves the final numbers: one flat key a metric, such as ``test/answer/accuracy``, and facts about the run.

        Keys of metrics contain a ``/`` and no other key does.

        Args:
            metrics: by name.
            checkpoint: what was measured: a path, or ``path``, ``epoch``, ``step``, ``monitor`` and its ``value``.
            extra: further facts, such as ``seed``, ``wall_seconds``, ``peak_memory_mib``.
        """
        if not is_rank_zero():
            return
        described = {"path": checkpoint} if isinstance(checkpoint, str) else checkpoint
        facts = {"checkpoint": described, **(extra or {}), "finished": timestamp()}
        assert all("/" in key for key in metrics) and not any("/" in key for key in facts)
        write_json(self.metrics, {**metrics, **facts})

    def write_diagnostics(self, content: Mapping[str, Any]) -> None:
        """Leaves what weight the fusion gave each modality."""
        if is_rank_zero():
            write_json(self.diagnostics, content)

    def write_robustness(self, content: Mapping[str, Any]) -> None:
        """Leaves what was measured with modalities missing or damaged."""
        if is_rank_zero():
            write_json(self.robustness, {**content})

    def write_evaluation(self, metrics: Mapping[str, float], facts: Mapping[str, Any]) -> None:
        """Leaves the numbers of an evaluation, facts about it, and the environment."""
        if is_rank_zero():
            write_json(self.evaluation, {**metrics, **facts, "finished": timestamp(), "environment": environment()})

    def write_pruned(self, facts: Mapping[str, Any]) -> None:
        """Leaves where a search ended the run early: it then counts neither as finished nor as failed."""
        if is_rank_zero():
            write_json(self.pruned, {**facts, "when": timestamp()})

    def write_error(self, error: BaseException, privacy: Privacy | None = None) -> None:
        """Leaves why a run did not finish; the error of a fault in a program comes with its traceback.

        Of a private run the message is masked, or left out. Nothing is raised where not even that can be written: the
        error itself is what matters then.
        """
        if not is_rank_zero():
            return
        privacy = Privacy() if privacy is None else privacy
        message = privacy.message(str(error))
        content: dict[str, Any] = {"type": type(error).__name__, "message": message, "when": timestamp()}
        if not isinstance(error, (MmbertError, KeyboardInterrupt)):
            content["traceback"] = privacy.traceback_of(error)
        with contextlib.suppress(OSError):
            write_json(self.error, content)


def is_own_model(folder: Path) -> bool:
    """Whether a saved model is the one in the folder of a run that this user began, as it was saved there."""
    place = folder.resolve()
    run = RunFolder(place.parent)
    return place == run.model and run.model_made_here


def model_in(folder: Path) -> Path:
    """The folder of a saved model: the ``model/`` of a run's folder, else the folder itself."""
    run = RunFolder(folder)
    return run.model if run.weights.is_file() else folder
