"""The port is taken, or the reason is said."""

import socket

import pytest

pytest.importorskip("uvicorn")

from mmbert.core.errors import ConfigError  # noqa: E402
from mmbert.deploy.serving.server import address_of, open_port  # noqa: E402


def test_a_free_port_is_found_and_nobody_can_connect_yet():
    with open_port("127.0.0.1", 0) as taken:
        host, port = taken.getsockname()
        assert address_of(taken) == f"http://127.0.0.1:{port}" and port > 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, port), 1)


def test_every_address_of_the_machine_is_shown_as_its_own():
    with open_port("0.0.0.0", 0) as taken:
        assert address_of(taken).startswith("http://127.0.0.1:")


def test_a_port_or_a_host_that_cannot_be_had_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port={port}: another program listens there: name another port"):
            open_port("127.0.0.1", port)
    with pytest.raises(ConfigError, match="host=192.0.2.1 port=0: this machine has no such address"):
        open_port("192.0.2.1", 0)
    with pytest.raises(ConfigError, match="there is no such address"):
        open_port("no host at all", 0)
