"""Gateways that are stubs: an mTLS server each, that answers what a test says, and the peer's record at our side."""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding

from mosaic_embedded_ca.certificates import Root, make_client, make_root, make_server
from mosaic_federation.joins import Join, Joins
from mosaic_federation.keys import key_pem, new_key
from mosaic_federation.peers import Peer, Peers, Readers, key_place
from mosaic_federation.settings import DEFAULT_ARC

Json = dict[str, Any]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def pem(certificate: Any) -> bytes:
    return bytes(certificate.public_bytes(Encoding.PEM))


@dataclass
class StubPeer:
    """``rows`` are what it lists and finds, unless ``answer`` is set; ``asked`` counts what reached it."""

    name: str
    root: Root
    rows: list[Json] = field(default_factory=list)
    answer: Answer | None = None
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Listen; on the same port when it comes back."""
        app = web.Application()
        app.router.add_route("*", "/federation/v1/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(
            runner, "127.0.0.1", self.port, ssl_context=self._context(), reuse_port=True
        ).start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()

    async def enroll(self, host: Any, *, readers: Readers = "everyone", port: int | None = None) -> Peer:
        """Put it on our record."""
        peer_id, key, end = uuid4(), new_key(), datetime.now(UTC) + timedelta(days=1)
        grant, subject = uuid4(), uuid4()
        leaf = make_client(
            self.root,
            key.public_key(),
            grant_id=grant,
            subject_id=subject,
            oid_arc=DEFAULT_ARC,
            not_after=end,
        )
        sealed = host.sealer.seal(key_pem(key), place=key_place(peer_id))
        peer = Peer(
            id=peer_id, name=self.name, state="active", gateway=self.name,
            url=f"https://127.0.0.1:{port or self.port}", grant_id=grant, subject_id=subject, subject="lead",
            scope={"resources": ["tasks"]}, ca=pem(self.root.certificate), chain=pem(leaf), sealed_key=sealed,
            serial=f"{leaf.serial_number:x}", not_after=end, oid_arc=DEFAULT_ARC, readers=readers, added_by="test",
            created_at=datetime.now(UTC),
        )  # fmt: skip
        join = Join(peer_id, self.name, self.name, "x", grant, peer_id.bytes * 2, sealed, "test")
        await Joins(host.database).begin(join)
        await Joins(host.database).become(join, peer, renews=False)
        return await Peers(host.database).get(self.name)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs.removeprefix("/federation/v1/"))
        if self.answer is not None:
            return await self.answer(request)
        step = request.path.removeprefix("/federation/v1/").split("/")[1:]
        if step and step != ["search"]:
            return web.json_response(next(row for row in self.rows if row["id"] == step[0]))
        return web.json_response({"items": self.rows, "next_cursor": None})

    def _context(self) -> ssl.SSLContext:
        key, until = new_key(), datetime.now(UTC) + timedelta(days=1)
        leaf = make_server(self.root, key.public_key(), names=["127.0.0.1"], not_after=until)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as both:
            Path(both.name).write_bytes(key_pem(key) + pem(leaf))
            context.load_cert_chain(both.name)
        context.load_verify_locations(cadata=pem(self.root.certificate).decode())
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@asynccontextmanager
async def silent_port() -> AsyncIterator[int]:
    """A socket that takes connections, and never says a word."""
    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in connections:
            each.transport.abort()


def refusing(status: int, detail: str = "no") -> Answer:
    """An answer that is a problem."""

    async def answer(_: web.Request) -> web.StreamResponse:
        problem = json.dumps({"detail": detail, "status": status})
        return web.Response(status=status, text=problem, content_type="application/problem+json")

    return answer


def new_root() -> Root:
    return make_root("stub", 1)
