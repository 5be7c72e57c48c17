"""Two exchanges of checkpoints with one peer at once: the hourly one, and an admin's who reconciles."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from mosaic_audit.checkpoints import sign_all
from mosaic_federation.listener import peer_mount
from mosaic_federation.mutual.asking import exchange
from mosaic_federation.mutual.witness import Witness
from mosaic_federation.peers import Peers
from mosaic_gateway.http import listener_app
from mosaic_hookspecs.testing import audit_event
from stub_peers import StubPeer, new_root


class Overlapped:
    """The way to our own listener, on which of two exchanges neither tells before both have asked."""

    def __init__(self, world: Any, certificate: bytes) -> None:
        self._client = listener_app(
            "federation", [peer_mount(world.host)], max_body_bytes=16 * 1024
        ).test_client()
        self._scope = {"state": {"client_certificate": certificate}, "client": ("192.0.2.1", 40_000)}
        self._both_asked = asyncio.Barrier(2)
        self._in_turn = asyncio.Lock()
        self.told: list[int] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            answer = await self._client.get(request.path_qs, scope_base=self._scope)
        else:
            data = await request.read()
            await self._both_asked.wait()
            async with self._in_turn:
                answer = await self._client.post(request.path, data=data, scope_base=self._scope)
            self.told.append(answer.status_code)
        return web.Response(
            status=answer.status_code, body=await answer.get_data(), content_type=answer.mimetype
        )


@pytest.mark.parametrize("before", [0, 1], ids=["first-ever", "later"])
async def test_exchanges_that_overlap_accuse_nobody(
    world: Any, before: int, caplog: pytest.LogCaptureFixture
) -> None:
    grant, certificate = await world.enrolled()
    stub = StubPeer("twin", new_root())
    async with stub.up():
        await stub.enroll(world.host)
        peer = await Peers(world.pool).get("twin")
        held = Witness(world.pool, "taker", grant, "home")
        for _ in range(before + 1):
            await world.host.audit().record(audit_event(uuid4(), 1))
            await sign_all(world.host)
            way = Overlapped(world, certificate)
            stub.answer = way.answer
            heads = await asyncio.gather(exchange(world.host, peer), exchange(world.host, peer))
            assert way.told == [200, 200]
            assert None not in heads
    latest = await world.host.audit_log().head()
    assert await held.last() in {latest.number - 1, latest.number}  # each exchange signs what waits
    assert "mutual audit" not in caplog.text
