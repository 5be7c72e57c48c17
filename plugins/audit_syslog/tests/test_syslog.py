"""TCP, TLS, UDP, and what a message is."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from free_ports import free_port
from mosaic_audit_syslog.message import message
from mosaic_audit_syslog.probe import probe
from mosaic_audit_syslog.settings import Settings
from mosaic_audit_syslog.sink import Syslog, why
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.testing import audit_event

GRANT = audit_event(None).grant_id  # type: ignore[arg-type]
EVENT = audit_event(GRANT)  # type: ignore[arg-type]
_VALUE = r'"(?:[^"\\\]]|\\["\\\]])*"'
_MESSAGE = re.compile(
    rf"<(\d+)>1 \S+ \S+ mosaic \d+ \w+ \[mosaic@99999(?: \w+={_VALUE})*\]"
)  # section 6 of RFC 5424


def sink(address: str, **settings: Any) -> Syslog:
    return Syslog(Settings(address=address, seconds=9, **settings), "work")  # the machine may be busy


async def test_rsyslogd_reads_what_comes_over_tcp(daemon: Any) -> None:
    over_tcp = sink(daemon.tcp)
    await asyncio.gather(*(over_tcp.record(audit_event(GRANT, number)) for number in range(300)))  # type: ignore[arg-type]
    await over_tcp.record(audit_event(GRANT, 300, outcome="revoked"))  # type: ignore[arg-type]
    written = daemon.until('request_id="r300"', "parsed")
    parsed = [line.split("|", 3) for line in written if "trace_id" in line]
    assert len(parsed) == 301
    assert {tuple(line[:3]) for line in parsed} == {("mosaic", "list", "110"), ("mosaic", "list", "108")}
    assert 'peer="home" resource="tasks"]' in parsed[0][3]
    over_tcp.close()


async def test_a_daemon_that_went_is_missed_at_once_and_found_again(new_daemon: Any) -> None:
    daemon = new_daemon()
    over_tcp, over_unix = sink(daemon.tcp), sink(daemon.unix)
    for number in range(2):
        with daemon.running():
            for each in (over_tcp, over_unix):
                await each.record(audit_event(GRANT, number, peer="again"))  # type: ignore[arg-type]
            await asyncio.to_thread(daemon.settled)
        for each in (over_tcp, over_unix):
            with pytest.raises(Unavailable, match="cannot be written to syslog"):
                await each.record(EVENT)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PEM of a key and of its self-signed certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "key")
    name = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-out", folder / "crt")
    subprocess.run(["openssl", "req", "-x509", *curve, *name], check=True, capture_output=True)
    (folder / "both").write_bytes((folder / "key").read_bytes() + (folder / "crt").read_bytes())
    return folder / "both"


async def test_over_tls_to_a_receiver_that_is_known_only(certificate: Path, caplog: Any) -> None:
    taken: asyncio.Queue[bytes] = asyncio.Queue()

    async def receive(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while length := (await reader.read(1)):
            while not length.endswith(b" "):
                length += await reader.readexactly(1)
            await taken.put(await reader.readexactly(int(length)))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificate)
    server = await asyncio.start_server(receive, "127.0.0.1", 0, ssl=context)
    address = f"tls://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    known = sink(address, ca_file=certificate, client_file=certificate)
    await known.record(EVENT)
    assert b'request_id="r0"' in await taken.get()
    with pytest.raises(Unavailable):
        await sink(address, client_file=certificate).record(EVENT)
    assert "its certificate is not trusted" in caplog.text
    assert taken.empty()
    known.close()
    server.close()


async def test_not_required_is_said_once_and_answers(caplog: Any) -> None:
    caplog.set_level(logging.WARNING)
    port = free_port()
    optional = sink(f"tcp://127.0.0.1:{port}", required=False)
    for _ in range(3):
        await optional.record(EVENT)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", port)
    await optional.record(EVENT)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    optional.close()
    server.close()


async def test_a_receiver_that_says_something_and_ends_is_not_written_to(caplog: Any) -> None:
    """What it said is nobody's to read, and must not hide its end: what is written after it may be read by nobody."""
    ended, taken = asyncio.Event(), 0

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        if ended.is_set():
            while await reader.read(9000):
                taken += 1
        else:
            await reader.read(9000)
            writer.write(b"x")
            writer.write_eof()  # and reads no more; the socket stays open, and the kernel goes on to acknowledge
            ended.set()
            await gone.wait()
        writer.close()

    gone = asyncio.Event()
    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    over_tcp = sink(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await over_tcp.record(EVENT)
    await ended.wait()
    async with asyncio.timeout(30):
        while not taken:
            await over_tcp.record(EVENT)
            await asyncio.sleep(0.02)
    gone.set()
    over_tcp.close()
    server.close()


async def test_udp_sends_and_cannot_be_required() -> None:
    with pytest.raises(ValidationError, match="udp:// cannot tell"):
        Settings(address="udp://127.0.0.1:514")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        settings = Settings(address=f"udp://127.0.0.1:{receiver.getsockname()[1]}", required=False)
        await Syslog(settings, "work").record(EVENT)
        assert _MESSAGE.fullmatch(receiver.recv(9000).decode())
    assert (await probe(settings).check()).status == "yellow"


async def test_the_probe_says_why() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for address, words in (
        (f"tls://127.0.0.1:{port}", "cannot be reached: "),
        (f"tcp://127.0.0.1:{free_port()}", "cannot be reached: connection refused"),
    ):
        finding = await probe(Settings(address=address)).check()
        assert (finding.status, words in finding.detail) == ("red", True), finding
    server.close()
    assert why(socket.gaierror(-2, "Name or service not known")) == "its name is not known"


@pytest.mark.parametrize(
    "address",
    [
        "/dev/log",
        "unix://dev/log",
        "tcp://host",
        "tcp://:514",
        "tls://u:p@host:1",
        "tcp://h:1/x",
        "tcp://h:x",
        f"tls://{'h' * 64}.example:1",
        "tcp://h..example:1",
    ],
)
def test_no_address(address: str) -> None:
    with pytest.raises(ValidationError):
        Settings(address=address)


@pytest.mark.parametrize("more", [{"ca_file": "/ca"}, {"address": "tls://h:1", "ca_file": "ca"}])
def test_files_are_absolute_and_of_tls(more: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings(**more)  # type: ignore[arg-type]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine is no finding
@given(peer=st.text(), resource=st.text(), outcome=st.sampled_from(["ok", "revoked"]))
def test_any_text_makes_one_message_that_every_receiver_takes(peer: str, resource: str, outcome: str) -> None:
    long = resource * 50
    event = audit_event(GRANT, peer=peer, resource=long, outcome=outcome)  # type: ignore[arg-type]
    text = message(event, "work", datetime(2026, 11, 22, tzinfo=UTC)).decode()
    found = _MESSAGE.fullmatch(text)
    assert found, text
    assert len(text.encode()) <= 2048
    assert int(found[1]) == (110 if outcome == "ok" else 108)
