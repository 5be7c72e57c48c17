"""Errors as RFC 9457 problem details: one form for everything that can go wrong."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, cast

import asyncpg
from quart import Quart, Response, g, request
from werkzeug.exceptions import HTTPException

from mosaic_hookspecs.errors import (
    Fault,
    Forbidden,
    Malformed,
    MosaicError,
    NotFound,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from mosaic_hookspecs.tracing import trace_id
from mosaic_hookspecs.types import Rate

log = logging.getLogger("mosaic.http")

CONTENT_TYPE = "application/problem+json"

_KNOWN = {error.status: error for error in (Malformed, Unauthenticated, Forbidden, NotFound, TooLarge)}
REMEDIES = {
    404: "check the path; on the public listener GET /openapi.json lists every one",
    405: "use one of the methods in the Allow header",
    413: "send less in one request",
    415: "send the body as application/json",
}
_UNREACHABLE = (
    OSError,  # and with it TimeoutError
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,  # the server is starting, stopping or cancelled the query
    asyncpg.InsufficientResourcesError,  # out of connections, memory or disk
)


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that says what went wrong."""

    status: int
    code: str
    headers: Mapping[str, str]  # beside the content type
    body: bytes


def problem(
    request_id: str,
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    remedy: str = "",
    faults: Iterable[Fault] = (),
    headers: Mapping[str, str] | None = None,
) -> Problem:
    """Build the answer; ``code`` is stable and names the kind of problem, ``detail`` this occurrence.

    ``instance`` is the request, not its path: a path may hold a token.
    """
    body = {
        "type": f"urn:mosaic:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": f"urn:request:{request_id}",
        "remedy": remedy,
        "request_id": request_id,
        "trace_id": trace_id(),
        "errors": [_place(fault) for fault in faults],
    }
    text = json.dumps(body, ensure_ascii=False).encode(errors="replace")
    return Problem(status, code, headers or {}, text)


def _place(fault: Fault) -> dict[str, str]:
    """``pointer`` for a JSON pointer (RFC 6901), ``where`` for any other place."""
    return {"pointer" if fault.where.startswith("/") else "where": fault.where, "detail": fault.message}


def install(app: Quart) -> None:
    """Answer every error of ``app`` as a problem."""
    app.register_error_handler(HTTPException, _routing)
    app.register_error_handler(Exception, _other)


def of_error(error: Exception, request_id: str, what: str) -> Problem:
    """The problem that any error but one of routing is. ``what`` was asked is for the log: no path, no token."""
    if isinstance(error, MosaicError):
        return _expected(error, request_id)
    # DataError is an InterfaceError too, and means a bug of ours rather than a lost database
    if isinstance(error, _UNREACHABLE) and not isinstance(error, asyncpg.DataError | ValueError):
        log.warning("request %s: %s: %s", request_id, type(error).__name__, error)
        remedy = "try again; if it lasts, ask the operator"
        return _expected(Unavailable("The database does not answer.", remedy=remedy), request_id)
    log.error("request %s: %s failed", request_id, what, exc_info=error)
    return problem(
        request_id,
        MosaicError.status,
        MosaicError.code,
        MosaicError.title,
        "The gateway failed to answer; what happened is in its log.",
        remedy="give the request id to the operator",
    )


def _expected(error: MosaicError, request_id: str) -> Problem:
    headers = dict(error.headers)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Unavailable | TooMany):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, TooMany) and error.rate is not None:
        headers |= _limit_headers(error.rate, error.retry_after)
    if error.status >= MosaicError.status:
        log.warning("request %s: %s: %s", request_id, error.code, error.detail)
    return problem(
        request_id,
        error.status,
        error.code,
        error.title,
        error.detail,
        remedy=error.remedy,
        faults=error.faults,
        headers=headers,
    )


def _limit_headers(rate: Rate, wait: int) -> dict[str, str]:
    """The fields of draft-ietf-httpapi-ratelimit-headers, for a refusal; ``wait`` in seconds."""
    policy = f'"{rate.name}";q={rate.limit};w={ceil(rate.period)}'
    return {"RateLimit-Policy": policy, "RateLimit": f'"{rate.name}";r=0;t={wait}'}


async def _routing(error: HTTPException) -> Response:
    status = error.code or 500
    known = _KNOWN.get(status)
    return _response(
        problem(
            g.request_id,
            status,
            known.code if known else re.sub(r"[^a-z]+", "-", error.name.lower()),
            known.title if known else error.name,
            error.description or error.name,
            remedy=REMEDIES.get(status, ""),
            headers={name: value for name, value in error.get_headers() if name != "Content-Type"},
        )
    )


async def _other(error: Exception) -> Response:
    return _response(of_error(error, g.request_id, f"{request.method} {request.url_rule}"))


def _response(found: Problem) -> Response:
    cast(dict[str, Any], request.scope).setdefault("state", {})["problem"] = found.code  # for who counts
    return Response(found.body, found.status, headers=dict(found.headers), content_type=CONTENT_TYPE)
