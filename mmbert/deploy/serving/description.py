"""What a server says of itself: modalities, tasks, examples and answers, for OpenAPI and for its page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmbert import __version__
from mmbert.data.modalities.media import MediaModality
from mmbert.data.modalities.processor import Cutting, Processor
from mmbert.data.modalities.registry import modality_of
from mmbert.data.modalities.series import SeriesModality
from mmbert.data.modalities.series_reading import SeriesReading
from mmbert.deploy.serving.limits import Limits
from mmbert.model import MultimodalModel

#: Classes of a task that are listed.
MOST_CLASSES = 100
#: A picture of one pixel and a sound of a few samples, so that examples can be sent as they stand.
ONE_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4//8/AAX+Av4N70a4AAAAAElFTkSuQmCC"
FEW_SAMPLES = base64.b64encode(
    b"RIFF\x34\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00"
    b"data\x10\x00\x00\x00" + bytes(16)
).decode()
EXAMPLE_VALUES: dict[str, Any] = {"text": "What do you get?", "image": ONE_PIXEL, "audio": FEW_SAMPLES}
#: A saved model does not know whether it was trained on pairs, so that every text encoder with room for two takes them.
TWO_TEXTS = "[before, text], read together: for models that were trained on two texts; others read what they never met"
STATUSES = {
    400: "The body is no JSON, or no form.",
    408: "The body has not come in time.",
    413: "The body has too many bytes, or the request too many samples.",
    415: "The content type is not read.",
    422: "A sample cannot be used: an unknown field, no modality, a broken file.",
    500: "The model or the server failed.",
    503: "The queue is full. Try again after the seconds of Retry-After.",
    504: "There was no answer in time.",
}
ERROR_SCHEMA = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "what is wrong"},
        "remedy": {"type": ["string", "null"], "description": "what to do about it"},
        "field": {"type": ["string", "null"], "description": "the field at fault"},
        "sample": {"type": ["integer", "null"], "description": "of several samples the one at fault, from 0"},
    },
}


@dataclass(frozen=True)
class Description:
    """What is known of a server before it answers.

    Attributes:
        name: of the model.
        version: of mmbert.
        limits: of the server.
        modalities: kind of input by name.
        media: names of those that are files.
        pairs: names of texts that may be two.
        tasks: by name ``kind`` and, where it has any, ``classes``.
        width: D of modalities that are vectors.
        series: of modalities that are columns over time, some that can be sent instead of a file.
        records: of modalities that are facts in several columns, a record that can be sent.
        read: of modalities that are cut where they are long, how much is read: ``128 tokens``.
    """

    name: str
    version: str
    limits: Limits
    modalities: dict[str, str]
    media: tuple[str, ...]
    pairs: tuple[str, ...]
    tasks: dict[str, dict[str, Any]]
    width: dict[str, int]
    series: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    read: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, model: MultimodalModel, name: str, limits: Limits) -> Description:
        """That of a model."""
        processors = {name: encoder.processor for name, encoder in model.named_encoders().items()}
        kinds = {name: modality_of(processor) for name, processor in processors.items()}
        return cls(
            name=name,
            version=__version__,
            limits=limits,
            modalities={name: kind.kind for name, kind in kinds.items()},
            media=tuple(name for name, kind in kinds.items() if isinstance(kind, MediaModality)),
            pairs=tuple(name for name, one in processors.items() if getattr(one, "has_room_for_pairs", False)),
            tasks={name: task_facts(task) for name, task in model.named_tasks().items()},
            series={
                name: series_example(one.modality.reading, one.statistics)  # type: ignore[attr-defined]
                for name, one in processors.items()
                if isinstance(kinds[name], SeriesModality)
            },
            records={
                name: record_example(one.columns)  # type: ignore[attr-defined]
                for name, one in processors.items()
                if kinds[name].reads_columns
            },
            read=lengths_read(processors),
            width={name: one.width for name, one in processors.items() if isinstance(getattr(one, "width", None), int)},  # type: ignore[attr-defined]
        )

    @property
    def text(self) -> str:
        """In a paragraph."""
        tasks = ", ".join(f"{name} ({facts['kind']})" for name, facts in self.tasks.items())
        return (
            f"Takes any non-empty subset of {', '.join(self.modalities)}; answers {tasks}. "
            f"{said_of_cuts(self.read)}At most {self.limits.max_bytes:,} bytes and {self.limits.max_queue} samples a "
            f"request, {self.limits.timeout_s:g} seconds. There is no authentication."
        )

    def example(self, names: tuple[str, ...] | None = None) -> dict[str, Any]:
        """A sample that can be sent as JSON."""
        return {name: self._example_of(name) for name in (self.modalities if names is None else names)}

    def _example_of(self, name: str) -> Any:
        kind = self.modalities[name]
        if name in self.records or name in self.series:
            return {**self.records, **self.series}[name]
        return [0.0] * self.width.get(name, 3) if kind == "features" else EXAMPLE_VALUES.get(kind, "…")

    def sample_schema(self, in_form: bool) -> dict[str, Any]:
        """Of a sample, in JSON or in a form."""
        return {
            "type": "object",
            "properties": {name: self._schema_of(name, in_form) for name in self.modalities},
            "minProperties": 1,
            "additionalProperties": in_form,
        }

    def _schema_of(self, name: str, in_form: bool) -> dict[str, Any]:
        schema = self._schema_of_kind(name, in_form)
        if name not in self.read:
            return schema
        words = [*filter(None, [schema.get("description")]), f"{self.read[name]} are read, more is cut"]
        return {**schema, "description": "; ".join(words)}

    def _schema_of_kind(self, name: str, in_form: bool) -> dict[str, Any]:
        kind = self.modalities[name]
        if name in self.media:
            if in_form:
                return {"type": "string", "format": "binary", "description": f"a file: {kind}"}
            file = {"type": "string", "contentEncoding": "base64", "description": f"bytes of a file, {kind}, in base64"}
            if name not in self.series:
                return file
            column = {"type": "array", "items": {"type": ["number", "null"]}}
            columns = dict.fromkeys(self.series[name], column)
            return {"anyOf": [file, {"type": "object", "properties": columns}]}
        if kind == "features":
            if in_form:
                return {"type": "string", "format": "binary", "description": "a .npy file, or numbers as a JSON list"}
            return {"type": "array", "items": {}, "description": "numbers (D), or lists of numbers (L, D)"}
        if name in self.records and not in_form:
            cell = {"type": ["string", "number", "boolean", "null"]}
            properties = dict.fromkeys(self.records[name], cell)
            return {"type": "object", "properties": properties, "additionalProperties": False}
        one = {"type": "string"}
        if in_form or name not in self.pairs:
            return one
        two = {"type": "array", "items": one, "minItems": 2, "maxItems": 2, "description": TWO_TEXTS}
        return {"anyOf": [one, two]}

    @property
    def request_body(self) -> dict[str, Any]:
        """Of ``POST /predict``."""
        sample = self.sample_schema(in_form=False)
        first = next(iter(self.modalities))
        examples = {
            "all modalities": {"value": self.example()},
            f"{first} alone": {"value": self.example((first,))},
            "several samples": {"value": [self.example(), self.example((first,))]},
        }
        several = {"type": "array", "items": sample, "minItems": 1, "maxItems": self.limits.max_queue}
        return {
            "required": True,
            "content": {
                "application/json": {"schema": {"anyOf": [sample, several]}, "examples": examples},
                "multipart/form-data": {"schema": self.sample_schema(in_form=True)},
            },
        }

    @property
    def answer_schema(self) -> dict[str, Any]:
        """Of the answers to one sample."""
        properties = {name: answer_schema(facts) for name, facts in self.tasks.items()}
        return {"type": "object", "properties": properties, "required": list(properties)}

    @property
    def responses(self) -> dict[int | str, dict[str, Any]]:
        """Of ``POST /predict``."""
        answer = self.answer_schema
        schema = {"anyOf": [answer, {"type": "array", "items": answer}]}
        meaning = "The answers of every task; a list where the request was one."
        found: dict[int | str, dict[str, Any]] = {
            200: {"description": meaning, "content": {"application/json": {"schema": schema}}}
        }
        for status, why in STATUSES.items():
            found[status] = {"description": why, "content": {"application/json": {"schema": ERROR_SCHEMA}}}
        return found

    @property
    def health_responses(self) -> dict[int | str, dict[str, Any]]:
        """Of ``GET /health``."""
        return {
            200: {"description": "Samples are taken."},
            503: {"description": "None are taken: the server is ending."},
        }


def lengths_read(processors: Mapping[str, Processor]) -> dict[str, str]:
    """How much is read of modalities that are cut where they are long: ``128 tokens``."""
    limits = {name: one.length_limit for name, one in processors.items() if isinstance(one, Cutting)}
    return {name: f"{limit.most:g} {limit.unit}" for name, limit in limits.items() if limit is not None}


def said_of_cuts(read: Mapping[str, str]) -> str:
    """A sentence on it, with a space after it; nothing where nothing is cut."""
    parts = ", ".join(f"{most} of {name}" for name, most in read.items())
    return f"At most {parts} are read: what lies behind is cut, and the answer does not say so. " if parts else ""


def task_facts(task: Any) -> dict[str, Any]:
    """Kind and, where it has any, classes of a task."""
    classes = getattr(task, "classes", None)
    if not isinstance(classes, (list, tuple)) or not all(isinstance(name, str) for name in classes):
        return {"kind": task.kind}
    more = [f"… {len(classes) - MOST_CLASSES} more"] if len(classes) > MOST_CLASSES else []
    return {"kind": task.kind, "classes": [*classes[:MOST_CLASSES], *more]}


def series_example(reading: SeriesReading, statistics: Mapping[str, Mapping[str, float]]) -> dict[str, list[float]]:
    """Two rows of the means of train's channels, half a second apart where they have times."""
    times = {} if reading.rows_per_second and reading.time is None else {reading.time or "time": [0.0, 0.5]}
    return times | {name: 2 * [round(known["mean"], 3)] for name, known in statistics.items()}


def record_example(columns: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A record of the means and the first words of train's columns."""
    return {
        name: round(known["mean"], 3) if "mean" in known else next(iter(known["categories"]), None)
        for name, known in columns.items()
    }


def answer_schema(facts: dict[str, Any]) -> dict[str, Any]:
    """Of one task's answer."""
    shares = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1}}
    prediction = {
        "classification": {"type": ["string", "null"]},
        "multilabel": {"type": "array", "items": {"type": "string"}},
        "regression": {"type": "number"},
    }.get(facts["kind"], {})
    has_shares = facts["kind"] in ("classification", "multilabel")
    properties = {"prediction": prediction} | ({"probabilities": shares} if has_shares else {})
    return {"type": "object", "properties": properties}
