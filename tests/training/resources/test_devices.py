"""``trainer=gpu`` on a machine without one, and other wishes that a machine cannot fulfil."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf

from mmbert.core.errors import ConfigError
from mmbert.training.resources.devices import check_devices, encoding_device

CONF = Path(__file__).parents[3] / "conf" / "trainer"


def trainer(name: str, **changed: Any) -> dict[str, Any]:
    """conf/trainer/NAME.yaml with the files it builds on."""
    own = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    built: dict[str, Any] = {}
    for base in own.pop("defaults", []):
        built |= trainer(base) if base != "_self_" else own
    return (built or own) | changed


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes torch believe in a number of GPUs."""

    def has(gpus: int, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return has


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("gpu", {}, "trainer.accelerator=gpu: torch finds no GPU on this machine.* Use trainer=cpu, or trainer=auto"),
        ("ddp", {}, "Use trainer=ddp_cpu"),
        ("fsdp", {}, "Use trainer=fsdp_cpu"),
        ("auto", {"accelerator": "mps"}, "no Apple GPU"),
    ],
)
def test_a_machine_without_gpu_names_the_nearest_choice(machine: Any, name: str, changed: dict, message: str) -> None:
    machine(gpus=0)
    with pytest.raises(ConfigError, match=message):
        check_devices(trainer(name, **changed))


@pytest.mark.parametrize("name", ["auto", "cpu", "ddp_cpu", "fsdp_cpu"])
@pytest.mark.parametrize("gpus", [0, 2])
def test_what_needs_no_gpu_passes_everywhere(machine: Any, name: str, gpus: int) -> None:
    machine(gpus=gpus)
    check_devices(trainer(name))


@pytest.mark.parametrize("devices", [1, 2, "auto", -1, "-1", [0], [1], "2", "0,1", "1,"])
def test_gpus_that_are_there_may_be_used(machine: Any, devices: Any) -> None:
    machine(gpus=2)
    check_devices(trainer("gpu", devices=devices))


@pytest.mark.parametrize(
    ("devices", "shown"), [(3, "3"), ([0, 2], r"\[0,2\]"), ("3", "3"), ("0,2", r"\[0,2\]"), ("2,", r"\[2\]")]
)
def test_more_gpus_than_there_are_is_told(machine: Any, devices: Any, shown: str) -> None:
    machine(gpus=2)
    with pytest.raises(ConfigError, match=rf"trainer.devices={shown}: this machine has 2 GPUs, numbers 0 to 1"):
        check_devices(trainer("gpu", devices=devices))
    machine(gpus=0)
    check_devices(trainer("cpu", devices=devices))  # processes on the CPU have no numbers


def test_an_apple_gpu_is_a_gpu(machine: Any) -> None:
    machine(gpus=0, mps=True)
    check_devices(trainer("gpu"))


@pytest.mark.parametrize(
    ("config", "gpus", "rank", "device"),
    [
        ({}, 0, None, "cpu"),
        ({"accelerator": "cpu"}, 2, None, "cpu"),
        ({}, 2, None, "cuda:0"),
        ({"devices": 2}, 2, "1", "cuda:1"),
        ({"devices": [1, 3]}, 4, None, "cuda:1"),
        ({"devices": OmegaConf.create([1, 3])}, 4, "1", "cuda:3"),
        ({"devices": "1,3"}, 4, "1", "cuda:3"),
        ({"devices": "auto"}, 4, "3", "cuda:3"),
        ({"devices": -1}, 1, "5", "cuda"),
    ],
)
def test_each_process_encodes_on_its_own_gpu(
    machine: Any, monkeypatch: pytest.MonkeyPatch, config: dict[str, Any], gpus: int, rank: str | None, device: str
) -> None:
    machine(gpus)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert encoding_device(config) == device
