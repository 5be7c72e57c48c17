"""What a peer may ask, each way past the gate: the same for the listener's routes and for its quick answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from mosaic_federation.announced import scope_for_peer, words_for_peer
from mosaic_federation.asked import name_on_record
from mosaic_federation.budget import within_budget
from mosaic_federation.capabilities import PROTOCOL, capabilities_of, this_release
from mosaic_federation.gate import Admitted, Asked, Gate
from mosaic_federation.mutual.answering import Mutual
from mosaic_federation.renewal import Renewal
from mosaic_federation.settings import Settings
from mosaic_hookspecs.errors import Malformed, NotFound
from mosaic_hookspecs.limits import client_of
from mosaic_hookspecs.protocols import Host
from mosaic_hookspecs.types import Answer, GrantView, PeerVerb

Work = Callable[[Admitted], Awaitable[Answer]]


class Asker(NamedTuple):
    """Who asks, as far as the connection and the request tell."""

    certificate: bytes | None
    client: Sequence[Any] | None  # address and port
    request_id: str


class Peers:
    """Answers peers. ``query`` is a query string as it came; all raise what the gate and the rows raise."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._gate = Gate(host)
        self._renewal = Renewal(host)
        self._mutual = Mutual(host)

    async def whoami(self, asker: Asker, query: bytes) -> Answer:
        """What its certificate and its grant say."""
        return await self._through(asker, "whoami", "", query, self._whoami)

    async def capabilities(self, asker: Asker, query: bytes) -> Answer:
        """What this release can do, with its grant."""
        return await self._through(asker, "capabilities", "", query, self._capabilities)

    async def renew(self, asker: Asker, query: bytes, body: Callable[[], Awaitable[bytes]]) -> Answer:
        """A new certificate for the one it shows. ``body`` is read once it is admitted."""
        return await self._through(asker, "renew", "", query, partial(self._renewal.renew, body))

    async def audit_head(self, asker: Asker, query: bytes) -> Answer:
        """The latest checkpoint of our log."""
        return await self._through(asker, "audit", "", query, partial(self._mutual.head, query))

    async def audit_hear(self, asker: Asker, query: bytes, body: Callable[[], Awaitable[bytes]]) -> Answer:
        """The latest checkpoint of its own, told."""
        return await self._through(asker, "audit", "", query, partial(self._mutual.hear, body))

    async def audit_rows(self, asker: Asker, query: bytes) -> Answer:
        """What is on record of its grant."""
        return await self._through(asker, "audit", "", query, partial(self._mutual.rows, query))

    async def list(self, asker: Asker, query: bytes, resource: str) -> Answer:
        """One page of rows."""
        return await self._through(asker, "list", resource, query, partial(self._list, resource, query))

    async def search(self, asker: Asker, query: bytes, resource: str) -> Answer:
        """The best matches."""
        return await self._through(asker, "search", resource, query, partial(self._search, resource, query))

    async def get(self, asker: Asker, _query: bytes, resource: str, row_id: str) -> Answer:
        """One row."""
        asked = row_id.encode("utf-8", "replace")
        return await self._through(asker, "get", resource, asked, partial(self._get, resource, row_id))

    async def other(self, asker: Asker, query: bytes) -> Answer:
        """What is no route, or no method of one. Raises :class:`NotFound` at best."""
        return await self._through(asker, "other", "", query, _nothing)

    async def _through(self, asker: Asker, verb: PeerVerb, resource: str, query: bytes, work: Work) -> Answer:
        asked = Asked(verb, name_on_record(resource), query, asker.request_id, client_of(asker.client))
        return await self._gate.answer(asker.certificate, asked, work)

    async def _whoami(self, admitted: Admitted) -> Answer:
        host, claims, view = self._host, admitted.claims, admitted.view
        ends = admitted.expires_at
        body = {
            "gateway": host.gateway_name,
            "peer": admitted.peer,
            "grant_id": str(view.grant_id),
            "subject": {"id": str(view.subject_id), "username": admitted.subject},
            "scope": scope_for_peer(view.scope),
            "scope_in_words": words_for_peer(view.scope, await host.identity.teams_of(view.subject_id)),
            "grant_expires_at": ends.isoformat() if ends else None,
            "certificate": {"serial": claims.serial, "not_after": claims.not_after.isoformat()},
            "oid_arc": host.settings(Settings).oid_arc,
            "release": this_release(),
            "protocol": PROTOCOL.model_dump(),
            "time": datetime.now(UTC).isoformat(),
        }
        return Answer(json.dumps(body, ensure_ascii=False).encode(), rows=0)

    async def _capabilities(self, admitted: Admitted) -> Answer:
        return Answer(capabilities_of(self._host.rows, admitted.view).model_dump_json().encode(), rows=0)

    async def _list(self, resource: str, query: bytes, admitted: Admitted) -> Answer:
        params, rows = params_of(query), self._host.rows
        return await self._within_budget(admitted, lambda view: rows.list(view, resource, params))

    async def _search(self, resource: str, query: bytes, admitted: Admitted) -> Answer:
        params, rows = params_of(query), self._host.rows
        return await self._within_budget(admitted, lambda view: rows.search(view, resource, params))

    async def _get(self, resource: str, row_id: str, admitted: Admitted) -> Answer:
        rows = self._host.rows
        return await self._within_budget(admitted, lambda view: rows.get(view, resource, row_id))

    async def _within_budget(
        self, admitted: Admitted, read: Callable[[GrantView], Awaitable[Answer]]
    ) -> Answer:
        return await within_budget(self._host.database, admitted.view, read)


def params_of(query: bytes) -> dict[str, str]:
    """Query parameters. Raises :class:`Malformed` for one given twice."""
    given = parse_qsl(query.decode("ascii"), keep_blank_values=True)
    params = dict(given)
    if len(params) < len(given):
        [(twice, _)] = Counter(name for name, _ in given).most_common(1)
        raise Malformed(f"query parameter {twice!r} is given more than once", remedy="give it once")
    return params


async def _nothing(_: Admitted) -> Answer:
    raise NotFound("peers can ask for nothing here", remedy="GET /federation/v1/whoami says what there is")
