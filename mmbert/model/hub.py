"""Models on the Hugging Face hub: fetched by ``user/name``, uploaded as the folder that ``save_pretrained`` writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mmbert.core.errors import InputError

if TYPE_CHECKING:
    from mmbert.model import MultimodalModel

#: What a repository may hold beside a model stays where it is.
FILES = ["config.json", "model.safetensors", "README.md", "encoders/**"]
NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_name(name: str | Path) -> bool:
    """Whether a text that is no folder here can be the name of a repository, ``user/name``."""
    return NAME.fullmatch(str(name)) is not None and not Path(name).exists()


def fetch(name: str, revision: str | None = None, token: str | None = None) -> Path:
    """Downloads a model, or takes it from the hub's cache; its folder.

    Args:
        name: ``user/name``.
        revision: branch, tag or commit.
        token: for private repositories; None = that of ``hf auth login`` or HF_TOKEN.

    Raises:
        InputError: there is no such model, it may not be read, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download

    with telling(f"There is no folder {name}, and the model '{name}' cannot be had from the Hugging Face hub"):
        return Path(str(snapshot_download(name, revision=revision, token=token, allow_patterns=FILES)))


def push(
    model: MultimodalModel,
    name: str,
    token: str | None = None,
    private: bool | None = None,
    commit_message: str = "Upload a model of mmbert",
) -> str:
    """Uploads a model as a commit; its address.

    Args:
        model: what ``save_pretrained`` writes of it goes up, and nothing else: no data, no optimiser's state.
        name: ``user/name``; made if it does not exist.
        token: one that may write; None = that of ``hf auth login`` or HF_TOKEN.
        private: whether a repository that is made now is private; None = the account's default.
        commit_message: of the commit.

    Raises:
        InputError: it may not be written, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    with TemporaryDirectory() as scratch, telling(f"The model cannot be uploaded to '{name}'"):
        folder = model.save_pretrained(Path(scratch) / "upload")
        api = HfApi(token=token)
        made = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message=commit_message)
        return str(made)


@contextmanager
def telling(what: str) -> Iterator[None]:
    """What goes wrong with the hub, told as a mistake that a user can mend."""
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
