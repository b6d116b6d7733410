"""Where the files of a run lie: the only place where their names are spelled."""

from __future__ import annotations

from pathlib import Path


class RunPaths:
    """The paths of the files of a run or of an evaluation, by name.

    Args:
        path: of the folder, which need not exist.
    """

    #: Folders inside a run in which nobody need look for further runs.
    WITHOUT_RUNS = frozenset(
        {"checkpoints", "model", "models", "plots", "predictions", "wandb", "tensorboard", ".hydra", ".git", ".venv"}
    )

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def config(self) -> Path:
        """The resolved config, YAML."""
        return self.path / "config.yaml"

    @property
    def environment(self) -> Path:
        """Machine, package versions, git commits and command."""
        return self.path / "environment.json"

    @property
    def job(self) -> Path:
        """The hash of what the numbers depend on, and the command."""
        return self.path / "job.json"

    @property
    def history(self) -> Path:
        """Every logged number by step, CSV."""
        return self.path / "history.csv"

    @property
    def metrics(self) -> Path:
        """The final numbers of a run."""
        return self.path / "metrics.json"

    @property
    def diagnostics(self) -> Path:
        """What weight the fusion gives each modality."""
        return self.path / "diagnostics.json"

    @property
    def robustness(self) -> Path:
        """Metrics with modalities missing or damaged."""
        return self.path / "robustness.json"

    @property
    def evaluation(self) -> Path:
        """The numbers of an evaluation."""
        return self.path / "evaluation.json"

    @property
    def explanation(self) -> Path:
        """What each modality contributes to outputs and metrics."""
        return self.path / "explanation.json"

    @property
    def explained_samples(self) -> Path:
        """The same for each sample, CSV."""
        return self.path / "explanation.csv"

    @property
    def explanation_page(self) -> Path:
        """The same as a page with bars."""
        return self.path / "explanation.html"

    @property
    def parts(self) -> Path:
        """What words, pixels and moments of samples contribute to answers."""
        return self.path / "parts.json"

    @property
    def parts_table(self) -> Path:
        """A line an answer of it, CSV."""
        return self.path / "parts.csv"

    @property
    def parts_arrays(self) -> Path:
        """Its maps, NPZ."""
        return self.path / "parts.npz"

    @property
    def parts_page(self) -> Path:
        """The same as a page with coloured texts, pictures and sounds."""
        return self.path / "parts.html"

    @property
    def membership(self) -> Path:
        """How well it can be told which samples models like the run's were trained on."""
        return self.path / "membership.json"

    @property
    def membership_rows(self) -> Path:
        """The same for each training sample, CSV."""
        return self.path / "membership.csv"

    @property
    def membership_scores(self) -> Path:
        """The attack's score of each sample against each model, CSV."""
        return self.path / "membership_scores.csv"

    @property
    def membership_page(self) -> Path:
        """The same as a page with curves."""
        return self.path / "membership.html"

    @property
    def error(self) -> Path:
        """Why a run failed."""
        return self.path / "error.json"

    @property
    def pruned(self) -> Path:
        """Where a search ended a run early."""
        return self.path / "pruned.json"

    @property
    def skipped(self) -> Path:
        """Rows that could not be used, CSV."""
        return self.path / "skipped.csv"

    @property
    def predictions(self) -> Path:
        """The folder of the tables of predictions."""
        return self.path / "predictions"

    def predictions_of(self, split: str) -> Path:
        """The table of predictions of one split, Parquet."""
        return self.predictions / f"{split}.parquet"

    @property
    def plots(self) -> Path:
        """The folder of PNG files."""
        return self.path / "plots"

    @property
    def samples(self) -> Path:
        """The folder of images and sounds that loggers show and that lie in the table itself."""
        return self.path / "samples"

    @property
    def model(self) -> Path:
        """The folder of the saved model."""
        return self.path / "model"

    @property
    def models(self) -> Path:
        """The folder of the models saved for single tasks (``checkpoint.per_task=true``)."""
        return self.path / "models"

    def model_of(self, task: str) -> Path:
        """The folder of the saved model with the weights at which a task was best."""
        return self.models / task

    @property
    def weights(self) -> Path:
        """The saved model's weights: what is written last."""
        return self.model / "model.safetensors"

    @property
    def model_config(self) -> Path:
        """What the saved model is made of: classes, arguments, and checksums of its files."""
        return self.model / "config.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of Lightning's checkpoints."""
        return self.path / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """The checkpoint that a resumed run starts from; see ``resumable``."""
        return self.checkpoints / "last.ckpt"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def wandb(self) -> Path:
        """The folder of W&B's local files."""
        return self.path / "wandb"

    @property
    def hydra_config(self) -> Path:
        """Hydra's own options, with the choice of every config group."""
        return self.path / ".hydra" / "hydra.yaml"

    @property
    def hydra_overrides(self) -> Path:
        """The words that followed the command."""
        return self.path / ".hydra" / "overrides.yaml"

    def written(self) -> list[Path]:
        """Every file, and the model's folder, that a run or an evaluation writes at the top of its folder."""
        files = [self.config, self.environment, self.job, self.history, self.metrics, self.diagnostics]
        files += [self.robustness, self.evaluation, self.explanation, self.explained_samples, self.explanation_page]
        files += [self.parts, self.parts_table, self.parts_arrays, self.parts_page]
        files += [self.membership, self.membership_rows, self.membership_scores, self.membership_page]
        return [*files, self.error, self.pruned, self.skipped, self.model]

    def contents(self) -> list[tuple[str, Path]]:
        """What a person is shown of a finished run, with a word for each; only what exists."""
        places = {
            "metrics": self.metrics,
            "evaluation": self.evaluation,
            "skipped": self.skipped,
            "predictions": self.predictions,
            "plots": self.plots,
            "model": self.model,
            "checkpoints": self.checkpoints,
            "config": self.config,
            "tracker": self.wandb,
        }
        return [(word, place) for word, place in places.items() if place.exists()]
