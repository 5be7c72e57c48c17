"""New certificates, roots and revocation lists are taken up by a listener that goes on serving."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from mosaic_hookspecs.errors import ConfigError

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def fast() -> bool:
    """TLS is the same for either parser."""
    return True


class Client:
    """One connection, kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, path: str = "/") -> bytes:
        """The status line of an answer; b"" or an OSError if there is none."""
        self.writer.write(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await self.reader.readexactly(length)
        return head.split(b"\r\n")[0]

    async def ended(self) -> bool:
        async with asyncio.timeout(10):
            try:
                return await self.reader.read() == b""
            except OSError:
                return True

    @property
    def server_certificate(self) -> bytes:
        tls: Any = self.writer.get_extra_info("ssl_object")
        shown: bytes = tls.getpeercert(binary_form=True)
        return shown


@asynccontextmanager
async def connected(port: int, context: ssl.SSLContext) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def is_let_in(port: int, context: ssl.SSLContext) -> bool:
    try:
        async with connected(port, context) as client:
            return b" 200 " in await client.ask()
    except (OSError, EOFError):
        return False


async def test_a_new_server_certificate_is_shown_and_open_connections_go_on(
    served, site, mutual_tls, authority, client_context
) -> None:
    context = client_context(authority.issue("peer"))
    other = authority.issue("server anew", usage=ExtendedKeyUsageOID.SERVER_AUTH)
    async with served(site.app, mutual_tls) as server, connected(server.port, context) as before:
        assert b" 200 " in await before.ask()
        server.tls = replace(mutual_tls, chain=other.pem, key=other.key)
        await server.listener.reload()
        assert b" 200 " in await before.ask()
        async with connected(server.port, context) as after:
            assert b" 200 " in await after.ask()
            assert (before.server_certificate != other.der, after.server_certificate) == (True, other.der)


async def test_other_roots_let_others_in(served, site, mutual_tls, authority, client_context) -> None:
    newcomers = type(authority)("Another Root")
    old, new = client_context(authority.issue("peer")), client_context(newcomers.issue("peer"))
    async with served(site.app, mutual_tls) as server:
        assert [await is_let_in(server.port, each) for each in (old, new)] == [True, False]
        server.tls = replace(mutual_tls, client_roots=newcomers.root)
        await server.listener.reload()
        assert [await is_let_in(server.port, each) for each in (old, new)] == [False, True]
        server.tls = replace(mutual_tls, client_roots=newcomers.root + authority.root)
        await server.listener.reload()
        assert [await is_let_in(server.port, each) for each in (old, new)] == [True, True]


async def test_a_certificate_on_the_list_makes_no_further_connection(
    served, site, mutual_tls, authority, client_context
) -> None:
    good, bad = authority.issue("good"), authority.issue("bad")
    let_in, revoked = client_context(good), client_context(bad)
    empty = replace(mutual_tls, client_crl=authority.crl())
    async with served(site.app, empty) as server, connected(server.port, revoked) as before:
        assert b" 200 " in await before.ask()
        server.tls = replace(mutual_tls, client_crl=authority.crl(bad))
        await server.listener.reload()
        assert b" 200 " in await before.ask(), "TLS never looks at an open connection again: the gate does"
        assert [await is_let_in(server.port, each) for each in (let_in, revoked)] == [True, False]


@pytest.mark.parametrize("fault", ["over", "of another authority"])
async def test_without_a_list_that_holds_nobody_is_let_in(
    served, site, mutual_tls, authority, client_context, fault
) -> None:
    useless = {
        "over": lambda: authority.crl(ends=timedelta(minutes=-1)),
        "of another authority": lambda: type(authority)("Another Root").crl(),
    }[fault]()
    context = client_context(authority.issue("peer"))
    async with served(site.app, replace(mutual_tls, client_crl=useless)) as server:
        assert not await is_let_in(server.port, context)
        server.tls = replace(mutual_tls, client_crl=authority.crl())
        await server.listener.reload()
        assert await is_let_in(server.port, context)


async def test_what_cannot_be_used_leaves_all_as_it_was(
    served, site, mutual_tls, authority, client_context
) -> None:
    context = client_context(authority.issue("peer"))
    async with served(site.app, mutual_tls) as server:
        assert await is_let_in(server.port, context)
        for useless in (replace(mutual_tls, key=b""), replace(mutual_tls, client_crl=b"no list")):
            server.tls = useless
            with pytest.raises(ConfigError):
                await server.listener.reload()
            assert await is_let_in(server.port, context)


async def test_connections_of_a_certificate_are_ended(
    served, site, mutual_tls, authority, client_context
) -> None:
    mine, theirs = authority.issue("mine"), authority.issue("theirs")
    async with (
        served(site.app, mutual_tls) as server,
        connected(server.port, client_context(mine)) as idle,
        connected(server.port, client_context(mine)) as busy,
        connected(server.port, client_context(theirs)) as other,
    ):
        for each in (idle, busy, other):
            assert b" 200 " in await each.ask()
        assert set(server.listener.serials()) == {mine.serial, theirs.serial}
        asking = asyncio.create_task(busy.ask("/slow/60000"))
        await site.slow.wait()
        server.listener.end([mine.serial, "abc"])
        assert await idle.ended()
        with pytest.raises((OSError, EOFError)):
            await asking
        assert b" 200 " in await other.ask()
        assert set(server.listener.serials()) == {theirs.serial}


async def test_an_answer_under_way_to_an_ended_client_has_a_moment(
    served, site, mutual_tls, authority, client_context
) -> None:
    mine = authority.issue("mine")
    async with served(site.app, mutual_tls) as server, connected(server.port, client_context(mine)) as busy:
        asking = asyncio.create_task(busy.ask("/slow/10"))
        await site.slow.wait()
        server.listener.end([mine.serial])
        assert b" 200 " in await asking
        assert await busy.ended()


async def test_tls_1_2_only_where_it_is_asked_for(
    served, site, mutual_tls, authority, client_context
) -> None:
    context = client_context(authority.issue("peer"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with served(site.app, mutual_tls) as server:
        assert not await is_let_in(server.port, context)
        server.tls = replace(mutual_tls, minimum="1.2")
        await server.listener.reload()
        assert await is_let_in(server.port, context)
        context.set_ciphers("ECDHE-ECDSA-AES256-SHA384")  # CBC
        assert not await is_let_in(server.port, context)


async def test_a_listener_is_known_only_while_it_is_served(served, site) -> None:
    async with served(site.app) as server, connected_plainly(server.port):
        assert set(server.listeners) == {"public"}
        await server.listener.reload()  # of plain HTTP: nothing to do
        await server.stopped()
        assert not server.listeners


@asynccontextmanager
async def connected_plainly(port: int) -> AsyncIterator[None]:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    yield
    writer.close()
