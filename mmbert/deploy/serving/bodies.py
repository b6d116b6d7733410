"""The body of a request: read within bounds into memory, never to disk, and taken apart into samples."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from mmbert.deploy.serving.refusals import Refusal

if TYPE_CHECKING:
    from fastapi import Request

#: ``before.text`` is what goes before a text; ``2.text`` is the text of the third sample.
FORM_FIELD = re.compile(r"(?:(?P<sample>\d{1,6})\.)?(?P<before>before\.)?(?P<name>.*)", re.DOTALL)
TYPES = "send application/json or multipart/form-data; with curl: -H 'Content-Type: application/json', or -F fields"


def declared_size(request: Request, most: int) -> int:
    """Bytes that the body has by its header; ``most`` where it does not say.

    Raises:
        Refusal: it is of a type that is not read, or too large.
    """
    kind = content_type(request)
    if kind not in ("application/json", "multipart/form-data"):
        raise Refusal(415, f"the content type {kind or 'of the request is missing, it'} is not read", TYPES)
    given = request.headers.get("content-length", "")
    if not given.isdecimal():
        return most
    if int(given) > most:
        raise too_large(most)
    return int(given)


def content_type(request: Request) -> str:
    """``multipart/form-data`` and the like, without what follows."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def too_large(most: int) -> Refusal:
    """What a body of more bytes is answered with."""
    return Refusal(413, f"the body has more than {most:,} bytes", "send smaller files, or start with max_bytes=BYTES")


async def read_body(request: Request, most: int) -> bytes:
    """All of it.

    Raises:
        Refusal: it is too large; no more is kept then.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise too_large(most)
        parts.append(part)
    return b"".join(parts)


async def form_samples(request: Request, body: bytes, most_samples: int) -> dict[str, Any] | list[dict[str, Any]]:
    """A form's fields and files -> one sample, or several where the names begin with numbers.

    Raises:
        Refusal: it cannot be read, or a field comes twice.
    """
    from starlette.formparsers import MultiPartException, MultiPartParser

    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    most_fields = 64 * most_samples
    parser = MultiPartParser(
        request.headers, whole(), max_files=most_fields, max_fields=most_fields, max_part_size=len(body) + 1
    )
    parser.spool_max_size = len(body) + 1  # otherwise files of more than a megabyte would lie on disk for a while
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Refusal(400, f"the form cannot be read: {error.message}", "let your client write it: curl -F") from None
    found: dict[int | None, dict[str, Any]] = {}
    for key, value in form.multi_items():
        content = value if isinstance(value, str) else await value.read()
        add_field(found, key, content)
    if None in found and len(found) > 1:
        raise Refusal(
            422, "some fields have a sample's number and some have none", "number all of them: 0.text, 1.text"
        )
    samples = {number: with_text_pairs(sample) for number, sample in found.items()}
    if None in samples or not samples:
        return samples.get(None, {})
    if sorted(filter(None, samples)) != list(range(1, len(samples))):
        raise Refusal(422, f"the samples have the numbers {sorted(found)[:9]}", "count from 0, and leave none out")  # type: ignore[type-var]
    return [samples[number] for number in range(len(samples))]


def add_field(found: dict[int | None, dict[str, Any]], key: str, content: Any) -> None:
    """Puts a field into its sample.

    Raises:
        Refusal: it is there.
    """
    match = FORM_FIELD.fullmatch(key)
    assert match is not None
    number = None if match["sample"] is None else int(match["sample"])
    name = (match["before"] or "") + match["name"]
    sample = found.setdefault(number, {})
    if name in sample:
        raise Refusal(422, "the field comes twice", "several samples: 0.text, 1.text", field=name, sample=number)
    sample[name] = content


def with_text_pairs(sample: Mapping[str, Any]) -> dict[str, Any]:
    """A text and the one that goes before it (``before.text``) as two.

    Raises:
        Refusal: it goes before a text that is not given.
    """
    made = dict(sample)
    for key in [key for key in sample if key.startswith("before.")]:
        name = key.removeprefix("before.")
        if name not in sample:
            raise Refusal(422, "it goes before a text that is not given", f"add the field {name}", field=key)
        made[name] = [made.pop(key), sample[name]]
    return made


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, which may name a field once.

    Raises:
        Refusal: one comes twice, of which Python would take the last.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Refusal(422, "the field comes twice", "several samples: a list of objects", field=key)
        found[key] = value
    return found


def json_samples(body: bytes) -> Any:
    """What the body holds.

    Raises:
        Refusal: it is no JSON, or a field comes twice.
    """
    try:
        return json.loads(body, object_pairs_hook=each_once)
    except (ValueError, RecursionError) as error:
        where = f", line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise Refusal(400, f"the body is no JSON{where}", "send an object, or a list of objects, in UTF-8") from None
