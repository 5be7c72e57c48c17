"""The public application: users' REST, the plugins' routes, and a guard in front of both."""

from __future__ import annotations

import re

from quart import Quart
from werkzeug.routing import BaseConverter

from mosaic_gateway.http.base import base_app, mounts_of, register
from mosaic_gateway.http.guard import guard
from mosaic_gateway.http.openapi import document
from mosaic_gateway.http.rest import rest
from mosaic_gateway.http.services import PublicServices
from mosaic_gateway.http.sources import search_routes
from mosaic_gateway.http.system import account_routes, anonymous_routes
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import Mount


def public_app(services: PublicServices) -> Quart:
    """Make the application of the listener ``public``.

    Raises :class:`ConfigError` if a resource has the name of another route under ``/v1``.
    """
    app = base_app(max_body_bytes=services.max_body_bytes)
    anonymous: set[str] = set()
    app.before_request(
        guard(services.identities, services.limiter, anonymous)
    )  # first: before any hook of a plugin
    own = Mount("public", anonymous_routes(services, document(services)), anonymous=True)
    ours = (own, Mount("public", account_routes(services)), Mount("public", search_routes(services)))
    for mount in (*ours, *mounts_of("public", services.mounts)):
        endpoints = register(app, mount)
        if mount.anonymous:
            anonymous |= endpoints
    _add_resources(app, services)
    return app


def _add_resources(app: Quart, services: PublicServices) -> None:
    """Add the generic routes beside, never in front of, those already there."""
    taken = {rule.rule.split("/")[2] for rule in app.url_map.iter_rules() if rule.rule.startswith("/v1/")}
    for name in services.rows.names():
        if name in taken:
            raise ConfigError(
                f"resource {name!r}: the path /v1/{name} is already a route of its own",
                remedy="give the resource or the route another name",
            )
    app.url_map.converters |= {"resource": _other_than(taken), "row": _other_than({"search"})}
    register(app, Mount("public", rest(services)))


def _other_than(names: set[str]) -> type[BaseConverter]:
    """Return a converter for any one segment but these, so that a wrong method on theirs stays a 405."""
    either = "|".join(re.escape(name) for name in sorted(names))

    class OtherThan(BaseConverter):
        regex = rf"(?!(?:{either})\Z)[^/]+"
        part_isolating = True

    return OtherThan
