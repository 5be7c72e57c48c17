"""The most frequent requests of a listener, answered ahead of Quart, which costs more than all the rest of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from mosaic_gateway.http import problems
from mosaic_gateway.http.base import FINISHING, request_id_of
from mosaic_gateway.whole import WHOLE
from mosaic_hookspecs.tracing import begin, current_trace
from mosaic_hookspecs.types import Answer, Mount, Quick, QuickRequest

_FINISHING = [(name.lower().encode(), value.encode()) for name, value in FINISHING.items()]
_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", problems.CONTENT_TYPE.encode())
_WITH_BODY = {b"content-length", b"transfer-encoding"}

Headers = list[tuple[bytes, bytes]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def quick_first(app: Any, mounts: Iterable[Mount]) -> Any:
    """Return the ASGI application that asks the quick ones of ``mounts``, and then ``app``."""
    quick = [mount.quick for mount in mounts if mount.quick is not None]
    if not quick:
        return app

    async def application(scope: Any, receive: Any, send: Send) -> None:
        asked = _asked(scope, quick)
        if asked is None:
            await app(scope, receive, send)
        else:
            await _answer(*asked, scope, send)

    return application


def _asked(scope: Any, quick: Iterable[Quick]) -> tuple[Awaitable[Answer], str] | None:
    """What answers the request, and its id, if one of the quick ones takes it."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    sent = parent = b""
    for name, value in scope["headers"]:
        if name in _WITH_BODY:
            return None
        if name == b"x-request-id" and not sent:
            sent = value
        if name == b"traceparent" and not parent:
            parent = value
    request = QuickRequest(
        path=scope["path"],
        query=scope["query_string"],
        request_id=request_id_of(sent.decode("latin-1")),
        client=scope["client"],
        certificate=scope["state"].get("client_certificate"),
    )
    for each in quick:
        if (work := each(request)) is not None:
            begin(parent.decode("latin-1"))
            return work, request.request_id
    return None


async def _answer(work: Awaitable[Answer], request_id: str, scope: Any, send: Send) -> None:
    try:
        answer = await work
    except Exception as error:  # as Quart does
        found = problems.of_error(error, request_id, "a quick answer")
        scope["state"]["problem"] = found.code  # for who counts
        status, body, headers = found.status, found.body, [_PROBLEM, *_encoded(found.headers.items())]
    else:
        status, body, headers = 200, answer.body, [_JSON, *_encoded(answer.headers.items())]
    headers.append((b"content-length", b"%d" % len(body)))
    headers.append((b"x-request-id", request_id.encode("ascii")))
    headers.append((b"traceresponse", current_trace().header.encode("ascii")))
    headers += _FINISHING
    if WHOLE in scope.get("extensions", ()):
        await send({"type": WHOLE, "status": status, "headers": headers, "body": body})
    else:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _encoded(headers: Iterable[tuple[str, str]]) -> Headers:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
