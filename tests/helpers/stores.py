"""Servers that tests start on this machine: an object store that speaks S3 (moto), and plain HTTP."""

import functools
import http.server
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

BUCKET = "samples"


@contextmanager
def s3_store(patch):
    """``upload(folder, prefix)`` to an S3 server of this test's own; fsspec finds it by the environment.

    Args:
        patch: ``pytest.MonkeyPatch``.
    """
    moto = pytest.importorskip("moto.server")
    import boto3
    import fsspec
    import httpx

    server = moto.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "no_proxy": "*",
    }.items():
        patch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)

    def upload(folder, prefix):
        for path in Path(folder).rglob("*"):
            if path.is_file():
                client.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder)}")
        for kept in fsspec.get_filesystem_class("s3")._cache.values():
            kept.invalidate_cache()
        return f"s3://{BUCKET}/{prefix}"

    upload.client = client
    try:
        yield upload
    finally:
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        httpx.post(f"http://{host}:{port}/moto-api/reset")  # what was stored is the process's, not the server's
        server.stop()


@contextmanager
def http_store(folder):
    """The address of a folder, and the requests so far."""
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requests.append(args[1])

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
