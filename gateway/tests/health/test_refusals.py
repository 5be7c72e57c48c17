"""Each way in which Postgres fails us, met on real servers, is told from the others and says what to do."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from mosaic_gateway import database
from mosaic_gateway.database import connect, open_pool
from mosaic_gateway.health import detect
from mosaic_gateway.health.database import (
    connected,
    database_probes,
    judge,
    judge_clock,
    read_facts,
    transport_probe,
    vector_probe,
)
from mosaic_gateway.refusals import REFUSALS
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.types import DatabaseLocation, Finding, Tier

if TYPE_CHECKING:
    from conftest import Cluster

TIER = Tier("federated", storage="postgres", summary="", ready_when=("database",))


def assert_says(name: str, text: str, location: DatabaseLocation) -> None:
    """The text is that refusal and no other, and has no form of the password."""
    assert [key for key, refusal in REFUSALS.items() if pattern(refusal.detail).fullmatch(text)] == [name], (
        text
    )
    if location.password:
        for form in (location.password, quote(location.password, safe=""), quote(location.password)):
            assert form not in text


def pattern(template: str) -> re.Pattern[str]:
    return re.compile("[^,]+".join(map(re.escape, re.split(r"\{[^}]*\}", template))))


async def refused(name: str, location: DatabaseLocation) -> str:
    """Connecting, the boot's detector and the pool all say the same."""
    with pytest.raises(Unavailable) as caught:
        await connect(location)
    assert_says(name, caught.value.detail, location)
    assert caught.value.remedy
    with pytest.raises(Unavailable) as boot:
        await detect(TIER, location, [], vector=True)
    assert caught.value.detail in boot.value.detail
    with pytest.raises(Unavailable) as pooled:
        async with open_pool(location):
            pass
    assert pooled.value.detail == caught.value.detail
    return caught.value.detail


async def probed(location: DatabaseLocation) -> dict[str, Finding]:
    return {probe.name: await probe.check() for probe in database_probes(location)}


def trusting(path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(path))


def unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class TestNetwork:
    async def test_host_unknown(self, debian: Cluster) -> None:
        text = await refused("host-unknown", replace(debian.location, host="no-such-host.invalid"))
        assert "no-such-host.invalid" in text

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    async def test_refused_whether_the_name_has_one_address_or_several(self, host: str) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
            text = await refused("refused", DatabaseLocation(host, "gateway", "mosaic", port, "secret-word"))
        assert f"{host}:{port}" in text

    async def test_a_black_hole_times_out(self, black_hole: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database, "CONNECT_TIMEOUT", 0.3)
        await refused(
            "timed-out", DatabaseLocation("127.0.0.1", "gateway", "mosaic", black_hole, "secret-word")
        )

    async def test_no_route(self) -> None:
        location = DatabaseLocation("2001:db8::1", "gateway", "mosaic")
        try:
            await connect(location)
        except Unavailable as error:
            if "did not answer" in error.detail:
                pytest.skip("this network swallows what it cannot deliver")
            assert_says("unreachable", error.detail, location)

    async def test_no_socket_there(self, tmp_path: Path) -> None:
        await refused("socket-missing", DatabaseLocation(str(tmp_path), "gateway", "mosaic"))

    async def test_what_answers_is_not_postgres(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        location = DatabaseLocation("127.0.0.1", "gateway", "mosaic", port, "secret-word")
        await refused("not-postgres", location)
        server.close()

    async def test_the_connection_is_closed_in_the_middle(self) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await refused("closed", DatabaseLocation("127.0.0.1", "gateway", "mosaic", port, "x", ssl="disable"))
        server.close()


class TestTLS:
    async def test_required_by_the_server(self, debian: Cluster) -> None:
        location = replace(debian.location, database="tls_only", ssl="disable")
        await refused("tls-required", location)
        async with open_pool(replace(location, ssl=unverified())) as pool:
            assert await pool.fetchval("SELECT 1") == 1

    async def test_left_to_whoever_stands_between(self) -> None:
        location = DatabaseLocation("db.example.org", "gateway", "mosaic", 5432, "secret-word")
        finding = await transport_probe(location).check()
        assert finding.status == "yellow"
        assert_says("tls-optional", finding.detail, location)

    async def test_not_offered_by_the_server(self, embedded: Cluster) -> None:
        await refused("tls-refused", replace(embedded.location, ssl=unverified()))
        async with open_pool(embedded.location) as pool:
            assert await pool.fetchval("SELECT 1") == 1

    async def test_not_allowed_by_the_server(self, debian: Cluster) -> None:
        await refused("not-allowed", replace(debian.location, database="plain_only", ssl=unverified()))

    async def test_certificate_not_trusted(self, debian: Cluster) -> None:
        await refused("certificate-untrusted", replace(debian.location, ssl=ssl.create_default_context()))

    async def test_certificate_of_another_name(self, debian: Cluster) -> None:
        trusted = trusting(debian.home / "data" / "server.crt")
        await refused("certificate-name", replace(debian.location, host="localhost", ssl=trusted))
        async with open_pool(replace(debian.location, ssl=trusted)) as pool:
            assert await pool.fetchval("SELECT 1") == 1

    async def test_certificate_expired(self, expired: Cluster) -> None:
        trusted = trusting(expired.home / "data" / "expired.crt")
        await refused("certificate-expired", replace(expired.location, ssl=trusted))

    async def test_no_common_version(self, debian: Cluster) -> None:
        context = unverified()
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # and the server has an ECDSA key
        await refused("tls-failed", replace(debian.location, ssl=context))

    async def test_client_certificate_wanted(self, debian: Cluster) -> None:
        await refused("certificate-wanted", replace(debian.location, database="cert_only", ssl=unverified()))


class TestAuthentication:
    @pytest.mark.parametrize("password", ["wr@ng:w/rd%41", "", None])
    async def test_wrong_password_or_none(self, debian: Cluster, password: str | None) -> None:
        await refused("wrong-password", replace(debian.location, password=password))

    async def test_unknown_role_with_a_password_looks_the_same_to_everyone(self, debian: Cluster) -> None:
        await refused("wrong-password", replace(debian.location, user="nobody_here"))

    @pytest.mark.parametrize("user", ["nobody_here", "sleeper"])
    async def test_role_unknown_or_not_allowed_to_log_in(self, debian: Cluster, user: str) -> None:
        await refused("role-unknown", replace(debian.location, database="trusted", user=user))

    async def test_not_in_pg_hba(self, debian: Cluster) -> None:
        await refused("not-allowed", replace(debian.location, database="nobody", ssl=unverified()))

    async def test_other_ways_to_authenticate(self, debian: Cluster) -> None:
        await refused("authentication", replace(debian.location, database="by_ident"))

    async def test_database_missing(self, debian: Cluster) -> None:
        assert "'gone'" in await refused("database-missing", replace(debian.location, database="gone"))

    async def test_database_closed_to_the_role(self, debian: Cluster) -> None:
        await refused("database-closed", replace(debian.location, database="closed"))

    async def test_too_many_connections_of_the_role(self, debian: Cluster) -> None:
        await refused("too-many-connections", replace(debian.location, user="crowd", password="word-of-many"))

    async def test_too_many_connections_of_the_server(self, debian: Cluster) -> None:
        held = []
        try:
            while len(held) < 60:
                held.append(await connect(debian.location))
        except Unavailable as error:
            assert_says("too-many-connections", error.detail, debian.location)
        finally:
            for conn in held:
                await conn.close()
        assert 30 < len(held) < 40

    async def test_starting_up(self, cold_standby: DatabaseLocation) -> None:
        """A standby that serves nobody answers as a server that is still recovering."""
        await refused("starting", cold_standby)


class TestServer:
    async def test_a_good_one_is_green(self, debian: Cluster) -> None:
        findings = await probed(debian.location)
        assert {finding.status for finding in findings.values()} == {"green"}
        assert "PostgreSQL 1" in findings["database"].detail

    async def test_too_old(self, debian: Cluster) -> None:
        async with connected(debian.location) as conn:
            finding = judge(await read_facts(conn), debian.location, oldest=99)
        assert finding.status == "red"
        assert_says("too-old", finding.detail, debian.location)

    async def test_replica(self, standby: DatabaseLocation) -> None:
        finding = (await probed(standby))["database"]
        assert_says("replica", finding.detail, standby)
        with pytest.raises(Unavailable, match="replica"):
            await detect(TIER, standby, [], vector=False)

    async def test_read_only(self, debian: Cluster) -> None:
        await asyncio.to_thread(debian.sql, "ALTER DATABASE trusted SET default_transaction_read_only = on")
        location = replace(debian.location, database="trusted")
        finding = (await probed(location))["database"]
        await asyncio.to_thread(debian.sql, "ALTER DATABASE trusted RESET default_transaction_read_only")
        assert finding.status == "red"
        assert_says("read-only", finding.detail, location)

    @pytest.mark.parametrize(
        ("shift", "status"),
        [(0, "green"), (4, "green"), (-4, "green"), (7, "yellow"), (-7, "yellow"), (70, "red"), (-70, "red")],
    )
    async def test_clock_skew(self, debian: Cluster, shift: float, status: str) -> None:
        async with connected(debian.location) as conn:
            facts = await read_facts(conn, now=lambda: time.time() + shift)
        finding = judge_clock(facts, debian.location)
        assert finding.status == status
        if status != "green":
            assert_says("clock-skew", finding.detail, debian.location)

    async def test_a_slow_answer_is_not_skew(self, debian: Cluster) -> None:
        asked = iter([time.time() - 30, time.time() + 30])
        async with connected(debian.location) as conn:
            assert (await read_facts(conn, now=lambda: next(asked))).skew == 0

    async def test_a_server_that_hangs(
        self, frozen: DatabaseLocation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Connecting gives up by itself, and says so: a probe that is given up did not answer `within` its seconds."""
        monkeypatch.setattr(database, "CONNECT_TIMEOUT", 0.3)
        with pytest.raises(Unavailable, match="did not answer in time"):
            await detect(TIER, frozen, [], vector=True)


class TestVector:
    async def probe(self, location: DatabaseLocation, **options: Any) -> Finding:
        return await vector_probe(location, reopen_of(location), **options).check()

    async def refused(self, name: str, location: DatabaseLocation, **options: Any) -> None:
        finding = await self.probe(location, **options)
        assert finding.status == "red"
        assert finding.remedy
        assert_says(name, finding.detail, location)

    async def test_library_not_installed(self, debian: Cluster) -> None:
        await self.refused("vector-not-installed", debian.location)
        with pytest.raises(Unavailable, match="pgvector"):
            await detect(TIER, debian.location, [], vector=True)
        await detect(TIER, debian.location, [], vector=False)

    async def test_absent_and_the_role_may_not_create_it(self, embedded: Cluster) -> None:
        await self.refused("vector-not-permitted", embedded.location)
        with pytest.raises(Unavailable, match="CREATE EXTENSION"):
            await detect(TIER, embedded.location, [], vector=True)

    async def test_absent_and_the_role_may_create_it(self, embedded: Cluster) -> None:
        boss = replace(embedded.location, user="boss", password="boss")
        finding = await self.probe(boss)
        assert finding.status == "yellow"
        await detect(TIER, boss, [], vector=True)  # the boot makes it
        assert (await self.probe(boss)).status == "yellow"  # looking changed nothing
        assert finding.fix
        await finding.fix()
        await finding.fix()  # twice is once
        assert (await self.probe(embedded.location)).status == "green"

    async def test_too_old(self, embedded: Cluster) -> None:
        await asyncio.to_thread(embedded.sql, "CREATE EXTENSION IF NOT EXISTS vector", database="old")
        older = "UPDATE pg_extension SET extversion = '0.5.1' WHERE extname = 'vector'"
        await asyncio.to_thread(embedded.sql, older, database="old")
        await self.refused("vector-too-old", replace(embedded.location, database="old"))

    async def test_in_a_schema_out_of_sight(self, embedded: Cluster) -> None:
        hide = ("CREATE SCHEMA aside", "CREATE EXTENSION vector SCHEMA aside")
        await asyncio.to_thread(embedded.sql, *hide, database="hidden")
        await self.refused("vector-hidden", replace(embedded.location, database="hidden"))

    async def test_unknown_rather_than_the_same_failure_twice(self) -> None:
        finding = await self.probe(DatabaseLocation("no-such-host.invalid", "gateway", "mosaic"))
        assert (finding.status, "not known" in finding.detail) == ("yellow", True)


def reopen_of(location: DatabaseLocation) -> Any:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def reopen() -> Any:
        yield location

    return reopen


async def test_users_of_a_running_gateway_are_not_told_where_its_database_is() -> None:
    location = DatabaseLocation("127.0.0.1", "gateway", "mosaic", 1, "secret-word")
    async with open_pool(location, lazy=True) as pool:
        with pytest.raises(Unavailable) as caught:
            await pool.fetchval("SELECT 1")
    assert not {"127.0.0.1", "gateway'", "mosaic'", "storage.url"} & set(re.split(r"[ :]", str(caught.value)))


def test_every_refusal_of_the_table_is_met_above() -> None:
    """But for those that need another user or a fault of the server's own, and the two in test_attack_*.py."""
    met = set(re.findall(r'(?:refused|assert_says)\(\s*"([a-z-]+)"', Path(__file__).read_text()))
    assert set(REFUSALS) - met <= {"socket-closed", "other", "pooler", "no-schema-public"}
    assert met <= set(REFUSALS)
