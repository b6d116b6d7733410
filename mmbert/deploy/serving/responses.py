"""What is sent back: JSON, and refusals whose answer arrives although the request's body was not read."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from mmbert.deploy.serving.refusals import Refusal

#: A body that is not wanted is let pass by, up to so many bytes and seconds, so that its client reads the answer.
MOST_PASSED_BYTES = 50_000_000
MOST_PASSED_SECONDS = 5.0


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON in UTF-8, without NaN."""
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(finite(content), ensure_ascii=False, allow_nan=False)
    return Response(text.encode("utf-8", "replace"), status, headers, "application/json")


def refusal_response(refusal: Refusal, request: Request) -> Response:
    """A refusal; where the body was not read, one that lets it pass by."""
    if request._stream_consumed:
        return json_response(refusal.content(), refusal.status, refusal.headers())
    return EarlyResponse(refusal)


class EarlyResponse(Response):
    """An answer to a request whose body is still coming: sent at once, then the body is passed by, then the end.

    A connection that is closed while bytes are under way is reset, and its client may never see the answer.
    """

    def __init__(self, refusal: Refusal) -> None:
        content = json.dumps(refusal.content(), ensure_ascii=False).encode("utf-8", "replace")
        headers = {**refusal.headers(), "Connection": "close"}
        super().__init__(content, refusal.status, headers, "application/json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        waits = any(name == b"expect" for name, _ in scope["headers"])  # such a client sends nothing before it is asked
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        if not waits and self.status_code != 408:  # a body that was waited for long enough
            await pass_by(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def pass_by(receive: Receive) -> None:
    """Reads a body and keeps nothing, within bounds."""
    passed = 0
    try:
        async with asyncio.timeout(MOST_PASSED_SECONDS):
            while passed <= MOST_PASSED_BYTES:
                message = await receive()
                passed += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def finite(value: Any) -> Any:
    """A value of JSON's types with null in the place of NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
