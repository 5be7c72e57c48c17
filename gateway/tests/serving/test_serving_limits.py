"""Limits on connections, handshakes and requests: who is over them is refused quickly, the others are served."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import httpx
import pytest

from mosaic_gateway.serving import load
from mosaic_gateway.serving import server as server_module
from mosaic_gateway.serving.handshakes import Turns
from mosaic_gateway.serving.limits import Limits
from mosaic_gateway.serving.load import Lag, Load
from mosaic_hookspecs.types import ListenerLimits

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def fast() -> bool:
    """These are kept around the parsers; what parsers keep is in test_serving_http and test_serving_h2."""
    return True


async def answers(port: int, tls: ssl.SSLContext | None = None) -> tuple[bool, asyncio.StreamWriter | None]:
    """Whether a new connection is served; it stays open."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
        writer.write(GET)
        async with asyncio.timeout(10):
            return b" 200 " in await reader.readline(), writer
    except OSError:
        return False, None


async def test_connections_of_one_address_are_bounded(served, site) -> None:
    async with served(site.app, own=ListenerLimits(max_per_address=2)) as server:
        held = [await answers(server.port) for _ in range(4)]
        assert [served_ for served_, _ in held] == [True, True, False, False]
        for _, writer in held:
            if writer is not None:
                writer.transport.abort()
        async with asyncio.timeout(10):  # a place is free again when the server has seen the end of one
            while not (await answers(server.port))[0]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_connections_of_one_certificate_are_bounded(
    served, site, mutual_tls, authority, client_context
) -> None:
    mine, theirs = (client_context(authority.issue(name)) for name in ("mine", "theirs"))
    async with served(site.app, mutual_tls, own=ListenerLimits(max_per_certificate=2)) as server:
        contexts = (mine, mine, mine, theirs)
        held = [await answers(server.port, context) for context in contexts]
        assert [served_ for served_, _ in held] == [True, True, False, True]
        for _, writer in held:
            if writer is not None:
                writer.transport.abort()


async def test_who_says_nothing_takes_nobodys_turn(
    served, site, mutual_tls, authority, client_context
) -> None:
    context = client_context(authority.issue("peer"))
    async with served(site.app, mutual_tls, own=ListenerLimits(max_handshakes=1)) as server:
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
        assert (await answers(server.port, context))[0]
        for _, writer in silent:
            writer.transport.abort()


async def test_more_handshakes_than_may_be_at_once_wait_for_their_turn(
    served, site, mutual_tls, authority, client_context, monkeypatch
) -> None:
    monkeypatch.setattr(server_module, "_HANDSHAKE", 60.0)
    context = client_context(authority.issue("peer"))
    async with served(site.app, mutual_tls, own=ListenerLimits(max_handshakes=1)) as server:
        reader, halfway = await asyncio.open_connection("127.0.0.1", server.port)
        halfway.write(client_hello(context))
        await reader.readexactly(1)  # its handshake has begun, and does not go on
        waiting = asyncio.create_task(answers(server.port, context))
        assert (await asyncio.wait({waiting}, timeout=0.3))[1] == {waiting}
        halfway.transport.abort()
        assert (await waiting)[0]


def client_hello(context: ssl.SSLContext) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1").do_handshake()
    return outgoing.read()


class Spoken:
    """A socket with something to read."""

    def __init__(self) -> None:
        import socket

        self.ours, theirs = socket.socketpair()
        theirs.send(b"x")
        self.theirs = theirs


async def test_handshakes_keep_to_their_rate_and_the_rest_is_refused_before_any_work() -> None:
    turns = Turns(1000, rate=10, patience=0.5)
    client = Spoken()
    loop = asyncio.get_running_loop()
    began = loop.time()
    taken: list[float] = []

    async def one() -> None:
        async with turns.turn(client.ours.dup(), "192.0.2.1"):
            taken.append(loop.time() - began)

    done = await asyncio.gather(*(one() for _ in range(100)), return_exceptions=True)
    refused = [each for each in done if isinstance(each, TimeoutError)]
    # a second's worth at once, then one each 0.1 s for as long as anybody waits
    assert len(taken) + len(refused) == 100
    assert 10 <= len(taken) <= 10 + 1 + 10 * (loop.time() - began)
    assert sum(at < 0.05 for at in taken) <= 11


async def test_one_address_has_a_quarter_of_the_turns() -> None:
    turns = Turns(4, rate=1000, patience=60)
    client, free = Spoken(), asyncio.Event()
    inside: list[str] = []

    async def one(address: str) -> None:
        async with turns.turn(client.ours.dup(), address):
            inside.append(address)
            await free.wait()

    first, second = (asyncio.create_task(one("192.0.2.1")) for _ in range(2))
    await asyncio.sleep(0)
    other = asyncio.create_task(one("192.0.2.2"))
    async with asyncio.timeout(10):
        while len(inside) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert sorted(inside) == ["192.0.2.1", "192.0.2.2"]
    free.set()
    await asyncio.gather(first, second, other)
    assert len(inside) == 3


@pytest.mark.parametrize("http1", [True, False])
async def test_more_requests_than_may_be_under_way_are_told_so_at_once(served, site, http1) -> None:
    def client() -> httpx.AsyncClient:
        base = f"http://127.0.0.1:{server.port}"
        return httpx.AsyncClient(base_url=base, http1=http1, http2=not http1, timeout=60)

    own = ListenerLimits(max_requests=2)
    async with (
        served(site.app, own=own, spared=("/length",), drain=0) as server,
        client() as patient,
        client() as further,
    ):
        slow = []
        for _ in range(2):
            site.slow.clear()
            slow.append(asyncio.create_task(patient.get("/slow/60000")))
            await site.slow.wait()
        answer = await further.get("/")
        assert answer.status_code == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 3
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == "urn:mosaic:problem:unavailable"
        assert (await further.post("/length", content=b"12")).text == "2", "it is spared"
        await server.stopped()
        await asyncio.gather(*slow, return_exceptions=True)


async def test_an_event_loop_that_lags_takes_no_further_requests() -> None:
    lag = Lag()
    load = Load(Limits(max_lag=0.5), lag)
    watching = asyncio.create_task(lag.watch())
    assert not load.full
    load.under_way = 16
    lag.seconds = 0.6
    assert load.full
    load.under_way = 15  # so few do not hold it up: something else does
    assert not load.full
    load.under_way = 16
    async with asyncio.timeout(30):
        while load.full:  # noqa: ASYNC110  # a loop that runs again is measured again
            await asyncio.sleep(0.01)
    watching.cancel()


async def test_blocking_shows_as_lag() -> None:
    import time

    lag = Lag()
    watching = asyncio.create_task(lag.watch())
    await asyncio.sleep(0)
    time.sleep(0.4)  # noqa: ASYNC251  # on purpose
    await asyncio.sleep(0.01)
    assert lag.seconds >= 0.25
    watching.cancel()


async def test_h2_streams_at_once_are_bounded(served, site) -> None:
    async with served(site.app, own=ListenerLimits(max_streams=3)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        client.initiate_connection()
        writer.write(client.data_to_send())
        ended = None
        async with asyncio.timeout(10):
            while client.remote_settings.max_concurrent_streams != 3:
                client.receive_data(await reader.read(65536))
            client.remote_settings.update({3: 100})  # a client that does not care
            client.remote_settings.acknowledge()
            for stream in range(1, 12, 2):
                headers = [
                    (":method", "GET"),
                    (":path", "/slow/60000"),
                    (":scheme", "http"),
                    (":authority", "x"),
                ]
                client.send_headers(stream, headers, end_stream=True)
            writer.write(client.data_to_send())
            while ended is None and (data := await reader.read(65536)):
                events: list[Any] = client.receive_data(data)
                ended = next((e for e in events if isinstance(e, h2.events.ConnectionTerminated)), None)
        assert ended is not None
        writer.close()


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "stock"])
async def test_without_h2_nothing_speaks_it(
    served, site, mutual_tls, authority, client_context, fast
) -> None:
    context = client_context(authority.issue("peer"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with served(site.app, mutual_tls, http2=False) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        tls: Any = writer.get_extra_info("ssl_object")
        assert tls.selected_alpn_protocol() == "http/1.1"
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        client.initiate_connection()
        writer.write(client.data_to_send())
        async with asyncio.timeout(10):
            said = await reader.readline()
        assert said.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505"))
        writer.close()


def test_a_listener_narrows_the_limits_it_names() -> None:
    assert Limits(drain=3).narrowed(ListenerLimits()) == Limits(drain=3)
    narrowed = Limits(max_connections=7).narrowed(ListenerLimits(max_streams=5, keep_alive=1.5))
    assert narrowed == Limits(max_connections=7, max_streams=5, keep_alive=1.5)


async def _turned(port: int, tls: ssl.SSLContext, *, served: bool) -> None:
    """Wait until new requests are served, or not."""
    async with asyncio.timeout(20):
        while True:
            good, writer = await answers(port, tls)
            if writer is not None:
                writer.transport.abort()
            if good is served:
                return


async def test_answers_that_nobody_reads_have_a_budget_and_each_certificate_a_share(
    served, site, mutual_tls, authority, client_context
) -> None:
    """Of 20 MB each; what is left in the buffers of the system does not count."""
    mine, theirs = (client_context(authority.issue(name)) for name in ("mine", "theirs"))
    async with served(site.app, mutual_tls, max_unsent=40_000_000) as server:

        async def leave_unread(context: ssl.SSLContext) -> asyncio.StreamWriter:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context, limit=1)
            writer.write(GET.replace(b"/", b"/big", 1))
            return writer

        first = await leave_unread(mine)
        await _turned(server.port, mine, served=False)
        assert (await answers(server.port, theirs))[0]
        other = await leave_unread(theirs)
        await _turned(server.port, client_context(authority.issue("third")), served=False)
        async with httpx.AsyncClient(verify=mine, base_url=f"https://127.0.0.1:{server.port}") as client:
            refused = await client.get("/")
        assert (refused.status_code, "read" in refused.json()["detail"]) == (503, True)
        assert int(refused.headers["Retry-After"]) >= 1
        first.transport.abort()
        other.transport.abort()
        await _turned(server.port, mine, served=True)


@pytest.mark.parametrize("window", [0, 2**31 - 1])
async def test_answers_that_wait_in_h2_count_like_others(
    served, mutual_tls, authority, client_context, window: int
) -> None:
    """Neither a window that is closed nor frames as large as an answer hide how much is still here."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        size = 15_000_000 if scope["path"] == "/big" else 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(size), "more_body": True})
        await send({"type": "http.response.body"})

    certificate = authority.issue("mine")
    mine, h2_only = client_context(certificate), client_context(certificate)
    h2_only.set_alpn_protocols(["h2"])
    async with served(app, mutual_tls, max_unsent=40_000_000) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=h2_only, limit=1)
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        wanted = {
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window,
            h2.settings.SettingCodes.MAX_FRAME_SIZE: 2**24 - 1,
        }
        client.local_settings = h2.settings.Settings(client=True, initial_values=wanted)
        client.initiate_connection()
        client.increment_flow_control_window(2**31 - 1 - 65_535)
        headers = [(":method", "GET"), (":path", "/big"), (":scheme", "https"), (":authority", "x")]
        client.send_headers(1, headers, end_stream=True)
        writer.write(client.data_to_send())
        await _turned(server.port, mine, served=False)
        writer.transport.abort()
        await _turned(server.port, mine, served=True)


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "stock"])
async def test_who_takes_an_answer_too_slowly_loses_it(served, site, monkeypatch, fast) -> None:
    monkeypatch.setattr(load, "_PACE", 1_000_000_000)
    taken = 0
    async with served(site.app, read_timeout=2) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
        writer.write(GET.replace(b"/", b"/big", 1) + GET)
        try:
            async with asyncio.timeout(30):
                while piece := await reader.read(65_536):
                    taken += len(piece)
                    await asyncio.sleep(0.04)
        except OSError:  # the end may come as a reset
            pass
        assert 0 < taken < 20_000_000
        writer.close()
