"""The authority gone, slow, reloading, or somebody else: what callers are told, and that no token is in it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mosaic_hookspecs.errors import ConfigError, Unavailable
from mosaic_hookspecs.testing.authorities import issue, request
from mosaic_step_ca.authority import StepCA
from mosaic_step_ca.store import forget_provisioners

if TYPE_CHECKING:
    from conftest import StepCAServer, TcpPostgres

HostOf = Callable[..., Any]
Post = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def impostor(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server on a free port that is no step-ca."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
        server.close()


@asynccontextmanager
async def knowing(step_ca: StepCAServer, host_of: HostOf, **settings: Any) -> AsyncIterator[StepCA]:
    """A gateway that was set up with the shared authority, and is told it is elsewhere."""
    host = host_of(**step_ca.settings | settings)
    await step_ca.adopt(host)
    authority = StepCA(host)
    try:
        yield authority
    finally:
        await authority.close()


async def refused(authority: StepCA) -> str:
    """The error of every method that needs the authority; it comes in time, and tells no secret."""
    said = ""
    for work in (
        lambda: issue(authority),
        lambda: authority.issue_server(request(), names=["work.example"]),
        lambda: authority.revoke("abc"),
        authority.crl,
    ):
        begun = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await work()
        assert time.monotonic() - begun < 30
        said = str(caught.value)
        assert "eyJ" not in said
        assert caught.value.remedy
    return said


async def hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def garbage(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff garbage \r\n\r\n")
    writer.close()


def http(status: str, body: bytes) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    return answer


async def own_context(authority: StepCA, folder: Path) -> ssl.SSLContext:
    """TLS of a server whose certificate the authority itself has signed for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    issued = await authority.issue_server(request(key), names=["localhost"])
    (folder / "chain").write_bytes(issued.chain)
    (folder / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain", folder / "key")
    return context


async def test_nobody_listens(step_ca: StepCAServer, host_of: HostOf) -> None:
    async with knowing(step_ca, host_of, url="https://localhost:1") as authority:
        assert "cannot be reached" in await refused(authority)
        assert await authority.root() == step_ca.authority.root, "kept since the set-up"


async def test_it_hangs(step_ca: StepCAServer, host_of: HostOf) -> None:
    async with impostor(hang) as url, knowing(step_ca, host_of, url=url, timeout=0.5) as authority:
        assert "does not answer in time" in await refused(authority)


async def test_it_speaks_no_tls(step_ca: StepCAServer, host_of: HostOf) -> None:
    async with impostor(garbage) as url, knowing(step_ca, host_of, url=url) as authority:
        assert "TLS" in await refused(authority)


async def test_another_root_is_not_trusted_and_gets_no_token(
    step_ca: StepCAServer, host_of: HostOf, new_step_ca: Callable[[], StepCAServer]
) -> None:
    other = new_step_ca()
    with other.running():
        async with knowing(step_ca, host_of, url=other.url) as authority:
            assert "does not come from the pinned root" in await refused(authority)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        ("200 OK", b"\x00\xff", "what is no JSON|not signed|answers"),
        ("201 Created", b"\xff", "what is no JSON|not signed"),
        ("201 Created", b'{"certChain": 7}', "something else|not signed"),
        ("201 Created", b'{"certChain": ["x", {}, null]}', "something else|not signed"),
        ("201 Created", b'{"certChain": ' + b"[" * 200_000, "what is no JSON|not signed"),
        ("302 Found", b"", "302|refuses"),
        ("403 Forbidden", b'{"message": "no"}', "403"),
        ("500 Internal Server Error", b"", "500"),
        ("200 OK", b"x" * 4_100_000, "more than"),
    ],
)
async def test_what_is_no_answer_is_an_error_of_ours(
    authority: StepCA,
    step_ca: StepCAServer,
    host_of: HostOf,
    tmp_path: Path,
    status: str,
    body: bytes,
    says: str,
) -> None:
    context = await own_context(authority, tmp_path)
    async with impostor(http(status, body), context) as url:
        elsewhere = StepCA(host_of(**step_ca.settings | {"url": url}))
        try:
            with pytest.raises(Unavailable) as caught:
                await issue(elsewhere)
            assert "eyJ" not in str(caught.value)
            with pytest.raises(Unavailable) as caught:
                await elsewhere.crl()
            assert re.search(says, str(caught.value)), str(caught.value)
        finally:
            await elsewhere.close()


async def test_the_root_is_fetched_by_its_fingerprint_and_by_nothing_else(
    step_ca: StepCAServer, host_of: HostOf, new_step_ca: Callable[[], StepCAServer], tmp_path: Path
) -> None:
    host = host_of(**step_ca.settings)  # whose database has never seen it
    authority = StepCA(host)
    assert await authority.root() == step_ca.authority.root
    await step_ca.adopt(host)
    context = await own_context(authority, tmp_path)
    await authority.close()
    other = new_step_ca().authority.fingerprint
    with pytest.raises(Unavailable, match="HTTP 404"):
        await StepCA(host_of(url=step_ca.url, fingerprint=other)).root()
    root = step_ca.authority.root.decode()
    version_2 = ssl.PEM_cert_to_DER_cert(root).replace(b"\xa0\3\2\1\2", b"\xa0\3\2\1\1", 1)
    for sent in (root, "no PEM", "é", None, ssl.DER_cert_to_PEM_cert(version_2)):
        body = json.dumps({"ca": sent}).encode()
        async with impostor(http("201 Created", body), context) as url:
            with pytest.raises(Unavailable, match="sends another root"):
                await StepCA(host_of(url=url, fingerprint=other)).root()


async def test_without_settings_or_keys_it_says_what_to_do(step_ca: StepCAServer, host_of: HostOf) -> None:
    for settings in ({}, step_ca.settings):
        with pytest.raises(ConfigError, match="has no key of the certificate authority") as caught:
            await issue(StepCA(host_of(**settings)))
        assert "mosaic federation ca init" in caught.value.remedy
    with pytest.raises(ConfigError, match="no certificate authority is configured") as caught:
        await StepCA(host_of()).root()
    assert "mosaic federation ca init" in caught.value.remedy


async def test_an_authority_that_does_not_know_our_keys(
    step_ca: StepCAServer, host_of: HostOf, new_step_ca: Callable[[], StepCAServer]
) -> None:
    host = host_of(**step_ca.settings)
    others = replace(step_ca.authority, provisioners=new_step_ca().authority.provisioners)
    await replace(step_ca, authority=others).adopt(host)
    authority = StepCA(host)
    try:
        with pytest.raises(Unavailable, match="does not accept this gateway's tokens"):
            await issue(authority)
        await forget_provisioners(host.database)
        await step_ca.adopt(host)
        assert (await issue(authority)).serial, "keys that were replaced are taken up without a restart"
    finally:
        await authority.close()


async def test_after_a_restart_and_a_reload_the_next_request_works(
    new_step_ca: Callable[[], StepCAServer], host_of: HostOf, post: Post
) -> None:
    """It refuses tokens older than its own start: a fresh one is made for each attempt."""
    server = new_step_ca()
    async with knowing(server, host_of) as authority:
        with server.running():
            await issue(authority)
        with server.running() as process:
            await issue(authority)
            provisioner = server.authority.provisioners[0]
            older = {str(n): provisioner.token(server.url + "/1.0/revoke", str(n), {}) for n in range(1, 200)}
            await asyncio.sleep(1.1)
            process.send_signal(signal.SIGHUP)
            issued = [await issue(authority) for _ in range(5)]
            statuses = list[int]()
            while 401 not in statuses:  # it is at its reload for a moment, and goes on as before meanwhile
                serial, token = older.popitem()
                body = {"serial": serial, "ott": token, "reasonCode": 0, "passive": True}
                statuses.append((await post(server, "/1.0/revoke", body))[0])
            assert set(statuses) <= {200, 401}
    assert len({each.serial for each in issued}) == 5


async def test_a_burst_shares_one_pool(authority: StepCA) -> None:
    issued = await asyncio.gather(*(issue(authority) for _ in range(40)))
    assert len({each.serial for each in issued}) == 40


async def test_no_private_key_is_in_the_table_in_clear(
    step_ca: StepCAServer, authority: StepCA, pool: Any
) -> None:
    rows = await pool.fetch("SELECT * FROM step_ca_provisioners")
    assert len(rows) == 2
    for provisioner in step_ca.authority.provisioners:
        assert provisioner.key.as_dict(private=True)["d"] not in str([dict(row) for row in rows])


async def test_on_postgres_a_token_is_spent_once_by_repeatable_read(
    new_step_ca: Callable[[], StepCAServer], server_postgres: TcpPostgres, server_password: str, post: Post
) -> None:
    """With Postgres's own default it is not: there step-ca looks, and then writes."""
    database = await server_postgres.new_database()
    await server_postgres.execute(
        f"ALTER DATABASE {database} SET default_transaction_isolation = 'repeatable read'"
    )
    server = new_step_ca()
    file = server.home / "config" / "ca.json"
    source = server_postgres.url("", password=server_password)
    config = json.loads(file.read_text()) | {
        "db": {"type": "postgresql", "dataSource": source, "database": database}
    }
    file.write_text(json.dumps(config))
    provisioner = server.authority.provisioners[1]
    with server.running():
        for _ in range(8):
            token = provisioner.token(
                server.url + "/1.0/sign",
                "work.example",
                {"sans": ["work.example"], "certExp": int(time.time()) + 3600},
            )
            body = {"csr": request().decode(), "ott": token}
            answers = await asyncio.gather(*(post(server, "/1.0/sign", body) for _ in range(6)))
            assert [status for status, _ in answers].count(201) == 1
