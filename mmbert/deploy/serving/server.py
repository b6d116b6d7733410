"""Runs the application with uvicorn: it takes the port before the model is loaded, and ends when all is answered."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from mmbert.core.errors import ConfigError
from mmbert.deploy.serving.app import build_app
from mmbert.deploy.serving.service import Service

if TYPE_CHECKING:
    import uvicorn

#: Connections that the system holds until they are taken.
BACKLOG = 2048


def open_port(host: str, port: int) -> socket.socket:
    """A socket at an address; nobody can connect before the server runs. Port 0 = any that is free.

    Raises:
        ConfigError: the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(family, kind, protocol)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except socket.gaierror as error:
        raise ConfigError(f"host={host}: there is no such address ({error.strerror}). Try host=127.0.0.1.") from error
    except OSError as error:
        why = {
            errno.EADDRINUSE: "another program listens there: name another port, such as port=8001",
            errno.EACCES: "this user may not: ports below 1024 belong to the system",
            errno.EADDRNOTAVAIL: "this machine has no such address: try host=127.0.0.1, or host=0.0.0.0 for all it has",
        }.get(error.errno or 0, str(error.strerror))
        raise ConfigError(f"host={host} port={port}: {why}.") from error
    return taken


def address_of(taken: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    host, port = taken.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{shown}:{port}"


def make_server(service: Service) -> uvicorn.Server:
    """A server; ``run(sockets=[…])`` serves until it is told to end, then answers what it has taken in.

    No request is logged: addresses may hold what somebody typed.
    """
    import uvicorn

    config = uvicorn.Config(
        build_app(service),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        backlog=BACKLOG,
        timeout_graceful_shutdown=int(service.limits.timeout_s) + 5,
    )
    return uvicorn.Server(config)
