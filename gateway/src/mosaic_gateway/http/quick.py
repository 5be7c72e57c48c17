"""The most frequent requests of a listener, answered ahead of Quart, which costs more than all the rest of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from mosaic_gateway.http import problems
from mosaic_gateway.http.base import FINISHING, request_id_of
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
        answering = _asked(scope, quick)
        if answering is None:
            await app(scope, receive, send)
        else:
            await answering(send)

    return application


def _asked(scope: Any, quick: Iterable[Quick]) -> Callable[[Send], Awaitable[None]] | None:
    """What answers the request, if one of the quick ones takes it."""
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
            return _Answering(work, request.request_id, scope["state"])
    return None


class _Answering:
    def __init__(self, work: Awaitable[Answer], request_id: str, state: dict[str, Any]) -> None:
        self._work = work
        self._state = state
        self._request_id = request_id

    async def __call__(self, send: Send) -> None:
        try:
            answer = await self._work
        except Exception as error:  # as Quart does
            found = problems.of_error(error, self._request_id, "a quick answer")
            self._state["problem"] = found.code  # for who counts
            await self._send(send, found.status, found.body, [_PROBLEM, *_encoded(found.headers.items())])
        else:
            await self._send(send, 200, answer.body, [_JSON, *_encoded(answer.headers.items())])

    async def _send(self, send: Send, status: int, body: bytes, headers: Headers) -> None:
        headers.append((b"content-length", b"%d" % len(body)))
        headers.append((b"x-request-id", self._request_id.encode("ascii")))
        headers.append((b"traceresponse", current_trace().header.encode("ascii")))
        headers += _FINISHING
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _encoded(headers: Iterable[tuple[str, str]]) -> Headers:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
