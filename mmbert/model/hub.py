"""Downloads models from the Hugging Face hub by ``user/name``, and uploads what ``save_pretrained`` writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmbert.core.errors import InputError

#: What is downloaded of a repository: the files of a model.
MODEL_FILES = ["config.json", "model.safetensors", "README.md", "encoders/**"]
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_name(name: str | Path) -> bool:
    """Whether a text is the name of no local file or folder and can be that of a repository, ``user/name``."""
    return HUB_NAME.fullmatch(str(name)) is not None and not Path(name).exists()


def fetch(name: str, revision: str | None = None, token: str | None = None) -> Path:
    """Downloads a model, or finds it in the hub's cache; returns its folder.

    Args:
        name: ``user/name``.
        revision: branch, tag or commit.
        token: for private repositories; None = that of ``hf auth login`` or HF_TOKEN.

    Raises:
        InputError: there is no such model, it may not be read, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download

    with hub_errors(f"There is no folder {name}, and the model '{name}' cannot be had from the Hugging Face hub"):
        return Path(str(snapshot_download(name, revision=revision, token=token, allow_patterns=MODEL_FILES)))


def push(
    folder: Path,
    name: str,
    token: str | None = None,
    private: bool | None = None,
    commit_message: str = "Upload a model of mmbert",
) -> str:
    """Uploads a saved model as a commit; returns the repository's address.

    Args:
        folder: of the saved model; all of it is uploaded.
        name: ``user/name``; made if it does not exist.
        token: one that may write; None = that of ``hf auth login`` or HF_TOKEN.
        private: whether a repository that is made now is private; None = the account's default.
        commit_message: its title.

    Raises:
        InputError: it may not be written, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    with hub_errors(f"The model cannot be uploaded to '{name}'"):
        api = HfApi(token=token)
        made = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message=commit_message)
        return str(made)


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turns what the hub's client raises into an ``InputError`` that begins with ``what``."""
    from huggingface_hub import errors

    try:
        yield
    except (errors.GatedRepoError, errors.LocalTokenNotFoundError) as error:
        raise InputError(f"{what}: it asks for permission. Log in with 'hf auth login', or set HF_TOKEN.") from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{what}: there is none of this name, or it is private. Check the name; log in with 'hf auth login'."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{what}: it has no such revision (branch, tag or commit).") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError) as error:
        raise InputError(f"{what}: the hub cannot be reached, and the model is not in its cache.") from error
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        raise InputError(f"{what}: {str(error).strip().splitlines()[0]}") from error
