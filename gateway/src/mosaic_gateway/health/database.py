"""What the detector and the doctor ask Postgres. Each probe connects by itself, so none waits for another."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import asyncpg

from mosaic_gateway.database import connect
from mosaic_gateway.refusals import REFUSALS, Status, why
from mosaic_hookspecs.errors import Unavailable
from mosaic_hookspecs.protocols import Queries
from mosaic_hookspecs.sql import load_queries
from mosaic_hookspecs.types import DatabaseLocation, Finding, Probe
from mosaic_migrations.runner import migrate

OLDEST_POSTGRES = 15  # major; the floor that every SQL file is written to
OLDEST_VECTOR = (0, 8, 0)  # the first with iterative index scans: without, a filtered search loses rows

#: Machines that keep time by NTP differ by milliseconds: seconds say that one does not.
SKEW_ODD = 5.0  # seconds
#: Certificates are back-dated by 60 s, and an authority's tokens live for 60 s: beyond that a certificate is
#: not valid yet when it is first used, and a token is refused the moment it is made.
SKEW_BROKEN = 60.0  # seconds

UNKNOWN = Finding("yellow", "not known: the database cannot be used", "see the finding `database`")

#: What a connection that has gone raises, as against a statement that is wrong.
_LOST = (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.InterfaceError)

Opener = Callable[[], AbstractAsyncContextManager[DatabaseLocation]]
Clock = Callable[[], float]

_sql = load_queries("mosaic_gateway.health", "queries.sql")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server says of itself."""

    version: str
    major: int
    replica: bool
    read_only: bool
    skew: float  # seconds that the clocks differ at least
    latency: float  # seconds, one round trip


async def read_facts(queries: Queries, *, now: Clock = time.time) -> Facts:
    """Ask once. The server read its clock somewhere between question and answer: doubt is not skew."""
    asked = now()
    row = await queries.fetchrow(_sql.facts)
    answered = now()
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    skew = max(asked - row["clock"], row["clock"] - answered, 0.0)
    major = row["number"] // 10000
    return Facts(row["version"], major, row["replica"], row["read_only"], skew, answered - asked)


def judge(facts: Facts, location: DatabaseLocation, *, oldest: int = OLDEST_POSTGRES) -> Finding:
    """Whether the gateway can live with this server."""
    if facts.major < oldest:
        return REFUSALS["too-old"].finding(location, version=facts.version, oldest=oldest)
    if facts.replica:
        return REFUSALS["replica"].finding(location)
    if facts.read_only:
        return REFUSALS["read-only"].finding(location)
    return Finding("green", f"PostgreSQL {facts.version}, {facts.latency * 1000:.1f} ms")


def judge_clock(facts: Facts, location: DatabaseLocation) -> Finding:
    """Whether this machine and the database agree on the time."""
    if facts.skew <= SKEW_ODD:
        return Finding("green", f"within {max(0.1, facts.skew):.1f} s of the database's")
    status: Status = "red" if facts.skew > SKEW_BROKEN else "yellow"
    return REFUSALS["clock-skew"].finding(location, status=status, skew=facts.skew)


def transport_probe(location: DatabaseLocation) -> Probe:
    """Whether others on the way can read what goes to the database. Looks at the config only."""

    async def check() -> Finding:
        if location.host.startswith("/") or _is_this_machine(location.host):
            return Finding("green", "on this machine")
        if isinstance(location.ssl, ssl.SSLContext):
            verified = "verified" if location.ssl.verify_mode == ssl.CERT_REQUIRED else "not verified"
            return Finding("green", f"TLS, the server's certificate {verified}")
        if location.ssl == "disable":
            return Finding("green", "without TLS, as storage.url says (sslmode=disable)")
        return REFUSALS["tls-optional"].finding(location, status="yellow")

    return Probe("transport", check)


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def pool_probe(pool: Queries, location: DatabaseLocation) -> Probe:
    """Whether Postgres still answers through the pool of a running gateway."""

    async def check() -> Finding:
        return judge(await read_facts(pool), location)

    return Probe("database", check)


def database_probes(location: DatabaseLocation) -> list[Probe]:
    """Whether Postgres can be used, and what time it thinks it is; one connection for both."""
    shared: list[asyncio.Task[Facts]] = []

    async def facts() -> Facts:
        if not shared:
            shared.append(asyncio.create_task(_facts(location)))
        return await asyncio.shield(shared[0])

    async def database() -> Finding:
        return judge(await facts(), location)

    async def clock() -> Finding:
        return judge_clock(await facts(), location)

    return [Probe("database", database), Probe("clock", unless_unreachable(clock))]


async def _facts(location: DatabaseLocation) -> Facts:
    async with connected(location) as conn:
        return await read_facts(conn)


def vector_probe(
    location: DatabaseLocation, reopen: Opener, *, oldest: tuple[int, ...] = OLDEST_VECTOR
) -> Probe:
    """Whether pgvector is there, or can be made."""

    async def check() -> Finding:
        async with connected(location) as conn:
            row = await conn.fetchrow(_sql.vector)
            if finding := _unfit(row, location, oldest):
                return finding
            if row["installed"]:
                return Finding("green", f"pgvector {row['installed']}")
            if finding := await _attempt(conn, location):
                return finding
        remedy = "it is created at the next start, or now by `mosaic gateway doctor --fix`"
        return Finding("yellow", "the extension vector is not there yet", remedy, lambda: _create(reopen))

    return Probe("pgvector", unless_unreachable(check))


def _unfit(row: Any, location: DatabaseLocation, oldest: tuple[int, ...]) -> Finding | None:
    if row["available"] is None:
        return REFUSALS["vector-not-installed"].finding(location, major=row["major"])
    version = row["installed"] or row["available"]
    if _numbers(version) < oldest:
        wanted = ".".join(map(str, oldest))
        return REFUSALS["vector-too-old"].finding(location, version=version, oldest=wanted)
    if row["installed"] and not row["visible"]:
        return REFUSALS["vector-hidden"].finding(location)
    return None


async def _attempt(conn: Any, location: DatabaseLocation) -> Finding | None:
    """Create it and take it back: besides superusers, managed servers let roles in by means of their own."""
    attempt = conn.transaction()
    await attempt.start()
    try:
        await conn.execute(_sql.try_vector)
    except asyncpg.InsufficientPrivilegeError:
        return REFUSALS["vector-not-permitted"].finding(location)
    except asyncpg.InvalidSchemaNameError:
        return REFUSALS["no-schema-public"].finding(location)
    except asyncpg.ReadOnlySQLTransactionError:
        return UNKNOWN
    except (asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):  # another process has just made it
        return None
    finally:
        await attempt.rollback()
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


async def _create(reopen: Opener) -> None:
    async with reopen() as location, connected(location) as conn:
        await migrate(conn, [], vector=True)  # under its lock, and its words if it fails


@asynccontextmanager
async def connected(location: DatabaseLocation) -> AsyncIterator[Any]:
    """A connection of one's own. Raises :class:`Unavailable` that says why there is none, or no more."""
    conn = await connect(location)
    try:
        yield conn
    except _LOST as error:
        raise REFUSALS[why(error, location)].error(location) from error
    finally:
        conn.terminate()  # a server that hangs would not answer a farewell


def unless_unreachable(check: Callable[[], Awaitable[Finding]]) -> Callable[[], Awaitable[Finding]]:
    """The check; and one word instead of the same failure again where the database cannot be reached."""

    async def checked() -> Finding:
        try:
            return await check()
        except Unavailable:
            return UNKNOWN

    return checked
