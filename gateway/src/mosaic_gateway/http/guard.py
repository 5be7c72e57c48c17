"""Bearer tokens (RFC 6750): no public route is reached without one, unless it was named anonymous."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from quart import g, request

from mosaic_hookspecs.errors import Unauthenticated, Unavailable
from mosaic_hookspecs.limits import refuse_over
from mosaic_hookspecs.protocols import Limiter
from mosaic_hookspecs.types import Rate

if TYPE_CHECKING:
    from mosaic_gateway.identity import Identities

#: Refused tokens of one address. Good ones are never counted: a neighbour's mistakes lock no one out.
FAILURES = Rate("authentication", limit=20, period=60)
_BEARER = re.compile(r"Bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)


def guard(
    identities: Identities, limiter: Limiter, anonymous: Collection[str]
) -> Callable[[], Awaitable[None]]:
    """Return a ``before_request`` function that sets ``g.viewer`` or raises :class:`Unauthenticated`.

    After too many of those it raises :class:`TooMany`, until there is room again.

    ``anonymous`` are endpoints, compared whole. A path without a route needs no token: its 404 or 405 says
    nothing that the OpenAPI document does not.
    """

    async def check() -> None:
        if request.url_rule is not None and request.endpoint not in anonymous:
            try:
                g.viewer = await identities.authenticate(_token())
            except Unauthenticated:
                await _count_failure(limiter)
                raise

    return check


async def _count_failure(limiter: Limiter) -> None:
    with suppress(Unavailable):  # the answer is a refusal either way
        await refuse_over(
            limiter, FAILURES, request.scope.get("client"), "Too many refused API tokens from your address."
        )


def _token() -> str:
    remedy = "send the header Authorization: Bearer <token>; `mosaic token create` makes a token"
    sent = request.headers.getlist("Authorization")
    if not sent:
        raise Unauthenticated("The request has no API token.", remedy=remedy)
    match = _BEARER.fullmatch(sent[0])
    if match is None or len(sent) > 1:
        raise Unauthenticated("The Authorization header is not one Bearer token.", remedy=remedy)
    return match[1]
