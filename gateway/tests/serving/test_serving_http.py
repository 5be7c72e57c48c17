"""HTTP over plain TCP: what clients get, and what they cannot do to us."""

from __future__ import annotations

import asyncio
import http.client
import re
import time
from typing import Any

import httpx
import pytest

GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"


async def _connect(port: int, sent: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    return reader, writer


async def _first_line(port: int) -> bytes:
    """Of the answer on a connection of its own; nothing if that is ended without one."""
    reader, writer = await _connect(port, GET % b"/")
    try:
        return await reader.readline()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def _end_of(reader: asyncio.StreamReader, *, within: float = 30.0) -> bytes:
    """All that still comes, until the server ends the connection."""
    received = b""
    async with asyncio.timeout(within):
        try:
            while piece := await reader.read(65536):
                received += piece
        except ConnectionResetError:
            pass
    return received


@pytest.mark.parametrize(("http1", "version"), [(True, "1.1"), (False, "2")])
async def test_both_versions_are_served_on_one_kept_connection(served, site, http1, version) -> None:
    async with served(site.app) as server, httpx.AsyncClient(http1=http1, http2=not http1) as client:
        answers = [await client.get(f"http://127.0.0.1:{server.port}/") for _ in range(3)]
        echoed = await client.post(f"http://127.0.0.1:{server.port}/length", content=bytes(90_000))
    assert {a.json()["version"] for a in answers} == {version}
    assert len({a.json()["client"][1] for a in answers}) == 1, (
        "each request came over a connection of its own"
    )
    assert answers[0].json()["certificate"] is None
    assert echoed.text == "90000"


async def test_pipelined_requests_are_answered_in_order(served, site) -> None:
    async with served(site.app) as server:
        reader, writer = await _connect(server.port, GET % b"/slow/100" + GET % b"/")
        writer.write(b"GET /none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = await _end_of(reader)
        writer.close()
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"200", b"404"]


async def test_no_answer_names_the_server_software(served, site) -> None:
    async with served(site.app) as server, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{server.port}/")
    assert "server" not in answer.headers
    assert "date" in answer.headers


async def test_headers_over_the_limit_get_431(served, site) -> None:
    async with served(site.app, max_header_bytes=4096) as server, httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{server.port}/"
        fine = await client.get(url, headers={"X": "a" * 3000})
        over = await client.get(url, headers={"X": "a" * 5000})
    assert (fine.status_code, over.status_code) == (200, 431)
    assert site.requests == 1


async def test_headers_over_the_limit_end_an_h2_connection(served, site) -> None:
    async with served(site.app, max_header_bytes=4096) as server:
        url = f"http://127.0.0.1:{server.port}/"
        async with httpx.AsyncClient(http1=False, http2=True) as client:
            fine = await client.get(url, headers={"X": "a" * 3000})
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(url, headers={"X": "a" * 5000})
    assert fine.status_code == 200
    assert site.requests == 1


async def test_a_client_that_reads_last_gets_its_refusal(served, site) -> None:
    def post(port: int) -> int:
        client = http.client.HTTPConnection("127.0.0.1", port)
        client.request(
            "POST", "/length", body=bytes(5_000_000)
        )  # over the limit; fails if we close meanwhile
        return client.getresponse().status

    async with served(site.app) as server:
        assert [await asyncio.to_thread(post, server.port) for _ in range(5)] == [413] * 5


async def test_a_message_framed_twice_is_refused(served, site) -> None:
    async with served(site.app) as server:
        sent = b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        reader, writer = await _connect(server.port, sent + GET % b"/")
        received = await _end_of(reader)
        writer.close()
    assert received.startswith(b"HTTP/1.1 400 ")
    assert site.requests == 0


async def test_an_upgrade_to_h2c_is_ignored(served, site) -> None:
    async with served(site.app) as server, httpx.AsyncClient() as client:
        headers = {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAMAAABk"}
        answer = await client.get(f"http://127.0.0.1:{server.port}/", headers=headers)
    assert answer.json()["version"] == "1.1"


async def test_garbage_is_answered_and_cut_off(served, site) -> None:
    async with served(site.app) as server:
        reader, writer = await _connect(server.port, b"\x16\x03\x01 not HTTP at all\r\n\r\n")
        received = await _end_of(reader)
        writer.close()
    assert received.startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_drips_its_headers_is_cut_off(served, site) -> None:
    async with served(site.app, read_timeout=0.4) as server:
        reader, writer = await _connect(server.port, b"GET / HTTP/1.1\r\n")

        async def drip() -> None:
            while True:
                await asyncio.sleep(0.05)
                writer.write(b"X: y\r\n")

        dripping = asyncio.create_task(drip())
        await _end_of(reader)
        dripping.cancel()
        writer.close()
    assert site.requests == 0


async def test_a_client_that_drips_its_second_headers_is_cut_off_too(served, site) -> None:
    async with served(site.app, read_timeout=0.4, keep_alive=60) as server:
        reader, writer = await _connect(server.port, GET % b"/")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET / HTTP/1.1\r\n")
        await _end_of(reader)
        writer.close()
    assert site.requests == 1


async def test_a_client_that_says_nothing_is_cut_off(served, site) -> None:
    async with served(site.app, read_timeout=0.4) as server:
        reader, writer = await _connect(server.port)
        assert await _end_of(reader) == b""
        writer.close()


async def test_a_client_that_stops_in_its_body_is_cut_off(served, site) -> None:
    async with served(site.app, read_timeout=0.4) as server:
        sent = b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc"
        reader, writer = await _connect(server.port, sent)
        await _end_of(reader)
        writer.close()


async def test_a_slow_body_is_read_as_long_as_it_moves(served, site) -> None:
    async with served(site.app, read_timeout=1.0) as server:
        head = b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\nConnection: close\r\n\r\n"
        reader, writer = await _connect(server.port, head)
        for _ in range(8):
            await asyncio.sleep(0.15)
            writer.write(b"x")
        assert (await _end_of(reader)).endswith(b"8")
        writer.close()


@pytest.mark.parametrize("http1", [True, False])
async def test_an_answer_may_take_longer_than_the_limits_for_clients(served, site, http1) -> None:
    client = httpx.AsyncClient(http1=http1, http2=not http1, timeout=60)
    async with served(site.app, read_timeout=0.3, keep_alive=0.3) as server, client:
        answer = await client.get(f"http://127.0.0.1:{server.port}/slow/1500")
    assert answer.text == "done"


async def test_a_kept_connection_ends_after_its_time(served, site) -> None:
    async with served(site.app, keep_alive=0.5) as server:
        reader, writer = await _connect(server.port, GET % b"/")
        began = time.monotonic()
        assert b"200" in await _end_of(reader)
        assert time.monotonic() - began >= 0.4
        writer.close()


async def test_a_client_that_takes_nothing_of_its_answer_is_cut_off(served, site) -> None:
    async with served(site.app, read_timeout=0.4) as server:
        reader, writer = await _connect(server.port, GET % b"/big")
        await asyncio.sleep(1.5)
        assert len(await _end_of(reader)) < 20_000_000
        writer.close()


async def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(served, site) -> None:
    async with served(site.app, read_timeout=3.0) as server:
        reader, writer = await _connect(server.port, GET % b"/big")
        received = 0
        # 15 MB in 4.5 s and the rest at once: longer than the limit, and never a tenth of it without progress
        for _ in range(15):
            received += len(await reader.readexactly(1_000_000))
            await asyncio.sleep(0.3)
        while received < 20_000_000:
            received += len(await reader.read(1_000_000))
        writer.close()


async def test_a_client_that_leaves_ends_its_request(served, site) -> None:
    async with served(site.app) as server:
        _, writer = await _connect(server.port, GET % b"/slow/60000")
        await site.slow.wait()
        writer.close()
        await asyncio.wait_for(site.cancelled.wait(), 30)


async def test_an_application_that_ignores_the_end_of_its_client_is_cancelled(served) -> None:
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        asked.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with served(app, read_timeout=0.4) as server:
        _, writer = await _connect(server.port, GET % b"/")
        await asked.wait()
        writer.close()
        await asyncio.wait_for(cancelled.wait(), 30)


async def test_connections_over_the_cap_are_closed_and_room_is_reused(served, site) -> None:
    async with served(site.app, max_connections=2) as server:
        held = [await _connect(server.port, GET % b"/") for _ in range(2)]
        for reader, _ in held:
            assert b"200" in await reader.readuntil(b"\r\n")
        reader, writer = await _connect(server.port)
        assert await _end_of(reader) == b""
        writer.close()
        held[0][1].close()
        async with asyncio.timeout(30):  # there is room when the server has seen the end of it
            while b"200" not in await _first_line(server.port):
                pass
        for _, open_writer in held:
            open_writer.close()


async def test_headers_and_body_leave_in_one_piece(served) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await asyncio.sleep(0.2)
        await send({"type": "http.response.body", "body": b"ok"})

    async with served(app) as server:
        reader, writer = await _connect(server.port, GET % b"/")
        assert (await reader.read(65536)).endswith(b"\r\n\r\nok")
        writer.close()
