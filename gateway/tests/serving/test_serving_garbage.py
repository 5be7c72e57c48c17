"""Garbage of every kind, at a listener with TLS and one without: it goes on serving, and nothing of it stays."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import ssl
import tracemalloc
from collections.abc import Iterator

import h2.config
import h2.connection
import hyperframe.frame
import pytest

from mosaic_gateway.serving import server as server_module

_ROUNDS = 10
_LEFT = 200_000  # bytes that all of it may leave behind: less than one connection over TLS takes


@pytest.fixture
def chance() -> random.Random:
    return random.Random(20)  # the same garbage each time: what fails can be repeated


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["imap"])
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1").do_handshake()
    return outgoing.read()


def before_tls(chance: random.Random) -> Iterator[bytes]:
    """What comes in place of a handshake."""
    hello = client_hello()
    for _ in range(_ROUNDS):
        yield chance.randbytes(chance.randrange(1, 3000))
        yield hello[: chance.randrange(1, len(hello))]
        broken = bytearray(hello)
        for _ in range(chance.randrange(1, 10)):
            broken[chance.randrange(5, len(hello))] = chance.randrange(256)
        yield bytes(broken)
    yield hello + chance.randbytes(500)
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"\x16\x03\x01\xff\xff" + bytes(70_000)
    yield b""


def inside_http(chance: random.Random) -> Iterator[bytes]:
    """What comes in place of requests."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    opening = client.data_to_send()
    kinds = sorted(hyperframe.frame.FRAMES)
    for _ in range(_ROUNDS):
        yield chance.randbytes(chance.randrange(1, 3000))
        yield opening + b"".join(frame(chance, chance.choice(kinds)) for _ in range(20))
        yield opening + chance.randbytes(200)
        yield b"GET /" + chance.randbytes(50) + b" HTTP/1.1\r\n" + chance.randbytes(200) + b"\r\n\r\n"
    yield opening[:10]
    yield b"POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"
    yield b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000
    yield opening + b"".join(ping(number) for number in range(2000))


def frame(chance: random.Random, kind: int) -> bytes:
    """A frame of a known kind whose length, flags, stream and payload are anything."""
    payload = chance.randbytes(chance.choice((0, 1, 4, 5, 8, 30)))
    stream = chance.choice((0, 1, 2, 3, 5, 2**31 - 1))
    length = chance.choice((len(payload), len(payload), 0, 2**24 - 1))
    return length.to_bytes(3) + bytes([kind, chance.randrange(256)]) + stream.to_bytes(4) + payload


def ping(number: int) -> bytes:
    return hyperframe.frame.PingFrame(0, number.to_bytes(8)).serialize()


async def throw(port: int, garbage: bytes, context: ssl.SSLContext | None = None) -> None:
    """Send it, say goodbye, and take whatever is said to it."""
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        try:
            async with asyncio.timeout(5):
                writer.write(garbage)
                await writer.drain()
                if context is None:
                    writer.write_eof()
                    await reader.read()
                else:
                    writer.close()
                    await writer.wait_closed()
        finally:
            writer.transport.abort()


async def throw_all(port: int, pieces: list[bytes], context: ssl.SSLContext | None = None) -> None:
    for start in range(0, len(pieces), 20):
        await asyncio.gather(*(throw(port, each, context) for each in pieces[start : start + 20]))


async def none_left(before: set[asyncio.Task[object]]) -> None:
    """Wait until no task is left but those that were there."""
    async with asyncio.timeout(20):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110  # of the server: nobody says when they end
            await asyncio.sleep(0.02)


async def test_garbage_in_place_of_tls(
    served, site, mutual_tls, authority, client_context, chance, monkeypatch
) -> None:
    monkeypatch.setattr(server_module, "_HANDSHAKE", 1.0)  # what says half a word is waited for no longer
    context = client_context(authority.issue("peer"))
    async with served(site.app, mutual_tls) as server:
        assert await is_served(server.port, context)
        before = asyncio.all_tasks()
        await throw_all(server.port, list(before_tls(chance)))
        assert await is_served(server.port, context)
        await none_left(before)
        assert not server.listener.serials()
    assert site.requests == 2


async def test_garbage_in_place_of_http_over_tls(
    served, site, mutual_tls, authority, client_context, chance
) -> None:
    context = client_context(authority.issue("peer"))
    async with served(site.app, mutual_tls, read_timeout=1.0) as server:
        assert await is_served(server.port, context)
        before = asyncio.all_tasks()
        await throw_all(server.port, list(inside_http(chance)), context)
        assert await is_served(server.port, context)
        await none_left(before)
        assert not server.listener.serials()


async def test_garbage_in_place_of_http_leaves_no_memory_behind(served, site, chance) -> None:
    pieces = list(inside_http(chance))
    async with served(site.app, read_timeout=1.0) as server:
        assert await is_served(server.port, None)
        before = asyncio.all_tasks()
        await throw_all(server.port, pieces)  # what is made once is made
        await none_left(before)
        gc.collect()
        tracemalloc.start()
        try:
            await throw_all(server.port, pieces)
            await none_left(before)
            gc.collect()
            left, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert left < _LEFT
        assert await is_served(server.port, None)


async def is_served(port: int, context: ssl.SSLContext | None) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return b" 200 " in answer.split(b"\r\n")[0]
