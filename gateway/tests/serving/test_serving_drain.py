"""A stop: what is being answered is answered, everything else ends, nothing holds it up."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from mosaic_gateway.serving import Endpoint, Limits, bind, serve
from mosaic_hookspecs.errors import ConfigError
from mosaic_hookspecs.types import TLS, Listener


@pytest.mark.parametrize("http1", [True, False])
async def test_a_slow_answer_is_finished(served, site, http1) -> None:
    async with (
        served(site.app, drain=60) as server,
        httpx.AsyncClient(http1=http1, http2=not http1, timeout=60) as client,
    ):
        asking = asyncio.create_task(client.get(f"http://127.0.0.1:{server.port}/slow/700"))
        await site.slow.wait()
        took = await server.stopped()
        answer = await asking
    assert answer.text == "done"
    assert answer.headers.get("connection") == ("close" if http1 else None)
    assert took < 30


async def test_idle_and_silent_connections_end_at_once(served, site) -> None:
    async with served(site.app, drain=30) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        silent = await asyncio.open_connection("127.0.0.1", server.port)
        async with httpx.AsyncClient(http1=False, http2=True) as client:
            await client.get(f"http://127.0.0.1:{server.port}/")
            assert await server.stopped() < 10
        await asyncio.wait_for(reader.read(), 30)
        writer.close()
        silent[1].close()


@pytest.mark.parametrize("http1", [True, False])
async def test_an_answer_beyond_the_bound_is_dropped(served, site, http1) -> None:
    async with (
        served(site.app, drain=0.5) as server,
        httpx.AsyncClient(http1=http1, http2=not http1, timeout=60) as client,
    ):
        asking = asyncio.create_task(client.get(f"http://127.0.0.1:{server.port}/slow/60000"))
        await site.slow.wait()
        assert await server.stopped() < 10
        with pytest.raises(httpx.TransportError):
            await asking
    assert site.cancelled.is_set()


async def test_a_stop_closes_the_socket(served, site) -> None:
    async with served(site.app) as server:
        await server.stopped()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_peer_silent_in_its_handshake_does_not_hold_the_stop(served, site, mutual_tls) -> None:
    async with served(site.app, mutual_tls, drain=30) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.sleep(0.1)
        assert await server.stopped() < 10
        writer.close()


async def test_a_peer_silent_at_its_end_holds_the_stop_two_seconds_at_most(
    served, site, mutual_tls, authority, client_context
) -> None:
    async with served(site.app, mutual_tls, drain=30) as server:
        context = client_context(authority.issue("peer"))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        # From here it answers nothing, not even the close_notify.
        writer.transport.pause_reading()
        assert await server.stopped() < 10
        writer.transport.abort()


async def test_an_upload_that_stalls_does_not_hold_the_stop_beyond_its_time(served, site) -> None:
    async with served(site.app, drain=30, read_timeout=0.5) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        await asyncio.sleep(0.2)
        assert await server.stopped() < 10
        writer.close()


async def test_several_listeners_stop_together(site) -> None:
    listeners = [Listener(name, "127.0.0.1", 0) for name in ("public", "federation")]
    endpoints = [Endpoint(listener, site.app, bind(listener)) for listener in listeners]
    ports = [endpoint.socket.getsockname()[1] for endpoint in endpoints]
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(endpoints, stop=stop, limits=Limits()))
    async with httpx.AsyncClient() as client:
        for port in ports:
            assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 200
    stop.set()
    await asyncio.wait_for(serving, 30)
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_unusable_tls_closes_every_socket(site) -> None:
    async def broken() -> TLS:
        return TLS(b"", b"")

    listeners = [Listener("public", "127.0.0.1", 0), Listener("federation", "127.0.0.1", 0, tls=broken)]
    endpoints = [Endpoint(listener, site.app, bind(listener)) for listener in listeners]
    with pytest.raises(ConfigError, match="'federation'"):
        await serve(endpoints, stop=asyncio.Event(), limits=Limits())
    assert [endpoint.socket.fileno() for endpoint in endpoints] == [-1, -1]


async def test_a_cancelled_server_ends_its_connections(served, site) -> None:
    async with served(site.app, drain=0.3) as server, httpx.AsyncClient() as client:
        asking = asyncio.create_task(client.get(f"http://127.0.0.1:{server.port}/slow/60000"))
        await site.slow.wait()
        server.task.cancel()
        with pytest.raises(httpx.TransportError):
            await asking
