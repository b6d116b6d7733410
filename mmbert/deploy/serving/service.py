"""``Service``: a model, and what stands between it and requests: places, processes that prepare, batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from mmbert.deploy.serving.batching import Batcher, SampleAnswers
from mmbert.deploy.serving.bodies import content_type, declared_size, form_samples, json_samples, read_body
from mmbert.deploy.serving.description import Description
from mmbert.deploy.serving.limits import Limits, Places
from mmbert.deploy.serving.preparing import Preparing
from mmbert.deploy.serving.refusals import Refusal
from mmbert.model import MultimodalModel
from mmbert.model.samples import PreparedSample, collate_samples

if TYPE_CHECKING:
    from fastapi import Request


class Service:
    """A model, and what stands between it and requests.

    Args:
        models: replicas in evaluation mode, on their device; each takes a batch at a time.
        name: what the model is called on pages.
        limits: of the server.
        threads: see ``Batcher``.
    """

    def __init__(
        self, models: Sequence[MultimodalModel], name: str, limits: Limits, threads: int | None = None
    ) -> None:
        model, self.limits = models[0], limits
        self.description = Description.of(model, name, limits)
        self.processors = {name: encoder.processor for name, encoder in model.named_encoders().items()}
        self.aligned_to = model.aligned_to
        self.device = next(model.parameters()).device
        self.places = Places(limits)
        self.preparing = Preparing(self.processors, self.aligned_to)
        self.batcher = Batcher(
            [partial(self.answer_batch, model) for model in models], limits.max_batch, limits.max_wait_ms, threads
        )

    @torch.inference_mode()
    def answer_batch(self, model: MultimodalModel, samples: Sequence[PreparedSample]) -> list[SampleAnswers]:
        """What ``MultimodalModel.predict`` says of samples that are prepared; runs in a thread of the batcher's."""
        inputs, alignments = collate_samples(samples, self.processors, self.aligned_to)
        moved = {name: {key: t.to(self.device) for key, t in tensors.items()} for name, tensors in inputs.items()}
        return model.answers(model(moved), alignments)

    def health(self) -> dict[str, Any]:
        """What ``GET /health`` says."""
        return {
            "ready": self.batcher.ready,
            "model": self.description.name,
            "modalities": self.description.modalities,
            "tasks": self.description.tasks,
            "queue": self.places.samples,
            "max_queue": self.limits.max_queue,
            "batches": self.batcher.batches,
            "samples": self.batcher.samples,
        }

    async def predict(self, request: Request) -> Any:
        """The answers to a request: one dictionary, or a list of them where it is a list.

        Raises:
            Refusal: it gets none.
        """
        size = declared_size(request, self.limits.max_bytes)
        self.places.take(1, size)
        taken = 1
        body: bytes | None = None
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                body = await read_body(request, self.limits.max_bytes)
                samples = await self.samples_of(request, body)
                several = samples if isinstance(samples, list) else [samples]
                self.check_count(len(several))
                self.places.take(len(several) - 1, 0)
                taken = len(several)
                answers = await self.answers(request, several, isinstance(samples, list))
        except TimeoutError:
            if body is None:
                raise Refusal(408, f"the body has not come within {self.limits.timeout_s:g} s") from None
            raise Refusal(
                504,
                f"there was no answer within {self.limits.timeout_s:g} s",
                "try again later, or start with timeout_s=SECONDS",
                retry_after_s=1,
            ) from None
        finally:
            self.places.give_back(taken, size)
        return answers if isinstance(samples, list) else answers[0]

    async def samples_of(self, request: Request, body: bytes) -> Any:
        """What a body holds: a sample, or a list of them.

        Raises:
            Refusal: it cannot be read.
        """
        if content_type(request) == "multipart/form-data":
            return await form_samples(request, body, self.limits.max_queue)
        if len(body) < 2**16:
            return json_samples(body)
        return await self.preparing.read(json_samples, body)

    def check_count(self, count: int) -> None:
        """Whether so many samples may come in one request.

        Raises:
            Refusal: there are none, or too many.
        """
        if not count:
            raise Refusal(422, "the list has no samples", "send one sample or more")
        if count > self.limits.max_queue:
            most = self.limits.max_queue
            raise Refusal(413, f"the request has {count} samples, more than {most}", "divide it into several requests")

    async def answers(self, request: Request, samples: Sequence[Any], is_list: bool) -> list[SampleAnswers]:
        """Prepares samples, waits for their answers, and gives up where the client has gone.

        Raises:
            Refusal: one of them cannot be used.
        """
        work: asyncio.Future[Any] = asyncio.gather(
            *(self.answer(sample, number, is_list) for number, sample in enumerate(samples))
        )
        gone: asyncio.Future[Any] = asyncio.ensure_future(
            request.receive()
        )  # after the body there comes nothing but the end
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise Refusal(499, "the client has closed the connection")
            return list(work.result())
        finally:
            gone.cancel()
            work.cancel()
            with suppress(Exception, asyncio.CancelledError):  # of a request that is over
                work.done() and work.exception()

    async def answer(self, sample: Any, number: int, is_list: bool) -> SampleAnswers:
        """The answer to one sample.

        Raises:
            Refusal: it cannot be used.
        """
        try:
            prepared = await self.preparing.prepare(sample)
            return await self.batcher.submit(prepared)
        except Refusal as refusal:
            raise (refusal.of_sample(number) if is_list else refusal) from None
