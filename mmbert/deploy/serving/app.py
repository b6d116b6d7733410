"""The application: what each address answers. Built with FastAPI, served by uvicorn.

LitServe was looked at (0.2.19) and left: its queue has no bound, so that overload is never refused; a sample that
cannot be decoded fails the whole batch; decoding and the model share one thread of another process, into which every
request is pickled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from mmbert.deploy.serving.batching import PLACES_ALONE, SERVE_LOG
from mmbert.deploy.serving.page import docs_page
from mmbert.deploy.serving.refusals import Refusal
from mmbert.deploy.serving.responses import json_response, refusal_response
from mmbert.deploy.serving.service import Service

#: The library that takes forms apart, by the name of its logger.
FORM_PARSER = "python_multipart"


def build_app(service: Service) -> FastAPI:
    """The application around a service; the model's thread runs as long as the application does."""
    from fastapi import FastAPI
    from fastapi.responses import HTMLResponse

    from mmbert.deploy.serving.responses import json_response

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await asyncio.to_thread(service.batcher.close)
        service.preparing.close()

    logging.getLogger(FORM_PARSER).setLevel(logging.CRITICAL)  # its warnings quote bytes of what was sent
    described = service.description
    app = FastAPI(
        title=f"mmbert: {described.name}",
        description=described.text,
        version=described.version,
        docs_url=None,  # its pages load scripts from elsewhere; ours needs nothing but this server
        redoc_url=None,
        lifespan=lifespan,
    )

    async def predict(request: Request) -> Response:
        """Answers one sample or several."""
        try:
            return json_response(await service.predict(request))
        except Refusal as refusal:
            return refusal_response(refusal, request)
        except Exception as error:  # the log must not quote samples, which messages may do
            SERVE_LOG.error("A request failed: %s\n%s", type(error).__name__, PLACES_ALONE.traceback_of(error))
            return refusal_response(Refusal(500, "the server failed", "its log says where"), request)

    async def health() -> Response:
        """Whether the server takes samples, and what it has to do."""
        content = service.health()
        return json_response(content, 200 if content["ready"] else 503)

    async def page() -> HTMLResponse:
        """What can be asked here, with a form to try it."""
        return HTMLResponse(docs_page(described))

    responses: dict[int | str, dict[str, Any]] = described.responses
    body = {"requestBody": described.request_body}
    app.add_api_route(
        "/predict", predict, methods=["POST"], response_class=Response, openapi_extra=body, responses=responses
    )
    app.add_api_route("/health", health, methods=["GET"], response_class=Response, responses=described.health_responses)
    app.add_api_route("/health", health, methods=["HEAD"], include_in_schema=False)  # as some load balancers ask
    for path in ("/", "/docs"):
        app.add_api_route(path, page, methods=["GET"], include_in_schema=False)
    for status, error, remedy in (
        (404, "there is nothing at this address", "POST /predict, GET /health, GET /docs"),
        (405, "this address does not take this method", "POST /predict, GET /health, GET /docs"),
    ):
        app.add_exception_handler(status, refused_with(Refusal(status, error, remedy)))
    return app


def refused_with(refusal: Refusal) -> Any:
    """A handler that always says the same."""

    async def handler(_: Request, __: Exception) -> Response:
        return json_response(refusal.content(), refusal.status)

    return handler
