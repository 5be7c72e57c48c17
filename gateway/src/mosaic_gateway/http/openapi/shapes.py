"""Shapes that every operation shares: answers, problems, headers, references."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from werkzeug.exceptions import UnsupportedMediaType

from mosaic_gateway.http.problems import CONTENT_TYPE
from mosaic_hookspecs.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    Malformed,
    MosaicError,
    NotFound,
    PreconditionFailed,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)

Json = dict[str, Any]

UUID_SCHEMA: Json = {"type": "string", "format": "uuid"}
TIME_SCHEMA: Json = {"type": "string", "format": "date-time"}
EXAMPLE_ID = "7f1d3c9e-6a4b-4e9c-9b53-0c2f8f2f7a10"
EXAMPLE_TIME = "2026-03-01T09:30:00+00:00"

_PROBLEMS: dict[int, tuple[str, str]] = {
    error.status: (error.code, error.title)
    for error in (
        MosaicError,
        Malformed,
        Unauthenticated,
        Forbidden,
        NotFound,
        Conflict,
        Gone,
        PreconditionFailed,
        TooLarge,
        Invalid,
        TooMany,
        Unavailable,
    )
} | {
    408: ("request-timeout", "Request Timeout"),
    UnsupportedMediaType.code: ("unsupported-media-type", "Unsupported Media Type"),
}

HEADERS: Json = {
    "RequestId": {
        "description": "Names this request in the log and in a problem.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "ETag": {
        "description": "The row's version, for If-Match and If-None-Match.",
        "required": True,
        "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
    },
    "Location": {
        "description": "Path of the new row.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "RetryAfter": {
        "description": "Seconds to wait before trying again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "Authenticate": {"description": "Bearer.", "required": True, "schema": {"type": "string"}},
}
_EXTRA_HEADERS = {
    401: {"WWW-Authenticate": "Authenticate"},
    429: {"Retry-After": "RetryAfter"},
    503: {"Retry-After": "RetryAfter"},
}

PROBLEM: Json = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "Stable; names the kind of problem."},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What went wrong this time."},
        "instance": {"type": "string", "format": "uri", "description": "The request, as a URN."},
        "remedy": {"type": "string", "description": "What to do; may be empty."},
        "request_id": {"type": "string"},
        "trace_id": {"type": "string", "description": "Of the W3C Trace Context that it is part of."},
        "errors": {
            "type": "array",
            "description": "Every wrong place in the input.",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "format": "json-pointer"},
                    "where": {"type": "string"},
                    "detail": {"type": "string"},
                },
                "required": ["detail"],
                "additionalProperties": False,
            },
        },
    },
    "required": [
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "remedy",
        "request_id",
        "trace_id",
        "errors",
    ],
    "additionalProperties": False,
}

#: Said by the server before the application sees the request, hence without a problem.
TOO_LONG: Json = {"description": "The path and its parameters are too long."}


def ref(kind: str, name: str) -> Json:
    """Point to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def closed_object(properties: Json, required: Iterable[str] | None = None) -> Json:
    """An object with exactly these properties; all are required unless said otherwise."""
    names = properties if required is None else required
    return {
        "type": "object",
        "properties": properties,
        "required": list(names),
        "additionalProperties": False,
    }


def answer(description: str, schema: Json | None = None, **headers: str) -> Json:
    """One response; ``headers`` are names of :data:`HEADERS`, by HTTP name with ``_`` for ``-``."""
    response: Json = {
        "description": description,
        "headers": {"X-Request-ID": ref("headers", "RequestId")}
        | {name.replace("_", "-"): ref("headers", header) for name, header in headers.items()},
    }
    if schema is not None:
        response["content"] = {"application/json": {"schema": schema}}
    return response


def problems(*statuses: int) -> Json:
    """References to the problem responses an operation may give, those every one may give included."""
    return {str(status): ref("responses", f"Problem{status}") for status in sorted({*statuses, 500, 503})}


def problem_responses() -> Json:
    """The components behind :func:`problems`."""
    return {f"Problem{status}": _problem_response(status) for status in _PROBLEMS}


def _problem_response(status: int) -> Json:
    code, title = _PROBLEMS[status]
    response = answer(f"{title}: `urn:mosaic:problem:{code}`")
    for name, header in _EXTRA_HEADERS.get(status, {}).items():
        response["headers"][name] = ref("headers", header)
    example = {
        "type": f"urn:mosaic:problem:{code}",
        "title": title,
        "status": status,
        "detail": "What was wrong, and where.",
        "instance": "urn:request:5b0c7c1f",
        "remedy": "What to do about it.",
        "request_id": "5b0c7c1f",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "errors": [],
    }
    response["content"] = {CONTENT_TYPE: {"schema": ref("schemas", "Problem"), "example": example}}
    return response
