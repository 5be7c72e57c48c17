"""Servers that are none, or hostile: the cause is told, nothing they say is repeated, nothing of ours is shown."""

from __future__ import annotations

import asyncio
import gc
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mosaic_gateway.compose import Owned
from mosaic_gateway.health import run_probes
from mosaic_gateway.health.database import database_probes
from mosaic_gateway.refusals import REFUSALS
from mosaic_hookspecs.types import DatabaseLocation, Finding

SECRET = "hunter2Zq7"


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def error(code: str, text: str) -> bytes:
    return message(b"E", f"SFATAL\0C{code}\0M{text}\0\0".encode())


WELCOME = message(b"R", struct.pack("!I", 0))
READY = message(b"Z", b"I")


@asynccontextmanager
async def serving(answer: bytes, *, after_tls: bytes = b"N") -> AsyncIterator[int]:
    """The port of a server that refuses TLS, gives this answer to whatever it is asked, and waits."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read(4096)
        if asked[4:8] == b"\x04\xd2\x16\x2f":  # SSLRequest
            writer.write(after_tls)
            asked = await reader.read(4096)
        writer.write(answer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def found(port: int) -> Finding:
    location = DatabaseLocation("127.0.0.1", "mosaic", "app", port, SECRET)
    (checked, _) = await run_probes([Owned("gateway", each) for each in database_probes(location)])
    return checked.finding


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (WELCOME + READY, "does not speak the protocol"),
        (WELCOME + message(b"S", b"server_version\0abc\0") + READY, "does not speak the protocol"),
        (
            WELCOME + message(b"S", b"client_encoding\0nonsense\0") + READY,
            "does not speak the protocol",
        ),
        (b"R\xff\xff\xff\xff", "does not speak the protocol"),
        (error("08P01", "unsupported startup parameter: search_path"), "pooler"),
        (error("08P01", "expected password response"), "does not speak the protocol"),
        (error("28000", f"no password={SECRET} \x1b]0;x\x07"), "refused the connection"),
    ],
)
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # asyncpg's half-made connection
async def test_what_is_no_postgres_says_so(answer: bytes, words: str) -> None:
    async with serving(answer) as port:
        finding = await found(port)
    gc.collect()
    assert finding.status == "red"
    assert words in finding.detail
    assert SECRET not in repr(finding)
    assert "\x1b" not in repr(finding)


@pytest.mark.parametrize("after_tls", [b"S", b"N"])
async def test_one_that_stalls_is_named_in_time(after_tls: bytes) -> None:
    async with serving(b"", after_tls=after_tls) as port:
        finding = await found(port)
    assert "did not answer in time" in finding.detail


def test_a_remedy_in_sql_can_be_given_as_it_stands() -> None:
    odd = DatabaseLocation("db", 'o"neill', "my-app")
    plain = DatabaseLocation("db", "gateway", "app")
    assert (
        REFUSALS["database-missing"].finding(odd).remedy.endswith('CREATE DATABASE "my-app" OWNER "o""neill"')
    )
    assert REFUSALS["database-missing"].finding(plain).remedy.endswith("CREATE DATABASE app OWNER gateway")
    assert "'my-app'" in REFUSALS["database-missing"].finding(odd).detail
