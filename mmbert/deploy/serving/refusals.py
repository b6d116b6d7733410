"""``Refusal``: why a request has no answer, as the client is told it. It goes into no log: it may quote a sample."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """Ends a request.

    Args:
        status: of HTTP.
        error: what is wrong.
        remedy: what to do about it.
        field: of the sample, the modality or name at fault.
        sample: of several samples the one at fault, counted from 0.
        retry_after_s: when to try again, for a server that is busy.
    """

    def __init__(
        self,
        status: int,
        error: str,
        remedy: str = "",
        field: str | None = None,
        sample: int | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(error)
        self.status, self.error, self.remedy = status, error, remedy
        self.field, self.sample, self.retry_after_s = field, sample, retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        """As it was made: processes that prepare samples send it on."""
        made = (self.status, self.error, self.remedy, self.field, self.sample, self.retry_after_s)
        return type(self), made

    def of_sample(self, sample: int) -> Refusal:
        """The same, of one of several samples."""
        return Refusal(self.status, self.error, self.remedy, self.field, sample, self.retry_after_s)

    def content(self) -> dict[str, Any]:
        """What is sent as JSON: ``error``, ``remedy``, ``field`` and ``sample``, null where they do not apply."""
        return {"error": self.error, "remedy": self.remedy or None, "field": self.field, "sample": self.sample}

    def headers(self) -> dict[str, str]:
        """What is sent besides."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
