"""llhttp beside h11 on the same bytes: what either refuses is refused, and what is served is the same request."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypercorn.events import RawData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosaic_gateway.serving.fast import FastH1

HEAD = b"POST /a?b=c HTTP/1.1\r\nHost: x\r\n"


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Say what was understood."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    seen = (scope["method"], scope["path"], scope["query_string"].decode(), body.decode("latin-1"))
    answer = json.dumps(seen).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]}
    )
    await send({"type": "http.response.body", "body": answer})


@asynccontextmanager
async def exchange(served: Any, app: Any, **limits: Any) -> AsyncIterator[Any]:
    async with served(app, read_timeout=1.0, **limits) as server:

        async def ask(*pieces: bytes) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            received = b""
            try:
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                writer.write_eof()
                async with asyncio.timeout(10):
                    while data := await reader.read(65536):
                        received += data
            except ConnectionError:
                pass
            writer.close()
            return received

        yield ask


def statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


@pytest.mark.parametrize(
    "sent",
    [
        HEAD
        + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /s HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        HEAD + b"Content-Length: +3\r\n\r\nabc",
        HEAD + b"Content-Length: 3, 4\r\n\r\nabcd",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 0x3\r\n\r\nabc",
        HEAD + b"Content-Length : 3\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX\x00: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\r\nHost: x\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused(served: Any, sent: bytes) -> None:
    async with exchange(served, echo) as ask:
        received = await ask(sent)
    assert all(status >= 400 for status in statuses(received)), received
    assert len(statuses(received)) <= 1, "something behind the refused request was taken for another one"


@pytest.mark.parametrize("fast", [True], indirect=True)
@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: y\r\n folded\r\n\r\n",
        HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
        b"GET / HTTP/3.7\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_llhttp_refuses_what_h11_lets_pass(served: Any, sent: bytes) -> None:
    async with exchange(served, echo) as ask:
        assert statuses(await ask(sent)) == [400]


@pytest.mark.parametrize("fast", [True], indirect=True)
async def test_a_request_that_no_application_sees_is_in_the_log(
    served: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mosaic.serving")
    async with exchange(served, echo) as ask:
        assert statuses(await ask(b"GET /secret\xff HTTP/1.1\r\nHost: x\r\n\r\n")) == [400]
    assert "from ('127.0.0.1', " in caplog.text
    assert "was refused with 400, unread" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("sent", "understood"),
    [
        (b"GET /a%20b?c=%2F HTTP/1.1\r\nHost: x\r\n\r\n", ["GET", "/a b", "c=%2F", ""]),
        (b"GET / HTTP/1.0\r\n\r\n", ["GET", "/", "", ""]),
        (HEAD + b"Content-Length: 3\r\n\r\nabc", ["POST", "/a", "b=c", "abc"]),
        (
            HEAD + b"Transfer-Encoding: CHUNKED\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
            ["POST", "/a", "b=c", "abcde"],
        ),
        (
            HEAD + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\nz",
            ["POST", "/a", "b=c", "z"],
        ),
    ],
)
async def test_requests_are_understood_alike(served: Any, sent: bytes, understood: list[str]) -> None:
    async with exchange(served, echo) as ask:
        whole = await ask(sent)
        dripped = await ask(*(sent[i : i + 1] for i in range(len(sent))))
    assert statuses(whole) == statuses(dripped) == [200]
    assert json.loads(whole.partition(b"\r\n\r\n")[2]) == understood
    assert whole.partition(b"\r\n\r\n")[2] == dripped.partition(b"\r\n\r\n")[2]


async def test_a_client_that_waits_for_100_gets_it_before_it_sends(served: Any) -> None:
    async with served(echo) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(b"ok")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_trailers_and_chunk_extensions_without_end_are_cut_off(served: Any) -> None:
    endless = (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;",
    )
    async with exchange(served, echo) as ask:
        for start in endless:
            assert 200 not in statuses(await ask(start, *(b"a" * 60_000 for _ in range(4))))


async def test_a_failing_application_is_answered_for(served: Any) -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("on purpose")

    async with exchange(served, fails) as ask:
        assert statuses(await ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")) == [500]


async def test_an_answer_shorter_than_announced_ends_the_connection(served: Any) -> None:
    async def short(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"four", "more_body": True})

    get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with exchange(served, short) as ask:
        received = await ask(get + get)
    assert statuses(received) == [200]
    assert received.endswith(b"four")


@pytest.mark.parametrize("fast", [True], indirect=True)
async def test_a_header_with_a_line_break_does_not_leave(served: Any) -> None:
    async def splits(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nset-cookie: b")]})
        await send({"type": "http.response.body"})

    async with exchange(served, splits) as ask:
        received = await ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert statuses(received) == [500]
    assert b"cookie" not in received


async def test_an_answer_in_pieces_is_chunked_and_whole(served: Any) -> None:
    async def pieces(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        for n in range(3):
            await send({"type": "http.response.body", "body": b"%d" % n, "more_body": n < 2})

    async with exchange(served, pieces) as ask:
        new = await ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        old = await ask(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
    assert new.endswith(b"1\r\n0\r\n1\r\n1\r\n1\r\n2\r\n0\r\n\r\n")
    assert old.endswith(b"\r\n\r\n012")


_LINES = st.sampled_from(
    [b"GET /x HTTP/1.1", b"POST /x HTTP/1.1", b"Host: x", b"Content-Length: 3", b"Content-Length: 0", b"abc", b"",
     b"Transfer-Encoding: chunked", b"3", b"0", b"Connection: close", b"Expect: 100-continue", b"X: y", b" y",
     b"Connection: Upgrade", b"Upgrade: h2c", b"GET / HTTP/1.0",
     b"PRI * HTTP/2.0", b"CONNECT x:1 HTTP/1.1", b"3;a=b", b"X : y", b"\xff"]
)  # fmt: skip
_ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"", b"\r"])
_BYTES = st.lists(st.tuples(_LINES, _ENDS), min_size=1, max_size=14).map(
    lambda pairs: b"".join(line + end for line, end in pairs)
)


async def _run(data: bytes, cuts: list[int]) -> tuple[list[tuple[Any, ...]], bytes, bool]:
    """Feed the protocol alone; return the requests that the application saw, what was sent, whether it ended."""
    seen: list[tuple[Any, ...]] = []
    sent: list[bytes] = []
    ended = False
    edges = sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
    pieces = [data[a:b] for a, b in pairwise(edges)]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        seen.append((scope["method"], scope["raw_path"], tuple(scope["headers"]), body))
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async def read() -> bytes:
        return pieces.pop(0) if pieces else b""

    async def write(data: bytes) -> None:
        sent.append(data)

    def end() -> None:
        nonlocal ended
        ended = True

    protocol = FastH1(
        app,
        max_header_bytes=16_384,
        http2=False,
        stopping=lambda: False,
        scope={"type": "http", "state": {}},
        read=read,
        write=write,
        turn=lambda _: None,
        end=end,
    )
    while pieces and not ended:
        await protocol.handle(RawData(pieces.pop(0)))
    return seen, b"".join(sent), ended


async def test_no_body_is_read_before_its_turn() -> None:
    """Else what a client sends behind a request that takes its time would fill the memory."""
    reads = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        leaving = asyncio.create_task(receive())  # as one that wants to hear if the client leaves
        for _ in range(100):
            await asyncio.sleep(0)
        leaving.cancel()
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async def read() -> bytes:
        nonlocal reads
        reads += 1
        await asyncio.sleep(0)
        return bytes(65_536)

    async def write(data: bytes) -> None:
        pass

    protocol = FastH1(
        app,
        max_header_bytes=16_384,
        http2=False,
        stopping=lambda: reads > 0,
        scope={"type": "http", "state": {}},
        read=read,
        write=write,
        turn=lambda _: None,
        end=lambda: None,
    )
    first, next_one = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\n"
    await protocol.handle(RawData(first + next_one + b"Content-Length: 9000000000\r\n\r\n"))
    assert reads <= 1


@given(data=_BYTES, cuts=st.lists(st.integers(0, 200), max_size=8))
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_how_the_bytes_are_cut_changes_nothing(data: bytes, cuts: list[int]) -> None:
    """A proxy sees the bytes as one piece or as many; here they always mean the same requests."""
    whole = asyncio.run(_run(data, []))
    cut = asyncio.run(_run(data, cuts))
    assert whole[0] == cut[0]
    assert statuses(whole[1]) == statuses(cut[1])
    assert whole[2] == cut[2]


@given(data=_BYTES)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_is_seen_that_h11_does_not_see(data: bytes) -> None:
    import h11

    connection, expected = h11.Connection(h11.SERVER), []
    connection.receive_data(
        data.lstrip(b"\r\n")
    )  # empty lines before a request count for nothing: RFC 9112, 2.2
    try:
        while isinstance(event := connection.next_event(), h11.Request):
            body = b""
            while isinstance(piece := connection.next_event(), h11.Data):
                body += piece.data
            if not isinstance(piece, h11.EndOfMessage):
                break
            expected.append((event.method.decode(), event.target, body))
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
            rest = connection.trailing_data[0].lstrip(b"\r\n")
            connection = h11.Connection(h11.SERVER)
            connection.receive_data(rest)
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        pass
    seen = [(method, path, body) for method, path, _, body in asyncio.run(_run(data, []))[0]]
    assert seen == expected[: len(seen)]
