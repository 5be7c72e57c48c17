"""What a gateway meets in a soak: peers over HTTP/1.1 and HTTP/2, users, strangers, peers that come and are revoked."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import httpx

from mosaic_federation.keys import client_context, key_pem, new_key, signing_request

_CLIENTS = 8
_EACH_SECOND = 110  # questions of all peers: the limit is 100
_REVOKE = 5.0  # seconds between two revocations
_ABSENT = "tasks/00000000-0000-7000-8000-000000000000"
_OF_PEERS = (
    *("tasks?limit=50", "tasks?limit=5&sort=title", "tasks/search?q=task", "tasks/search?q=7", "whoami"),
    *("capabilities", _ABSENT, "wikis", "tasks?limit=x", "nothing/here/x"),
)
_OF_USERS = (
    *(
        "tasks?limit=50",
        "search?q=task&sources=local,peer:*",
        "tasks?sources=local,peer:*",
        "tasks/search?q=7",
    ),
    *("peers/alive/tasks", "peers/dead/tasks", _ABSENT, "tasks?limit=x", "search?q=task&sources=peer:absent"),
)
_NO_CONNECTION = 0  # on a busy machine, who comes anew beside the strangers may be turned away
EXPECTED = {_NO_CONNECTION, 200, 400, 401, 403, 404, 429, 503}


@dataclass
class Seen:
    """What came back, by status, and mebibytes by second."""

    statuses: dict[int, int] = field(default_factory=dict)
    samples: list[tuple[float, float]] = field(default_factory=list)

    def took(self, status: int) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1


@dataclass(frozen=True)
class Site:
    """A gateway, and how it is asked."""

    public: int
    peers: int
    token: str
    pid: int
    config: Path


async def ask_for(site: Site, end: float, seen: Seen) -> None:
    """Ask until ``end``, by the monotonic clock."""
    (_, tls), (_, of_h2) = _enrolled(site), _enrolled(site)
    async with asyncio.TaskGroup() as tasks:
        for number in range(_CLIENTS):
            tasks.create_task(_peer(site, tls, number, end, seen))
        tasks.create_task(_peer_over_h2(site, of_h2, end, seen))
        tasks.create_task(_user(site, end, seen))
        tasks.create_task(_strangers(site, end))
        tasks.create_task(_revocations(site, end, seen))


async def _peer(site: Site, tls: ssl.SSLContext, number: int, end: float, seen: Seen) -> None:
    """Ask a hundred times, at the pace of the limit and a little above it, then come again."""
    while time.monotonic() < end:
        async with _client(site, tls) as client:
            for turn in range(100):
                due = time.monotonic() + _CLIENTS / _EACH_SECOND
                if due > end:
                    return
                await _get(client, _OF_PEERS[(turn + number) % len(_OF_PEERS)], seen)
                await asyncio.sleep(due - time.monotonic())


async def _get(client: aiohttp.ClientSession, path: str, seen: Seen) -> None:
    try:
        async with client.get(f"/federation/v1/{path}") as answer:
            await answer.read()
            seen.took(answer.status)
    except aiohttp.ClientConnectionError:
        seen.took(_NO_CONNECTION)


@asynccontextmanager
async def _client(site: Site, tls: ssl.SSLContext) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=tls, limit=1)
    async with aiohttp.ClientSession(f"https://127.0.0.1:{site.peers}", connector=connector) as client:
        yield client


async def _peer_over_h2(site: Site, tls: ssl.SSLContext, end: float, seen: Seen) -> None:
    """Ten streams at once, and a new connection after ten times that."""
    while time.monotonic() < end:
        async with httpx.AsyncClient(verify=tls, http1=False, http2=True, timeout=30) as client:
            for _ in range(10):
                asked = [
                    client.get(f"https://127.0.0.1:{site.peers}/federation/v1/{path}") for path in _OF_PEERS
                ]
                for answer in await asyncio.gather(*asked, return_exceptions=True):
                    if isinstance(answer, BaseException) and not isinstance(answer, httpx.TransportError):
                        raise answer
                    seen.took(answer.status_code if isinstance(answer, httpx.Response) else _NO_CONNECTION)
                await asyncio.sleep(1)


async def _user(site: Site, end: float, seen: Seen) -> None:
    """Reads here and at peers; every tenth request has no token."""
    asked = count()
    while time.monotonic() < end:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.public}/v1/", timeout=30) as client:
            for path in _OF_USERS:
                known = {"Authorization": f"Bearer {site.token}"} if next(asked) % 10 else {}
                seen.took((await client.get(path, headers=known)).status_code)
                await asyncio.sleep(0.05)


async def _strangers(site: Site, end: float) -> None:
    """Who is no peer: garbage, half a word, a handshake without a certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for number in count():
        if time.monotonic() > end:
            return
        with suppress(OSError):
            _, writer = await asyncio.open_connection(
                "127.0.0.1", site.peers, ssl=context if number % 3 == 0 else None
            )
            writer.write(os.urandom(number % 2000))
            await asyncio.sleep(0.1)
            writer.transport.abort()


async def _revocations(site: Site, end: float, seen: Seen) -> None:
    """A peer enrolls, reads, and is revoked while its connection is open."""
    while time.monotonic() < end - _REVOKE:
        grant_id, tls = await asyncio.to_thread(_enrolled, site)
        async with _client(site, tls) as client:
            await _get(client, "tasks", seen)
            await asyncio.to_thread(_admin, site, f"grants/{grant_id}/revoke", {})
            await _get(client, "tasks", seen)
        await asyncio.sleep(_REVOKE)


def _enrolled(site: Site) -> tuple[str, ssl.SSLContext]:
    scope = {"resources": ["tasks"], "include_personal": True}
    offer, key = _admin(site, "grants", {"subject": "admin", "peer": "brief", "scope": scope}), new_key()
    issued = _post(offer["url"].partition("#")[0], {"csr": signing_request(key).decode(), "name": "brief"})
    parts = {"ca": issued["ca"].encode(), "chain": issued["chain"].encode(), "key": key_pem(key)}
    return offer["id"], client_context(**parts)


def _admin(site: Site, path: str, body: Any) -> Any:
    url = f"http://127.0.0.1:{site.public}/v1/admin/{path}"
    return _post(url, body, Authorization=f"Bearer {site.token}")


def _post(url: str, body: Any, **headers: str) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"} | headers
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())
