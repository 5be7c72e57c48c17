"""The mTLS link: asks a peer, over connections that are kept open."""

from __future__ import annotations

import re
import ssl
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from uuid import UUID

import aiohttp
from yarl import URL

from mosaic_federation.answers import read_answer
from mosaic_federation.keys import client_context
from mosaic_federation.peers import Peer, Peers
from mosaic_federation.tls_errors import explain
from mosaic_hookspecs.errors import Forbidden, NotFound, Unavailable
from mosaic_hookspecs.protocols import Host

Params = Iterable[tuple[str, str]]

_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5, sock_connect=3)  # seconds
_CONNECTIONS = 32  # to one peer
_KEEP_ALIVE = 75  # seconds
_LARGEST_ANSWER = 64 * 1024 * 1024  # bytes
_STEP = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Links:
    """One client for each peer, made when it is first asked."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._clients: dict[tuple[UUID, str], aiohttp.ClientSession] = {}

    async def get(self, peer: Peer, *steps: str, params: Params = (), request_id: str = "") -> bytes:
        """Ask ``peer`` for ``/federation/v1/<steps>`` and return the bytes of its answer.

        Raises the error its refusal names, :class:`NotFound` for a step that no gateway can have, and
        :class:`Unavailable`, naming the peer, cause and remedy, if it cannot be reached within 15 s.
        """
        if not all(_STEP.fullmatch(step) for step in steps):
            raise NotFound(f"peer {peer.name!r} can have no such resource or row")
        if peer.not_after <= datetime.now(UTC):
            raise Unavailable(
                f"our certificate for peer {peer.name!r} has expired",
                remedy=f"ask its admin for a new URL (`mosaic federation grant reissue {peer.grant_id}`) and add it",
            )
        url = URL(peer.url).joinpath("federation", "v1", *steps)
        headers = {"X-Request-ID": request_id} if request_id else {}
        who = f"peer {peer.name!r}"
        try:
            async with self._client(peer).get(
                url, params=list(params), headers=headers, allow_redirects=False
            ) as response:
                body = await read_answer(response, who, _LARGEST_ANSWER)
        except Forbidden as refusal:
            if peer.refusal != refusal.detail:
                await Peers(self._host.database).refused(peer, refusal.detail)
            raise
        # OSError: TimeoutError and ssl.SSLError are ones; UnicodeError: a host that DNS cannot hold
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            cause, remedy = explain(error)
            raise Unavailable(f"{who} at {URL(peer.url).raw_authority}: {cause}", remedy=remedy) from error
        if peer.refusal:
            await Peers(self._host.database).answers(peer)
        return body

    async def keep_only(self, peers: Collection[UUID]) -> None:
        """Close the connections to every other peer, and forget the keys they were made with."""
        for key in [key for key in self._clients if key[0] not in peers]:
            await self._clients.pop(key).close()

    async def close(self) -> None:
        """Close every connection."""
        await self.keep_only(())

    def _client(self, peer: Peer) -> aiohttp.ClientSession:
        key = (peer.id, peer.serial)
        if key not in self._clients:
            connector = aiohttp.TCPConnector(
                ssl=self.context(peer), limit=_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE
            )
            self._clients[key] = aiohttp.ClientSession(
                connector=connector, timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._clients[key]

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
