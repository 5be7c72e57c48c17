"""The mTLS link: asks a peer, over connections that are kept open."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
from yarl import URL

from mosaic_federation.answers import Unreachable, aside, take_answer
from mosaic_federation.asked import NO_ANSWER, OF_NO_RESOURCE, UNREADABLE, Asking
from mosaic_federation.keys import client_context
from mosaic_federation.peers import Peer, Peers, check_steps
from mosaic_federation.reading.flights import Flights
from mosaic_federation.tls_errors import explain, nobody_answers
from mosaic_hookspecs.errors import Forbidden, Gone, Unavailable
from mosaic_hookspecs.protocols import Host

Params = Iterable[tuple[str, str]]
RowsIn = Callable[[bytes], int]

_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5, sock_connect=3)  # seconds
_CONNECTIONS = 32  # to one peer
_KEEP_ALIVE = 75  # seconds
# Bytes of an answer. To take it apart holds everybody up, so each question has a limit of its own.
_LARGEST_WORD = 256 * 1024  # whoami, capabilities, a renewal, checkpoints
_LARGEST_AUDIT_PAGE = 1024 * 1024  # of rows of some 500 bytes
_LARGEST_ROWS = 20 * 1024 * 1024  # a gateway ends its page at 16 MB, and a row has hardly more
# What the gate says of the whole grant; a policy's "no" has a code of its own, and is to one question.
_SHUT_OUT = {Forbidden.code, Gone.code}


def _none(_: bytes) -> int:
    return 0


class Links:
    """One client for each peer, made when it is first asked."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._clients: dict[tuple[UUID, str], aiohttp.ClientSession] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self.flights = Flights()

    async def get(
        self,
        peer: Peer,
        *steps: str,
        params: Params = (),
        request_id: str = "",
        rows_in: RowsIn = _none,
    ) -> bytes:
        """Ask ``peer`` for ``/federation/v1/<steps>`` and return the bytes of its answer.

        What becomes of it is put on the peer's record, and in the audit log, before it is returned. ``rows_in`` counts
        its rows, and raises :class:`Unavailable` if it is not what was asked for. A kept connection that turns out to
        be closed is no failure: aiohttp asks once more, on a new one.

        Raises the error its refusal names, :class:`NotFound` for a step that no gateway can have, and
        :class:`Unavailable`, naming the peer, cause and remedy, if it cannot be reached within 15 s:
        :class:`Unreachable` if nobody answers there. Also if our own audit log cannot be written.
        """
        url = _url(peer, steps).with_query(list(params))
        asking = Asking(self._host, peer, steps, url.raw_query_string, request_id)
        asked = self._client(peer).get(url, headers=asking.headers, allow_redirects=False)
        return await self._answered(peer, asking, asked, _largest(steps), rows_in)

    async def post(self, peer: Peer, *steps: str, body: Mapping[str, Any], request_id: str = "") -> bytes:
        """The same with a body, as JSON, over a connection of its own: aiohttp does not ask this twice."""
        url = _url(peer, steps)
        asking = Asking(self._host, peer, steps, "", request_id)
        async with self._new_client(peer) as client:
            asked = client.post(url, json=body, headers=asking.headers, allow_redirects=False)
            return await self._answered(peer, asking, asked, _largest(steps), _none)

    async def _answered(
        self,
        peer: Peer,
        asking: Asking,
        asked: AbstractAsyncContextManager[aiohttp.ClientResponse],
        largest: int,
        rows_in: RowsIn,
    ) -> bytes:
        who = f"peer {peer.name!r}"
        peers = Peers(self._host.database)
        try:
            async with asked as response:
                came = await take_answer(response, who, largest)
        except Unavailable:
            await asking.record(UNREADABLE)
            raise
        # OSError: TimeoutError and ssl.SSLError are ones; UnicodeError: a host that DNS cannot hold
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            cause, remedy = explain(error)
            await peers.failed(peer, cause)
            await asking.record(NO_ANSWER)
            kind = Unreachable if nobody_answers(error) else Unavailable
            raise kind(f"{who} at {URL(peer.url).raw_authority}: {cause}", remedy=remedy) from error
        if came.refusal:
            await asking.record(came.outcome)
            if came.refusal.code in _SHUT_OUT and came.outcome in _SHUT_OUT:
                await peers.refused(peer, came.refusal.detail)
            raise came.refusal
        try:
            rows = await aside(rows_in, came.body)
        except Unavailable:
            await asking.record(UNREADABLE, size=len(came.body))
            raise
        await asking.record(came.outcome, rows=rows, size=len(came.body))
        await peers.answers(peer)
        return came.body

    async def keep_only(self, peers: Collection[UUID]) -> None:
        """Close the connections to every other peer, and forget the keys they were made with."""
        self.flights.keep_only(peers)
        for key in [key for key in self._clients if key[0] not in peers]:
            await self._clients.pop(key).close()

    async def close(self) -> None:
        """Close every connection."""
        await self.flights.close()
        await self.keep_only(())
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)

    def _client(self, peer: Peer) -> aiohttp.ClientSession:
        key = (peer.id, peer.serial)
        if key not in self._clients:
            for old in [known for known in self._clients if known[0] == peer.id]:
                self._retire(self._clients.pop(old))
            self._clients[key] = self._new_client(peer)
        return self._clients[key]

    def _new_client(self, peer: Peer) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=self.context(peer), limit=_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE
        )
        return aiohttp.ClientSession(
            connector=connector, timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
        )

    def _retire(self, client: aiohttp.ClientSession) -> None:
        """Close what shows a certificate of before, once its questions are answered."""

        async def close() -> None:
            try:
                await asyncio.sleep(_TIMEOUT.total or 0)
            finally:
                await client.close()

        task = asyncio.create_task(close())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def context(self, peer: Peer) -> ssl.SSLContext:
        """What shows our certificate to ``peer``, and believes its pinned authority alone.

        Raises :class:`ConfigError` if the key cannot be opened, :class:`Unavailable` if OpenSSL takes none of it.
        """
        key = self._host.sealer.open(peer.sealed_key, place=peer.key_place)
        try:
            return client_context(ca=peer.ca, chain=peer.chain, key=key)
        except ssl.SSLError as error:
            raise Unavailable(
                f"the certificates of peer {peer.name!r} cannot be used: {error.reason}",
                remedy="its authority signs with keys that are too weak: ask its admin",
            ) from None


def _largest(steps: Sequence[str]) -> int:
    """Bytes of the answer to the question that has these steps, at most."""
    if steps[0] not in OF_NO_RESOURCE:
        return _LARGEST_ROWS
    return _LARGEST_AUDIT_PAGE if tuple(steps) == ("audit", "rows") else _LARGEST_WORD


def _url(peer: Peer, steps: Sequence[str]) -> URL:
    check_steps(peer, steps)
    if peer.not_after <= datetime.now(UTC):
        raise Unavailable(
            f"our certificate for peer {peer.name!r} has expired",
            remedy=f"ask its admin for a new URL (`mosaic federation grant reissue {peer.grant_id}`) and add it",
        )
    return URL(peer.url).joinpath("federation", "v1", *steps)
