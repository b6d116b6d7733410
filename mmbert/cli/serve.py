"""``mmbert-serve model=FOLDER``: a saved model over HTTP."""

from __future__ import annotations

import importlib.util
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mmbert.cli.app import run_with_usage
from mmbert.cli.predict import model_folder, probability, set_threshold
from mmbert.cli.run_config import consent
from mmbert.core.errors import ConfigError, nearest
from mmbert.runs.folder import is_own_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SERVE_USAGE = """\
usage: mmbert-serve model=FOLDER [port=8000] [host=127.0.0.1] [max_batch=32] [max_wait_ms=5] [max_queue=128]
                    [max_bytes=20000000] [timeout_s=30] [device=auto] [abstain_below=0.7] [trust_custom_code=true]

Answers requests over HTTP as mmbert-predict answers samples: POST /predict with JSON (a picture or sound as base64) or
a form (files), GET /health, GET /docs. FOLDER is a run's folder, the model/ in it, or user/name on the Hugging Face
hub.

  mmbert-serve model=outputs/DATE/TIME
  curl -F text="Add the two numbers." -F image=@seven.png -F audio=@five.wav http://127.0.0.1:8000/predict

  host         address to listen at; 0.0.0.0 = every one of this machine. There is no authentication: docs/serving.md
  port         0 = any that is free
  max_batch    samples that go through the model at once
  max_wait_ms  how long a sample waits for others to share its batch; 0 = not at all
  max_queue    samples that are taken in and not answered yet; of more, requests are refused (503)
  max_bytes    of a request's body; a larger one is refused (413)
  timeout_s    seconds after which a request is given up (504)
  device       auto (a GPU if there is one), cpu, cuda, cuda:1, mps
  abstain_below  as for mmbert-predict
  trust_custom_code=true   let classes outside the package be imported; a run that you began yourself needs no such word

Ctrl-C, or SIGTERM, ends it after what was taken in is answered.
"""

SERVE_OPTIONS = (
    *("model", "port", "host", "max_batch", "max_wait_ms", "max_queue", "max_bytes", "timeout_s", "device"),
    *("abstain_below", "trust_custom_code"),
)


def main() -> None:
    """Entry point of the console script."""
    run_with_usage(serve_model, "mmbert-serve", SERVE_USAGE)


def serve_model(words: list[str]) -> None:
    """Parses the words, takes the port, loads the model and serves it until it is told to end.

    Raises:
        MmbertError: an option, the model or the address is at fault.
    """
    own = given_options(words, SERVE_OPTIONS, "mmbert-serve")
    folder = model_folder(own.get("model"))
    trusted = consent(own) or is_own_model(folder)
    lowest = probability(own, "abstain_below")
    port = whole_in_range(own, "port", 8000, 0, 65535)
    limits = given_limits(own)
    require_extra("serve", "fastapi", "uvicorn", "python_multipart")

    from mmbert.deploy.serving.limits import Limits  # heavy: after the words are known to be right
    from mmbert.deploy.serving.replicas import load_replicas, replicas_for
    from mmbert.deploy.serving.server import address_of, make_server, open_port
    from mmbert.deploy.serving.service import Service
    from mmbert.model import MultimodalModel
    from mmbert.training.callbacks.console import quiet
    from mmbert.training.predict import chosen_device

    quiet()
    with open_port(own.get("host", "127.0.0.1"), port) as taken, computing_alone() as threads:
        device = chosen_device(own.get("device", "auto"))
        print(f"  loading      {model_name(folder)}", flush=True)

        def load() -> MultimodalModel:
            model = MultimodalModel.from_pretrained(folder, trust_custom_code=trusted).to(device)
            set_threshold(model.named_tasks(), lowest)
            return model

        models = load_replicas(load, replicas_for(device, threads))
        service = Service(models, model_name(folder), Limits(**limits), threads)
        server = make_server(service)
        print(f"{service.description.name}: {', '.join(service.description.modalities)}", end=" → ")
        print(", ".join(service.description.tasks))
        address = address_of(taken)
        print(
            f"  page         {address}\n  predict      POST {address}/predict\n  health       {address}/health",
            flush=True,
        )
        if own.get("host", "127.0.0.1") not in ("127.0.0.1", "localhost", "::1"):
            print(
                "  Anybody who reaches this address may ask: there is no authentication (docs/serving.md).", flush=True
            )
        for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn ends by them, and raises them once more when it has
            signal.signal(number, lambda *_: None)
        server.run(sockets=[taken])
        print(f"  {service.batcher.samples} samples answered in {service.batcher.batches} batches")


def given_limits(own: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of ``Limits``.

    Raises:
        ConfigError: one is out of range, or no batch would ever be full.
    """
    limits: dict[str, Any] = {
        "max_batch": whole_in_range(own, "max_batch", 32, 1, 4096),
        "max_wait_ms": number_in_range(own, "max_wait_ms", 5, 0, 10_000),
        "max_queue": whole_in_range(own, "max_queue", 128, 1, 100_000),
        "max_bytes": whole_in_range(own, "max_bytes", 20_000_000, 1, 2**31),
        "timeout_s": number_in_range(own, "timeout_s", 30, 0.01, 86400),
    }
    if limits["max_queue"] < limits["max_batch"]:
        raise ConfigError(
            f"max_queue={limits['max_queue']} is less than max_batch={limits['max_batch']}: no batch would be full."
        )
    return limits


@contextmanager
def computing_alone() -> Iterator[int]:
    """Within it this thread computes with one thread; gives the number that torch had for it before.

    OpenMP makes a team of threads for each thread that computes with several. Once there are more of them than cores,
    those of every team go to sleep where they would have waited for each other: the model in a thread of its own took
    1.5 times as long (two cores, libgomp) after the thread that loaded it had computed with two.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def given_options(words: list[str], options: tuple[str, ...], command: str) -> dict[str, str]:
    """``key=value`` words by key.

    Raises:
        ConfigError: a word is none of the options, or comes twice.
    """
    own: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in options:
            raise ConfigError(f"'{word}' is no option of {command}. {nearest(key, options)}")
        if key in own:
            raise ConfigError(f"'{key}' is given twice.")
        own[key] = value
    return own


def whole_in_range(own: Mapping[str, str], key: str, otherwise: int, least: int, most: int) -> int:
    """The value of an option that is a whole number.

    Raises:
        ConfigError: it is none, or out of range.
    """
    given = own.get(key, str(otherwise))
    if not (given.isascii() and given.isdigit()) or len(given) > 12 or not least <= int(given) <= most:
        raise ConfigError(f"{key}={given}: a whole number from {least} to {most} is wanted.")
    return int(given)


def number_in_range(own: Mapping[str, str], key: str, otherwise: float, least: float, most: float) -> float:
    """The value of an option that is a number.

    Raises:
        ConfigError: it is none, or out of range.
    """
    given = own.get(key, str(otherwise))
    try:
        found = float(given)
    except ValueError:
        found = float("nan")
    if not least <= found <= most:  # NaN is in no range
        raise ConfigError(f"{key}={given}: a number from {least:g} to {most:g} is wanted.")
    return found


def require_extra(extra: str, *modules: str) -> None:
    """Whether the packages of an extra are there.

    Raises:
        ConfigError: one is not.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError(f"{missing[0]} is not installed: pip install 'mmbert[{extra}]'")


def model_name(folder: Path) -> str:
    """What a model is called: by its run's folder, not by the model/ in it."""
    place = folder.resolve()
    return "/".join((place.parent if place.name == "model" else place).parts[-2:]).lstrip("/")


if __name__ == "__main__":
    main()
