"""Mistyped URLs, servers that are none, and what a hostile one may say: no piece of a password is shown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_hookspecs.types import QueueTarget
from mosaic_valkey.cache import ValkeyCache
from mosaic_valkey.probe import valkey_probe
from mosaic_valkey.server import server_of
from mosaic_valkey.settings import Settings

MARK = "Zq7Wx"


def host_at(url: str) -> Any:
    """As much of a Host as the plugin looks at."""
    return SimpleNamespace(
        gateway_name="home", queue_target=QueueTarget("bullmq", url), settings=lambda _: Settings()
    )


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:12?{MARK}=3@cache:6379/0",
        f"redis://:12?{MARK}@cache:6379/0",
        f"redis://{MARK}:12/34@cache:6379/0",
        f"redis://{MARK}#x@cache:6379/0",
        f"redis://{MARK}/x@cache:6379/0",
        f"redis://{MARK}?x@cache:6379/0",
        f"redis://{MARK} x@cache:6379/0",
        f"redis://cache:6379/{MARK}",
        f"redis://cache:6379/0?password={MARK}",
        f"redis://cache:6379/0?db={MARK}",
        f"redis://[{MARK}@cache:6379/0",
        f"redis://:{MARK}@cache:{MARK}/0",
        f"redis://:{MARK}@ca che/0",
        f"http://:{MARK}@cache:6379",
        f"rediss:{MARK}",
        MARK,
    ],
)
def test_a_mistyped_url_is_refused_and_nothing_of_it_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match=r"queue\.url") as caught:
        server_of(host_at(url))
    assert MARK not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", ("cache", 6379, None, 0, None, None)),
        ("redis://cache:6380/3", ("cache", 6380, None, 3, None, None)),
        (
            "rediss://us%40er:p%40%2F%23%3F@cache.example.org",
            ("cache.example.org", 6379, None, 0, "us@er", "p@/#?"),
        ),
        ("redis://:p@[::1]:7000/0", ("::1", 7000, None, 0, None, "p")),
        (
            "unix:///run/valkey/valkey.sock?db=2",
            ("localhost", 6379, "/run/valkey/valkey.sock", 2, None, None),
        ),
        ("unix://u:p@/run/valkey.sock", ("localhost", 6379, "/run/valkey.sock", 0, "u", "p")),
    ],
)
def test_a_good_url_is_read_whole(url: str, expected: tuple[Any, ...]) -> None:
    server = server_of(host_at(url))
    found = (server.host, server.port, server.path, server.database, server.username, server.password)
    assert found == expected


@asynccontextmanager
async def serving(answer: bytes) -> AsyncIterator[str]:
    """The URL of a server that gives this answer to whatever it is asked first, and waits."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://:{MARK}@127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()


NONE = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 100, b"SSH-2.0-OpenSSH_9\r\n"]
TOO_MUCH = b"%0\r\n+OK\r\n+OK\r\n+OK\r\n"


@pytest.mark.parametrize("answer", [*NONE, TOO_MUCH])
async def test_what_is_no_valkey_says_so_without_a_traceback(
    answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with serving(answer) as url:
            with pytest.raises(Unavailable, match="does not speak the protocol") as caught:
                await valkey_probe(host_at(url)).check()
    assert "port" in caught.value.remedy
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            f"-ERR unknown command `HELLO`, with args beginning with: `3` `AUTH` `default` `{MARK}`\r\n",
            "too old",
        ),
        (f"-FOO {MARK}\x1b]0;x\x07\r\n", "failed"),
        ("-DENIED Valkey is running in protected mode because\r\n", "protected mode"),
        ("-ERR max number of clients reached\r\n", "no connection left"),
    ],
)
async def test_what_a_server_says_is_not_repeated(answer: str, words: str) -> None:
    async with serving(answer.encode()) as url:
        with pytest.raises(Unavailable, match=words) as caught:
            await valkey_probe(host_at(url)).check()
    assert MARK not in str(caught.value)
    assert "\x1b" not in str(caught.value)


async def test_a_cache_beside_a_server_that_is_none_still_loads() -> None:
    async def load() -> bytes:
        return b"value"

    async with serving(NONE[0]) as url:
        cache = ValkeyCache(host_at(url))
        async with cache.open():
            assert await cache.get("key", load, ttl=1) == b"value"
