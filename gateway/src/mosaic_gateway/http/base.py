"""What every listener's application has: request ids, problems, limits, and nothing it does not need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from secrets import token_hex

from quart import Quart, Response, g, request
from quart.sessions import NullSession, SessionInterface

from mosaic_gateway.http import problems
from mosaic_gateway.http.connection import UNREADABLE, HTTPConnection, NoWebsocket
from mosaic_hookspecs.errors import ConfigError, Malformed
from mosaic_hookspecs.tracing import begin, current_trace
from mosaic_hookspecs.types import Mount

#: Headers that every answer has, unless it has another value for them.
FINISHING = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _NoSession(SessionInterface):
    async def open_session(self, *_: object) -> NullSession:
        return NullSession()


def base_app(*, max_body_bytes: int) -> Quart:
    """Make an application without routes. A body over ``max_body_bytes`` is refused with 413."""
    app = Quart(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False  # one path, one resource: no redirects
    app.session_interface = _NoSession()  # type: ignore[assignment]  # typed as the cookie one
    app.asgi_http_class = HTTPConnection
    app.asgi_websocket_class = NoWebsocket
    app.before_request(_take_request_id)
    app.before_request(_refuse_unreadable)
    app.after_request(_finish)
    problems.install(app)
    return app


def listener_app(name: str, mounts: Sequence[Mount], *, max_body_bytes: int) -> Quart:
    """Make the application of a further listener: its mounts, and no route of the public one.

    It knows no users: each blueprint guards itself.
    """
    app = base_app(max_body_bytes=max_body_bytes)
    for mount in mounts_of(name, mounts):
        register(app, mount)
    return app


def mounts_of(listener: str, mounts: Iterable[Mount]) -> list[Mount]:
    """Keep the mounts of one listener, so that no route leaks from one to another."""
    return [mount for mount in mounts if mount.listener == listener]


def register(app: Quart, mount: Mount) -> set[str]:
    """Add a mount and return the endpoints it brought. Raises :class:`ConfigError` if its name is taken."""
    name = mount.blueprint.name
    if name in app.blueprints:
        raise ConfigError(f"two blueprints on listener {mount.listener!r} are called {name!r}")
    before = set(app.view_functions)
    app.register_blueprint(mount.blueprint)
    return set(app.view_functions) - before


def request_id_of(sent: str) -> str:
    """The id that the client gave its request, if it is fit to be one, else a new one."""
    return sent if _REQUEST_ID.fullmatch(sent) else token_hex(16)


async def _take_request_id() -> None:
    g.request_id = request_id_of(request.headers.get("X-Request-ID", ""))
    begin(request.headers.get("traceparent", ""))


async def _refuse_unreadable() -> None:
    if request.scope["path"] == UNREADABLE:
        raise Malformed("The request target or a header is not valid.", remedy="send a URL as in RFC 3986")


async def _finish(response: Response) -> Response:
    response.headers.add("X-Request-ID", g.request_id)
    response.headers.add("traceresponse", current_trace().header)
    for name, value in FINISHING.items():
        response.headers.setdefault(name, value)
    return response
