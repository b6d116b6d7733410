"""A server around a tiny model, on a port of this machine, in a thread; samples as files and as clients send them."""

import asyncio
import base64
import csv
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")


@pytest.fixture(scope="session")
def tiny_model(finished_run):
    """A model of text, image and audio, and its six tasks."""
    from mmbert.model import MultimodalModel

    return MultimodalModel.from_pretrained(finished_run / "model")


@pytest.fixture(scope="session")
def samples(digits):
    """Sixteen samples as ``model.predict`` takes them."""
    with digits.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["text"] and row["image"] and row["audio"]][:16]
    folder = digits.parent
    return [
        {"text": row["text"], "image": str(folder / row["image"]), "audio": str(folder / row["audio"])} for row in rows
    ]


def as_json(sample):
    """A sample as JSON carries it."""
    return {
        name: value if name == "text" else base64.b64encode(Path(value).read_bytes()).decode()
        for name, value in sample.items()
    }


@pytest.fixture(scope="session")
def sent():
    """``sent(sample)``: as JSON carries it."""
    return as_json


@contextmanager
def running(service):
    """The address of a server around a service, which ends with the block."""
    from mmbert.deploy.serving.server import address_of, make_server, open_port

    taken = open_port("127.0.0.1", 0)
    server = make_server(service)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[taken])), daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    try:
        yield address_of(taken), server
    finally:
        server.should_exit = True
        thread.join(20)
        taken.close()
        assert not thread.is_alive()


@pytest.fixture
def serve(tiny_model):
    """``with serve(max_batch=4, …) as client``: a client of a server with these limits; ``client.service`` is its."""
    from mmbert.deploy.serving.limits import Limits
    from mmbert.deploy.serving.service import Service

    @contextmanager
    def serving(model=tiny_model, **limits):
        service = Service([model], "runs/tiny", Limits(**limits))
        with running(service) as (address, server), httpx.Client(base_url=address, timeout=30) as client:
            client.service, client.server = service, server
            yield client

    return serving


@pytest.fixture(scope="session")
def running_service():
    """``with running_service(service) as (address, server)``."""
    return running
