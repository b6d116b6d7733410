"""How much a server takes: at once, of one request, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from mmbert.deploy.serving.refusals import Refusal

#: Bodies that are held at once, in units of ``max_bytes``.
BODIES_AT_ONCE = 16


@dataclass(frozen=True)
class Limits:
    """The options of ``mmbert-serve``.

    Attributes:
        max_batch: samples that go through the model at once.
        max_wait_ms: how long a sample waits for others to share its batch.
        max_queue: samples that are taken in and not answered yet; of more, requests are refused (503).
        max_bytes: of a request's body; a larger one is refused (413).
        timeout_s: seconds after which a request is given up (504), its body included.
    """

    max_batch: int = 32
    max_wait_ms: float = 5.0
    max_queue: int = 128
    max_bytes: int = 20_000_000
    timeout_s: float = 30.0


class Places:
    """What is taken in at the moment. Used by the event loop alone.

    Args:
        limits: of the server.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.samples = 0
        self.bytes = 0

    def take(self, samples: int, size: int) -> None:
        """Takes in samples, whose request's body has so many bytes.

        Raises:
            Refusal: there is no place.
        """
        held = self.bytes + size
        if self.samples + samples > self.limits.max_queue or held > BODIES_AT_ONCE * self.limits.max_bytes:
            raise Refusal(
                503,
                "the server is busy: its queue is full",
                "try again later, after the seconds of the header Retry-After or more",
                retry_after_s=1,
            )
        self.samples += samples
        self.bytes = held

    def give_back(self, samples: int, size: int) -> None:
        """What ``take`` took."""
        self.samples -= samples
        self.bytes -= size
