"""Language models that runs of ``task=mlm`` have trained, for tasks that score texts by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmbert.core.errors import ConfigError
from mmbert.model import MultimodalModel
from mmbert.model.saved_files import is_saved_model
from mmbert.runs.folder import model_in
from mmbert.tasks.mlm import MaskedLanguageModel

#: The option of a task that names a masked language model.
NAMES_A_MODEL = "rescore_with"


@contextmanager
def language_models(configs: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, dict[str, str]]]:
    """Further arguments of those tasks whose language model is a run's: ``assets``, as long as the tasks are made.

    Models of transformers, and names on the hub, are left to the tasks.

    Args:
        configs: of tasks, by name.

    Raises:
        ConfigError: the run has trained no masked language model.
        InputError: its model is damaged.
    """
    with TemporaryDirectory() as scratch:
        given = {}
        for name, part in configs.items():
            source = part.get(NAMES_A_MODEL)
            if source is not None and is_saved_model(folder := model_in(Path(source))):
                option = f"tasks.{name}.{NAMES_A_MODEL}={source}"
                given[name] = {"assets": str(export(folder, Path(scratch) / name, option))}
        yield given


def export(model: Path, folder: Path, option: str) -> Path:
    """Writes the masked language model of a saved model as transformers writes models; returns ``folder``.

    Raises:
        ConfigError: it has none.
    """
    trained = MultimodalModel.from_pretrained(model)
    tasks = trained.named_tasks()
    found = [task for task in tasks.values() if isinstance(task, MaskedLanguageModel)]
    if not found:
        raise ConfigError(
            f"{option}: the tasks of that run are {', '.join(tasks)}, none of them a masked language model: name a run "
            "of mmbert-train task=mlm, or a model of transformers."
        )
    return trained.export_text_encoder(folder, found[0].text)
