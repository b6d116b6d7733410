"""Is the machine the one that ``trainer=`` asks for? Told before anything is built, with what would work here.

And where encoders run ahead of the training: on the GPU that this process will train on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError


def check_devices(trainer_cfg: Mapping[str, Any]) -> None:
    """Compares the configured accelerator and devices with what torch finds.

    Args:
        trainer_cfg: the config of Lightning's Trainer; what it lacks has Lightning's default.

    Raises:
        ConfigError: there is no such device here, or not as many of them.
    """
    accelerator = str(trainer_cfg.get("accelerator", "auto"))
    strategy, devices = str(trainer_cfg.get("strategy", "auto")), trainer_cfg.get("devices", "auto")
    distributed = strategy.startswith(("ddp", "fsdp", "deepspeed"))
    gpus, mps = torch.cuda.device_count() if torch.cuda.is_available() else 0, torch.backends.mps.is_available()
    if accelerator == "mps" and not mps:
        raise ConfigError("trainer.accelerator=mps: this machine has no Apple GPU. Use trainer=cpu or trainer=auto.")
    if accelerator in ("gpu", "cuda") and not gpus and not (mps and accelerator == "gpu"):
        instead = "trainer=cpu"
        if distributed:
            instead = f"trainer={'fsdp' if strategy.startswith('fsdp') else 'ddp'}_cpu (two processes on the CPU)"
        raise ConfigError(
            f"trainer.accelerator={accelerator}: torch finds no GPU on this machine{driver_hint()}. Use {instead}, "
            "or trainer=auto, which takes what is there."
        )
    on_gpu = accelerator in ("gpu", "cuda") or accelerator == "auto" and gpus > 0
    if on_gpu and gpus:
        check_count(devices, gpus)


def check_count(devices: Any, gpus: int) -> None:
    """Enough GPUs for the devices asked for: a count, a list of numbers, or a text that says one of them.

    Raises:
        ConfigError: there are fewer.
    """
    if devices in ("auto", None, -1, "-1"):
        return
    devices = as_number_or_list(devices)
    wanted = devices if isinstance(devices, int) else max(devices) + 1
    if wanted <= gpus:
        return
    have = "1 GPU, number 0" if gpus == 1 else f"{gpus} GPUs, numbers 0 to {gpus - 1}"
    shown = devices if isinstance(devices, int) else f"[{','.join(map(str, devices))}]"
    raise ConfigError(
        f"trainer.devices={shown}: this machine has {have}. Use trainer.devices=auto for all of them, "
        f"or at most trainer.devices={gpus}."
    )


def as_number_or_list(devices: Any) -> Any:
    """A text that says a count (``2``) or numbers of GPUs (``0,2``) as what it says; all else as it is."""
    if isinstance(devices, str) and devices != "auto":
        return [int(n) for n in devices.split(",") if n] if "," in devices else int(devices)
    return devices


def encoding_device(trainer_cfg: Mapping[str, Any]) -> str:
    """Where encoders compute before training: torch's name of this process's GPU, ``cpu`` if it uses none."""
    accelerator = str(trainer_cfg.get("accelerator", "auto"))
    if accelerator not in ("auto", "gpu", "cuda") or not torch.cuda.is_available():
        return "cpu"
    devices, place = as_number_or_list(trainer_cfg.get("devices", "auto")), int(os.environ.get("LOCAL_RANK", 0))
    listed = isinstance(devices, list) or OmegaConf.is_list(devices)
    numbers = list(devices) if listed else list(range(torch.cuda.device_count()))
    return f"cuda:{numbers[place]}" if place < len(numbers) else "cuda"


def driver_hint() -> str:
    """A word on the usual cause, where a GPU may be there and torch cannot use it."""
    if torch.version.cuda is None and torch.version.hip is None:
        return " (this torch was built without CUDA)"
    return ""
