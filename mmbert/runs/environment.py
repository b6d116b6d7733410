"""The machine and the software a run ran on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = (
    *(
        "mmbert",
        "torch",
        "torchvision",
        "torchaudio",
        "pytorch-lightning",
        "torchmetrics",
        "transformers",
        "tokenizers",
    ),
    *("timm", "hydra-core", "omegaconf", "wandb", "tensorboard", "datasets", "safetensors", "soundfile", "pillow"),
    *("numpy", "scipy", "pandas", "pyarrow", "scikit-learn"),
)


def environment() -> dict[str, Any]:
    """Python, platform, hardware, package versions, git state, command. Never fails: what is unknown is None."""
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpu": {"model": cpu_model(), "cores": os.cpu_count(), "usable_cores": usable_cores()},
        "ram_mib": ram_mib(),
        "gpus": gpus(),
        "packages": {name: version for name in PACKAGES if (version := package_version(name))},
        "git": {"package": package_git(), "folder": git_state(Path.cwd())},
    }


def package_version(name: str) -> str | None:
    """The installed version, None if the package is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        if name != "mmbert":
            return None
        from mmbert import __version__  # used straight from a checkout

        return __version__


def cpu_model() -> str | None:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or None


def usable_cores() -> int | None:
    """How many cores this process may use: fewer than the machine has on a shared one."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def ram_mib() -> int | None:
    """The machine's memory in MiB."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, ValueError, OSError):
        return None


def gpus() -> list[str]:
    """Names of the CUDA devices that this process sees."""
    try:
        import torch

        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    except Exception:  # a broken driver must not cost a run
        return []


def package_git() -> dict[str, Any] | None:
    """Git state of the checkout that mmbert runs from; None for an installed wheel.

    An environment inside a user's repository (``project/.venv``) is not that repository's code: only a file that git
    tracks counts.
    """
    import mmbert

    folder = Path(mmbert.__file__).parent
    if git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return git_state(folder)


def git_state(folder: Path) -> dict[str, Any] | None:
    """``commit``, ``branch``, ``dirty`` (tracked files differ from the commit); None outside git or before a commit."""
    commit = git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = git(folder, "status", "--porcelain", "--untracked-files=no")
    branch = git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    return {"commit": commit, "branch": branch, "dirty": None if changed is None else bool(changed)}


def git(folder: Path, *words: str) -> str | None:
    """Output of a git command in a folder, None if there is no git, no repository, or no answer in time."""
    try:
        done = subprocess.run(
            # a repository's own config may name a program for git to run; this one is asked of whatever folder it is
            ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
